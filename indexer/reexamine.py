"""Invalid records judged again: the models may know more than when they were kept.

Rule protected here: what is valid by now is shown from then on, by its own bytes, which were
proved when they came; what is not stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from indexer.store import Store
from indexer.tables import InvalidRow
from indexer.versions import judge_again

_AT_ONCE = 100  # records, in one transaction: their blocks are in memory


@dataclass(frozen=True, slots=True)
class Reexamined:
    """``valid``: how many records are shown now; ``invalid``: how many are not; ``to_fetch``: the
    repos of records whose bytes are not kept."""

    valid: int
    invalid: int
    to_fetch: tuple[str, ...]


def reexamine(store: Store, at: int, doc: int | None = None) -> Reexamined:
    """All invalid records, or the one with the key ``doc`` if it is one. ``at`` is the time in
    microseconds since 1970. Raises ``StoreError``."""
    valid = invalid = 0
    to_fetch: dict[str, None] = {}
    for rows in _parts(store, doc):
        batch = store.batch()
        for row in rows:
            if row.block is None:
                to_fetch[row.did] = None
            elif judge_again(batch, row, at):
                valid += 1
            else:
                invalid += 1
        if batch.has_effects:
            store.apply(batch)
    return Reexamined(valid, invalid, tuple(to_fetch))


def _parts(store: Store, doc: int | None) -> Iterator[Sequence[InvalidRow]]:
    if doc is not None:
        row = store.invalid.row(doc)
        yield [] if row is None else [row]
        return
    last = -1
    while rows := store.invalid.after(last, _AT_ONCE):
        yield rows
        last = rows[-1].doc

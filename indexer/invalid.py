"""The records that no known lexicon explains, held apart: with those that are shown, all there is.

Rules protected here: of each repo it is known which of its records are missing from the index, and
why (invariants 4 and 6), however many there are; their bytes take bounded space (invariant 8), the
oldest are let go of first, and can be fetched again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from atdata.protocol.keys import key_of
from indexer.batch import Batch
from indexer.statements import delete, insert
from indexer.tables import InvalidRow

_SIZES = "SELECT count(*), coalesce(sum(size), 0)::BIGINT FROM invalid_records"
_COLUMNS = (
    "doc, repo, did, collection, rkey, cid, rev, reason, detail, source, epoch_us(kept_at), size, "
    "block"
)
_TRIM_TO = 0.8  # of the limit, which makes trimming rare


@dataclass(frozen=True, slots=True)
class _Known:
    """What is stored: how many rows, the bytes of their blocks, and of which repos."""

    rows: int
    bytes: int
    dids: frozenset[str]


class InvalidRecords:
    """Writes within the store's transaction; ``committed`` makes the new size the known one.
    ``limit`` is in bytes of blocks."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, limit: int) -> None:
        self._cursor, self._limit = cursor, limit
        dids = cursor.execute("SELECT DISTINCT did FROM invalid_records").fetchall()
        self._known = self._measured(frozenset(did for (did,) in dids))
        self._written = self._known

    @property
    def rows(self) -> int:
        """How many records are held apart."""
        return self._known.rows

    @property
    def bytes(self) -> int:
        """The size of the blocks that are kept."""
        return self._known.bytes

    def of_repo(self, did: str) -> list[tuple[int, str, str]]:
        """``doc``, path and CID of the records of ``did``."""
        query = "SELECT doc, collection || '/' || rkey, cid FROM invalid_records WHERE repo = ?"
        return self._cursor.execute(query, [key_of(did)]).fetchall()

    def newest(self, limit: int) -> list[InvalidRow]:
        """The rows that came last."""
        return self._select("true ORDER BY kept_at DESC, doc LIMIT ?", [limit])

    def row(self, doc: int) -> InvalidRow | None:
        """The row of that record."""
        return next(iter(self._select("doc = ?", [doc])), None)

    def after(self, doc: int, limit: int) -> list[InvalidRow]:
        """Rows in the order of ``doc``, from above that one."""
        return self._select("doc > ? ORDER BY doc LIMIT ?", [doc, limit])

    def _select(self, where: str, parameters: Sequence[object]) -> list[InvalidRow]:
        """The rows for which ``where`` holds, a condition of ours (with its order and limit)."""
        query = f"SELECT {_COLUMNS} FROM invalid_records WHERE {where}"  # noqa: S608
        return [InvalidRow(*row) for row in self._cursor.execute(query, parameters).fetchall()]

    def write(self, batch: Batch, taken: set[int]) -> None:
        """Replace the rows of every record that ``batch`` touches, but those of ``taken``."""
        known = self._known.dids
        gone = [doc for doc, (did, _) in batch.docs.items() if did in known]
        delete(self._cursor, "invalid_records", "doc", gone)
        purged = [key_of(did) for did in batch.purged & known]
        delete(self._cursor, "invalid_records", "repo", purged)
        found = (row for _, row in batch.docs.values() if isinstance(row, InvalidRow))
        rows = [row for row in found if row.doc not in taken]
        insert(self._cursor, "invalid_records", rows)
        if gone or purged or rows:
            self._written = self._measured(known | {row.did for row in rows})
            self._trim()

    def committed(self) -> None:
        """The transaction of the last ``write`` is durable."""
        self._known = self._written

    def _trim(self) -> None:
        if self._written.bytes <= self._limit:
            return
        self._cursor.execute(
            """
            UPDATE invalid_records SET block = NULL, size = 0 WHERE doc IN (
                SELECT doc FROM (
                    SELECT doc, sum(size) OVER (ORDER BY kept_at DESC, doc DESC) AS total
                    FROM invalid_records WHERE size > 0
                ) WHERE total > ?)
            """,
            [int(self._limit * _TRIM_TO)],
        )
        self._written = self._measured(self._written.dids)

    def _measured(self, dids: frozenset[str]) -> _Known:
        ((rows, size),) = self._cursor.execute(_SIZES).fetchall()
        return _Known(int(rows), int(size), dids)

"""What the text index reads from the database: dataset texts, and which of them changed.

Rule: datasets of inactive accounts have no text, and a schema of an inactive account lends none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from search_api.database import Row, Session

MAX_FIELDS = 1_000  # field names of one schema that are searched
_LAST_MS = 2**42 - 1  # the year 2109


@dataclass(frozen=True, slots=True)
class DatasetText:
    """One visible dataset. ``tags`` and ``licenses`` are folded, ``license_label`` is the SPDX
    expression or else what was written. ``order`` sorts newer above older: milliseconds, then bits
    of ``doc`` so that it is nearly unique."""

    doc: int
    repo: int
    schema: int
    order: int
    name: str
    storage: str
    description: str | None = None
    tags: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    license_label: str | None = None
    handle: str | None = None
    schema_name: str | None = None
    fields: tuple[str, ...] = ()


def fold(session: Session, text: str) -> str:
    """A tag or licence without case and outer blanks, exactly as the SQL here folds them."""
    if text.isascii():
        return text.strip(" ").lower()
    return str(session.value("SELECT lower(trim(?))", [text]))


def last_change(session: Session) -> tuple[int, int]:
    """The newest change: seq and doc; (0, 0) where nothing ever changed."""
    row = session.row("SELECT seq, doc FROM changes ORDER BY seq DESC LIMIT 1")
    return (int(row[0]), int(row[1])) if row else (0, 0)


def vouches(session: Session, seq: int, doc: int) -> bool:
    """Whether this database once had ``seq`` as its last change, of ``doc``."""
    if seq <= 0:
        return seq == 0
    row = session.row("SELECT doc FROM changes WHERE seq = ?", [seq])
    return row is not None and row[0] == doc


def changes_after(session: Session, seq: int, limit: int) -> list[tuple[int, int]]:
    """The next changes in order, as (seq, doc)."""
    rows = session.rows(
        "SELECT seq, doc FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", [seq, limit]
    )
    return [(int(seq), int(doc)) for seq, doc in rows]


def affected(session: Session, docs: Sequence[int]) -> list[int]:
    """The keys of everything whose text depends on the records ``docs``: themselves, and the
    datasets of a schema."""
    changed = sorted(set(docs))
    rows = session.rows("SELECT doc FROM datasets WHERE schema_doc = ANY($1)", [changed])
    return sorted({*changed, *(int(row[0]) for row in rows)})


def dataset_keys(session: Session, after: int, limit: int) -> list[int]:
    """The next keys of datasets, visible or not, in order."""
    rows = session.rows(
        "SELECT doc FROM datasets WHERE doc > ? ORDER BY doc LIMIT ?", [after, limit]
    )
    return [int(row[0]) for row in rows]


_TEXTS = """
SELECT d.doc, r.repo, d.schema_doc, epoch_ms(r.sort_at), d.name, d.storage_kind, d.description,
       coalesce(d.license_spdx, nullif(trim(d.license), '')),
       lower(d.license_spdx), lower(nullif(trim(d.license), '')),
       CASE WHEN p.handle_verified THEN p.handle END, s.name
FROM datasets d
JOIN records r ON r.doc = d.doc
JOIN repos p ON p.repo = r.repo AND p.active
LEFT JOIN (
    schemas s JOIN records sr ON sr.doc = s.doc JOIN repos sp ON sp.repo = sr.repo AND sp.active
) ON s.doc = d.schema_doc
WHERE d.doc = ANY($1)
"""


def texts(session: Session, docs: Sequence[int]) -> list[DatasetText]:
    """The texts of those of ``docs`` that are datasets and visible."""
    rows = session.rows(_TEXTS, [list(docs)])
    tags = _lists(
        session,
        "SELECT doc, lower(trim(tag)) FROM dataset_tags WHERE doc = ANY($1) AND trim(tag) <> '' "
        "ORDER BY doc, position",
        list(docs),
    )
    fields = _lists(
        session,
        "SELECT doc, name FROM schema_fields WHERE doc = ANY($1) AND position < $2 "
        "ORDER BY doc, position",
        sorted({row[2] for row in rows if row[11] is not None}),
        MAX_FIELDS,
    )
    return [_text(row, tags[row[0]], fields[row[2]]) for row in rows]


def _text(row: Row, tags: tuple[str, ...], fields: tuple[str, ...]) -> DatasetText:
    doc, repo, schema, ms, name, storage, description, label, spdx, written, handle, type_ = row
    return DatasetText(
        doc=doc,
        repo=repo,
        schema=schema,
        order=_order(ms, doc),
        name=name,
        storage=storage,
        description=description,
        tags=tags,
        licenses=tuple(form for form in (spdx, written) if form),
        license_label=label,
        handle=handle,
        schema_name=type_,
        fields=fields,
    )


def _lists(
    session: Session, sql: str, docs: list[int], *more: object
) -> defaultdict[int, tuple[str, ...]]:
    grouped: defaultdict[int, tuple[str, ...]] = defaultdict(tuple)
    for doc, text in session.rows(sql, [docs, *more]):
        grouped[doc] += (text,)
    return grouped


def _order(ms: int, doc: int) -> int:
    return min(max(ms, 0), _LAST_MS) << 21 | doc & (2**21 - 1)

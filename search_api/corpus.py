"""What the text index reads from the database: dataset texts, and which of them changed.

Rule: datasets of inactive accounts have no text, and a schema of an inactive account lends none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from atdata.protocol.views import DatasetView
from search_api import queries
from search_api.database import FEW_KEYS, Row, Session, among, picked
from search_api.views import DATASET, IDENTITY, TAGS, clean_tags, dataset_view

MAX_FIELDS = 1_000  # field names of one schema that are searched
MAX_CHANGED = 5_000
MAX_URL = 1_000  # characters
MANY = 500  # datasets, for which the tables are gone through as a whole
NO_HANDLE = "handle.invalid"
_FIRST_MS, _LAST_MS = 1 - 2**42, 2**42 - 1  # the years 1830 and 2109


@dataclass(frozen=True, slots=True)
class DatasetText:
    """One visible dataset, and ``view`` as it is shown. ``tags`` and ``licenses`` are folded,
    ``license_label`` is the SPDX expression or else what was written, folded. ``order`` sorts newer
    above older: milliseconds, then bits of ``doc`` so that it is nearly unique; ``updated`` is when
    this version was indexed, in microseconds. ``kinds`` are kinds and dtypes of the schema's
    fields, ``formats`` says how and as what the shards are kept (``blobs``, ``tar``)."""

    doc: int
    repo: int
    schema: int
    order: int
    updated: int
    namespace: str
    view: DatasetView
    tags: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    license_label: str | None = None
    handle: str | None = None
    fields: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def description(self) -> str | None:
        return self.view.description

    @property
    def storage(self) -> str:
        return self.view.storage_kind

    @property
    def schema_name(self) -> str | None:
        return self.view.schema_name


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


def changed_after(session: Session, seq: int) -> set[int] | None:
    """What changed since ``seq``; None if that is more than is worth a look."""
    rows = session.rows(
        "SELECT doc FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", [seq, MAX_CHANGED + 1]
    )
    return {int(row[0]) for row in rows} if len(rows) <= MAX_CHANGED else None


def stale_repos(session: Session) -> list[int]:
    """Repos of which it is not known that their rows are what their hosts have."""
    rows = session.rows("SELECT repo FROM repos WHERE sync_state <> 'synced'")
    return [int(row[0]) for row in rows]


def affected(session: Session, docs: Sequence[int]) -> list[int]:
    """The keys of everything whose text depends on the records ``docs``: themselves, and the
    datasets of a schema."""
    if not docs:
        return []
    changed = sorted(set(docs))
    chosen, keys = among("doc", changed)
    rows = session.rows(f"SELECT doc FROM datasets WHERE {chosen}", keys)  # noqa: S608
    if others := sorted(set(changed).difference(int(row[0]) for row in rows)):  # maybe schemas
        rows += session.rows("SELECT doc FROM datasets WHERE schema_doc = ANY($1)", [others])
    return sorted({*changed, *(int(row[0]) for row in rows)})


def dataset_keys(session: Session, after: int, limit: int) -> list[int]:
    """The next keys of datasets, visible or not, in order."""
    rows = session.rows(
        "SELECT doc FROM datasets WHERE doc > ? ORDER BY doc LIMIT ?", [after, limit]
    )
    return [int(row[0]) for row in rows]


_TEXTS = f"""
SELECT r.repo, r.namespace,
       lower(d.license_spdx), lower(nullif(trim(d.license), '')),
       left(coalesce(r.record->>'$.storage.urls[0]', r.record->>'$.storage.shards[0].url',
                     r.record->>'$.storage.shards[0].key'), {MAX_URL}),
       list_transform({TAGS}, lambda tag: lower(trim(tag))),
       {IDENTITY}, {DATASET}
FROM datasets d
JOIN records r ON r.doc = d.doc
JOIN repos p ON p.repo = r.repo AND p.active
"""  # noqa: S608
_VIEWED = 6  # the column where the view begins


def texts(session: Session, docs: Sequence[int]) -> list[DatasetText]:
    """The texts of those of ``docs`` that are datasets and visible."""
    if len(docs) > MANY:
        return _texts(session, docs)
    pieces = (docs[start : start + FEW_KEYS] for start in range(0, len(docs), FEW_KEYS))
    return [text for piece in pieces for text in _texts(session, piece)]


def _texts(session: Session, docs: Sequence[int]) -> list[DatasetText]:
    chosen, keys = picked(docs, "datasets", "records")
    rows = session.rows(chosen + _TEXTS, keys)
    named = queries.schema_names(session, (row[-1] for row in rows))
    fields = _grouped(
        session,
        f"SELECT doc, name, kind, dtype FROM schema_fields WHERE position < {MAX_FIELDS} AND",  # noqa: S608
        sorted(named),
    )
    return [_text(row, named.get(row[-1]), fields[row[-1]]) for row in rows]


def _text(row: Row, schema: tuple[str, str] | None, fields: Sequence[Row]) -> DatasetText:
    repo, namespace, spdx, written, url, folded = row[:_VIEWED]
    doc, sort_us, _, _, _, indexed_us, *_, schema_doc = row[_VIEWED:]
    view = dataset_view(row[_VIEWED:], schema)
    return DatasetText(
        doc=doc,
        repo=repo,
        schema=schema_doc,
        order=_order(sort_us // 1_000, doc),
        updated=indexed_us,
        namespace=namespace,
        view=view,
        tags=tuple(filter(None, clean_tags(folded))),
        licenses=tuple(form for form in (spdx, written) if form),
        license_label=view.license_spdx or written,
        handle=None if view.handle == NO_HANDLE else view.handle,
        fields=tuple(name for name, _, _ in fields),
        kinds=tuple(kind.lower() for field in fields for kind in field[1:] if kind),
        formats=_formats(view.storage_kind, url),
    )


def _formats(storage: str, url: str | None) -> tuple[str, ...]:
    """``blobs`` are tars; of URLs, the first one's extension is everything behind the first dot of
    its base name."""
    if url is None:
        return (storage, "tar") if storage == "blobs" else (storage,)
    base = url.partition("?")[0].rpartition("/")[2].lower()
    endings = base.split(".")[1:]
    return (storage, *([".".join(endings), endings[-1]] if endings else []))


def _grouped(session: Session, select: str, docs: Sequence[int]) -> defaultdict[int, list[Row]]:
    """The rows of ``docs``, without ``doc``, in the order of their positions."""
    grouped: defaultdict[int, list[Row]] = defaultdict(list)
    if not docs:
        return grouped
    chosen, keys = among("doc", docs)
    for doc, *values in session.rows(f"{select} {chosen} ORDER BY doc, position", keys):
        grouped[doc].append(tuple(values))
    return grouped


def _order(ms: int, doc: int) -> int:
    return milliseconds_order(ms) | doc & (2**21 - 1)


def milliseconds_order(ms: int) -> int:
    """The lowest ``order`` of that millisecond since 1970, or of the nearest that has one."""
    return min(max(ms, _FIRST_MS), _LAST_MS) << 21

"""SQL to views: one function per question, on one session. Text from outside is bound.

Rule: every statement that shows or counts records joins ``repos`` on active accounts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from atdata.protocol.errors import NotFound, quote
from atdata.protocol.keys import key_of
from atdata.protocol.syntax import AtUri, Did, Handle
from atdata.protocol.views import (
    DatasetDetail,
    DatasetView,
    FieldView,
    SchemaDetail,
    SchemaView,
)
from search_api.database import Row, Session, picked
from search_api.views import (
    DATASET,
    FIELD,
    IDENTITY,
    SCHEMA,
    dataset_view,
    field_view,
    schema_view,
)

MAX_FIELDS = 1_000  # shown of one schema
Position = tuple[int, int]  # sort_at in microseconds, doc: where a page ended

# --- identifiers ------------------------------------------------------------------------------


def did_of(session: Session, identifier: Did | Handle) -> str | None:
    """The DID that is meant, or None if no account of the index has that verified handle."""
    if isinstance(identifier, Did):
        return str(identifier)
    row = session.row(
        "SELECT did FROM repos WHERE handle = ? AND handle_verified AND active ORDER BY did",
        [str(identifier)],
    )
    return None if row is None else str(row[0])


def repo_of(session: Session, identifier: Did | Handle) -> int | None:
    """The key of an account's repo; None if the index does not know that handle."""
    did = did_of(session, identifier)
    return None if did is None else key_of(did)


def key_of_uri(session: Session, uri: AtUri) -> int | None:
    """The ``doc`` of ``uri``, be there such a record or not; None if its handle is unknown."""
    did = did_of(session, uri.authority)
    return None if did is None else key_of(str(replace(uri, authority=Did(did))))


def accounts(session: Session, repos: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """DID and verified handle of those of ``repos`` that are active."""
    rows = session.rows(
        "SELECT repo, did, CASE WHEN handle_verified THEN handle END FROM repos "
        "WHERE active AND repo = ANY($1)",
        [list(repos)],
    )
    return {repo: (did, handle) for repo, did, handle in rows}


# --- datasets ---------------------------------------------------------------------------------


def datasets(session: Session, docs: Sequence[int]) -> tuple[DatasetView, ...]:
    """The visible ones of ``docs``, in that order."""
    if not docs:
        return ()
    chosen, keys = picked(docs, "datasets", "records")
    rows = session.rows(
        f"{chosen} SELECT {IDENTITY}, {DATASET} FROM datasets d JOIN records r ON r.doc = d.doc "  # noqa: S608
        "JOIN repos p ON p.repo = r.repo AND p.active",
        keys,
    )
    names = schema_names(session, [row[-1] for row in rows])
    views = {row[0]: dataset_view(row, names.get(row[-1])) for row in rows}
    return tuple(views[doc] for doc in docs if doc in views)


def dataset(session: Session, uri: AtUri) -> DatasetDetail:
    """One dataset with its record and schema. Raises ``NotFound``."""
    doc = key_of_uri(session, uri)
    found = datasets(session, [] if doc is None else [doc])
    if doc is None or not found:
        raise NotFound(f"the index has no dataset {quote(str(uri), 300)}")
    record, pds = _record(session, doc)
    schema_doc = session.value("SELECT schema_doc FROM datasets WHERE doc = ?", [doc])
    schema = next(iter(schemas(session, [schema_doc])), None)
    return DatasetDetail(
        dataset=found[0],
        record=record,
        pds=pds,
        schema=schema,
        schema_record=None if schema is None else _record(session, schema_doc)[0],
    )


def _record(session: Session, doc: int) -> tuple[dict[str, Any], str | None]:
    row = session.row(
        "SELECT r.record, p.pds FROM records r JOIN repos p ON p.repo = r.repo AND p.active "
        "WHERE r.doc = ?",
        [doc],
    )
    if row is None:
        raise NotFound("the record is gone")
    return json.loads(row[0]), row[1]


def schema_names(session: Session, docs: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Name and version of those of ``docs`` that are visible schemas."""
    keys = sorted(set(docs))
    if not keys:
        return {}
    chosen, values = picked(keys, "schemas", "records")
    rows = session.rows(
        f"{chosen} SELECT s.doc, s.name, s.version FROM schemas s JOIN records r ON r.doc = s.doc "  # noqa: S608
        "JOIN repos p ON p.repo = r.repo AND p.active",
        values,
    )
    return {doc: (name, version) for doc, name, version in rows}


# --- schemas ----------------------------------------------------------------------------------

_SCHEMAS = (
    f"SELECT {IDENTITY}, {SCHEMA} FROM schemas s JOIN records r ON r.doc = s.doc "  # noqa: S608
    "JOIN repos p ON p.repo = r.repo AND p.active "
)


def schemas(session: Session, docs: Sequence[int]) -> tuple[SchemaView, ...]:
    """The visible ones of ``docs``, in that order."""
    if not docs:
        return ()
    chosen, values = picked(docs, "schemas", "records")
    rows = session.rows(chosen + _SCHEMAS, values)
    views = {row[0]: view for row, view in zip(rows, _with_fields(session, rows), strict=True)}
    return tuple(views[doc] for doc in docs if doc in views)


def schema(session: Session, uri: AtUri) -> SchemaDetail:
    """One schema with its record. Raises ``NotFound``."""
    doc = key_of_uri(session, uri)
    found = schemas(session, [] if doc is None else [doc])
    if doc is None or not found:
        raise NotFound(f"the index has no schema {quote(str(uri), 300)}")
    return SchemaDetail(schema=found[0], record=_record(session, doc)[0])


def list_schemas(
    session: Session, q: str, author: str | None, limit: int, after: Position | None
) -> list[tuple[Position, SchemaView]]:
    """Newest first. Every word of ``q`` is in the name, the description or a field's name."""
    words = q.lower().split()[:32]
    where = ["true"]
    params: list[object] = []
    for word in words:
        where.append(
            "(contains(lower(s.name), ?) OR contains(lower(s.description), ?) OR EXISTS ("
            "FROM schema_fields f WHERE f.doc = s.doc AND contains(lower(f.name), ?)))"
        )
        params += [word, word, word]
    if author is not None:
        where.append("r.did = ?")
        params.append(author)
    rows = newest(session, _SCHEMAS, where, params, limit, after)
    views = _with_fields(session, rows)
    return [((row[1], row[0]), view) for row, view in zip(rows, views, strict=True)]


def newest(
    session: Session,
    select: str,
    where: Sequence[str],
    params: Sequence[object],
    limit: int,
    after: Position | None,
) -> list[Row]:
    """Rows of a SELECT that begins with ``IDENTITY``, newest first, below ``after``."""
    conditions, values = list(where), list(params)
    if after is not None:
        conditions.append("(epoch_us(r.sort_at), r.doc) < (?, ?)")
        values += after
    return session.rows(
        f"{select} WHERE {' AND '.join(conditions)} "
        "ORDER BY epoch_us(r.sort_at) DESC, r.doc DESC LIMIT ?",
        [*values, limit],
    )


def _with_fields(session: Session, rows: Sequence[Row]) -> list[SchemaView]:
    fields: defaultdict[int, list[FieldView]] = defaultdict(list)
    for row in session.rows(
        f"SELECT {FIELD} FROM schema_fields f WHERE f.doc = ANY($1) AND f.position < $2 "  # noqa: S608
        "ORDER BY f.doc, f.position",
        [[row[0] for row in rows], MAX_FIELDS],
    ):
        fields[row[0]].append(field_view(row))
    return [schema_view(row, fields[row[0]]) for row in rows]

"""Rows as Arrow tables: the way in which thousands of rows reach DuckDB in milliseconds.

The column types here and in ``schema.sql`` say the same; a test holds them against each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

import duckdb

from atdata.protocol.keys import key_of
from indexer.batch import Position, RepoState
from indexer.tables import (
    DatasetRow,
    Detail,
    LabelRow,
    LensRow,
    LensVerificationRow,
    SchemaRow,
)

# Its compiled names are invisible to a type checker.
pa: Any = import_module("pyarrow")
import_module("pyarrow.dataset")  # which DuckDB would load in the midst of the first transaction
Table = Any


@dataclass(frozen=True, slots=True)
class RepoRow:
    """``account_seq`` is JSON text."""

    repo: int
    did: str
    handle: str | None
    handle_verified: bool
    pds: str | None
    active: bool
    status: str | None
    account_seq: str
    rev: str | None
    data_cid: str | None
    sync_state: str
    sync_error: str | None


@dataclass(frozen=True, slots=True)
class SourceRow:
    """``event_time`` and ``seen_at`` are microseconds since 1970; ``gaps`` is JSON text."""

    source: int
    url: str
    cursor: int
    event_time: int | None
    seen_at: int | None
    gaps: str
    halted_because: str | None


@dataclass(frozen=True, slots=True)
class MetaRow:
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    seq: int
    doc: int
    action: str


@dataclass(frozen=True, slots=True)
class DropRow:
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """``kept_at`` is microseconds since 1970."""

    id: int
    source: str
    seq: int | None
    did: str | None
    reason: str
    detail: str
    frame: bytes
    kept_at: int


DETAIL_TABLES: dict[type[Detail], str] = {
    DatasetRow: "datasets",
    SchemaRow: "schemas",
    LensRow: "lenses",
    LabelRow: "labels",
    LensVerificationRow: "lens_verifications",
}

_COLUMNS = {
    "records": "doc:i repo:i uri did kind namespace collection rkey cid rev indexed_at:t created_at"
    " sort_at:t record",
    "datasets": "doc:i name description schema_uri schema_doc:i license license_spdx storage_kind"
    " samples:i bytes:i shards:i",
    "dataset_tags": "doc:i position:i tag",
    "schemas": "doc:i name version description family",
    "schema_fields": "doc:i position:i name kind dtype shape items optional:b description",
    "lenses": "doc:i name description source_uri target_uri source_doc:i target_doc:i language"
    " getter_code putter_code",
    "labels": "doc:i name dataset_uri dataset_doc:i version description",
    "lens_verifications": "doc:i lens_uri lens_doc:i lens_commit verification_method",
    "repos": "repo:i did handle handle_verified:b pds active:b status account_seq rev data_cid"
    " sync_state sync_error",
    "sources": "source:i url cursor:i event_time:t seen_at:t gaps halted_because",
    "meta": "key value",
    "changes": "seq:i doc:i action",
    "drops": "reason count:i",
    "invalid_records": "doc:i repo:i did collection rkey cid rev reason detail source kept_at:t"
    " size:i block:x",
    "quarantine": "id:i source seq:i did reason detail frame:x kept_at:t",
}
_TYPES = {
    "": pa.string(),
    "i": pa.int64(),
    "b": pa.bool_(),
    "t": pa.timestamp("us", tz="UTC"),
    "x": pa.binary(),
}


def _schema(columns: str) -> Any:
    pairs = (column.partition(":") for column in columns.split())
    return pa.schema([pa.field(name, _TYPES[code]) for name, _, code in pairs])


SCHEMAS = {name: _schema(columns) for name, columns in _COLUMNS.items()}


def table(name: str, rows: Sequence[object]) -> Table:
    """``rows`` of the table ``name``, in order."""
    schema = SCHEMAS[name]
    columns = [pa.array([getattr(row, f.name) for row in rows], f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def keys(values: Iterable[int]) -> Table:
    """One column ``key``."""
    return pa.table({"key": pa.array(list(values), pa.int64())})


@contextmanager
def registered(cursor: duckdb.DuckDBPyConnection, name: str, rows: Table) -> Iterator[None]:
    """Make ``rows`` a view ``name`` of ``cursor`` for the time of the block."""
    cursor.register(name, rows)
    try:
        yield
    finally:
        cursor.unregister(name)


def repo_row(state: RepoState) -> RepoRow:
    return RepoRow(
        repo=key_of(state.did),
        did=state.did,
        handle=state.handle,
        handle_verified=state.handle_verified,
        pds=state.pds,
        active=state.active,
        status=state.status,
        account_seq=json.dumps(dict(state.account_seq), sort_keys=True),
        rev=state.rev,
        data_cid=state.data_cid,
        sync_state=str(state.sync_state),
        sync_error=state.sync_error,
    )


def source_row(position: Position) -> SourceRow:
    return SourceRow(
        source=key_of(position.url),
        url=position.url,
        cursor=position.cursor,
        event_time=position.event_time,
        seen_at=position.seen_at,
        gaps=json.dumps([asdict(gap) for gap in position.gaps]),
        halted_because=position.halted_because,
    )

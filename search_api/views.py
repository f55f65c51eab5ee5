"""Rows of the database as views. Pure; the column lists stand beside the functions that read them.

Rule: a handle is shown only if it was verified both ways; otherwise it is ``handle.invalid``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from atdata.protocol.views import (
    CodeRefView,
    DatasetView,
    FieldView,
    LensView,
    SchemaView,
    SizeView,
)
from search_api.database import Row

# What every view of a record begins with. ``r`` is records, ``p`` repos.
IDENTITY = (
    "r.doc, epoch_us(r.sort_at), r.uri, r.cid, r.did, epoch_us(r.indexed_at), r.created_at, "
    "CASE WHEN p.handle_verified THEN p.handle WHEN p.handle IS NOT NULL THEN 'handle.invalid' END "
    "AS handle, p.pds, p.sync_state"
)
# Of the records that are looked up anyway; all of `dataset_tags` would be gone through.
TAGS = "from_json(r.record->'$.tags', '[\"VARCHAR\"]')"
DATASET = (
    "d.name, d.description, d.schema_uri, d.license, d.license_spdx, d.storage_kind, "
    f"d.samples, d.bytes, d.shards, {TAGS}, d.schema_doc"
)
SCHEMA = "s.name, s.version, s.description"
FIELD = "f.doc, f.name, f.kind, f.optional, f.dtype, f.shape, f.items, f.description"
LENS = "l.name, l.description, l.source_uri, l.target_uri, l.language, l.getter_code, l.putter_code"


def timestamp(microseconds: int) -> str:
    """RFC 3339 in UTC with milliseconds, as the protocol writes it."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds // 1_000 % 1_000:03d}Z"


def verification(sync_state: str) -> str:
    """Every row was proved by a signed commit; this says whether the repo is known to be ahead."""
    return "verified" if sync_state == "synced" else "stale"


def record_url(pds: str | None, uri: str) -> str | None:
    """``getRecord`` of ``uri`` on ``pds``, if that is an http or https origin.

    Source: https://atproto.com/lexicons/com-atproto-repo (getRecord).
    """
    if pds is None or not pds.startswith(("https://", "http://")):
        return None
    repo, collection, rkey = uri.removeprefix("at://").split("/")
    asked = urlencode({"repo": repo, "collection": collection, "rkey": rkey})
    return f"{pds.rstrip('/')}/xrpc/com.atproto.repo.getRecord?{asked}"


def clean_tags(tags: Sequence[str] | None) -> tuple[str, ...]:
    """What ``TAGS`` gives, as the tables have it: without NUL."""
    return tuple(tag.replace("\0", "\ufffd") for tag in tags or ())


def dataset_view(row: Row, schema: tuple[str, str] | None) -> DatasetView:
    """``IDENTITY`` and ``DATASET``; ``schema`` is its name and version, if it is visible."""
    _, _, uri, cid, did, indexed_us, created_at, handle, pds, state, *rest = row
    name, description, schema_uri, written, spdx, storage_kind, *size, tags, _ = rest
    return DatasetView(
        uri=uri,
        cid=cid,
        did=did,
        handle=handle,
        verification=verification(state),
        record_url=record_url(pds, uri),
        indexed_at=timestamp(indexed_us),
        created_at=created_at,
        name=name,
        description=description,
        schema_uri=schema_uri,
        schema_name=schema[0] if schema else None,
        schema_version=schema[1] if schema else None,
        license=written,
        license_spdx=spdx,
        storage_kind=storage_kind,
        size=SizeView(*size),
        tags=clean_tags(tags),
    )


def schema_view(row: Row, fields: Sequence[FieldView]) -> SchemaView:
    """``IDENTITY`` and ``SCHEMA``."""
    _, _, uri, cid, did, indexed_us, created_at, handle, pds, state, *rest = row
    name, version, description = rest
    return SchemaView(
        uri=uri,
        cid=cid,
        did=did,
        handle=handle,
        verification=verification(state),
        record_url=record_url(pds, uri),
        indexed_at=timestamp(indexed_us),
        created_at=created_at,
        name=name,
        version=version,
        description=description,
        fields=tuple(fields),
    )


def field_view(row: Row) -> FieldView:
    """``FIELD``."""
    _, name, kind, optional, dtype, shape, items, description = row
    dimensions = json.loads(shape) if shape is not None else None
    return FieldView(
        name=name,
        kind=kind,
        optional=optional,
        dtype=dtype,
        shape=tuple(dimensions) if dimensions is not None else None,
        items=items,
        description=description,
    )


def lens_view(row: Row) -> LensView:
    """``IDENTITY`` and ``LENS``."""
    _, _, uri, cid, did, indexed_us, created_at, handle, pds, state, *rest = row
    name, description, source, target, language, getter, putter = rest
    return LensView(
        uri=uri,
        cid=cid,
        did=did,
        handle=handle,
        verification=verification(state),
        record_url=record_url(pds, uri),
        indexed_at=timestamp(indexed_us),
        created_at=created_at,
        name=name,
        description=description,
        source_schema=source,
        target_schema=target,
        language=language,
        getter_code=_code(getter),
        putter_code=_code(putter),
    )


def _code(text: str | None) -> CodeRefView | None:
    if text is None:
        return None
    code: dict[str, Any] = json.loads(text)
    return CodeRefView(
        repository=code["repository"],
        commit=code["commit"],
        path=code["path"],
        branch=code.get("branch"),
        language=code.get("language"),
    )

"""From a verified record to the rows of the index. Pure: values in, values out.

The rule protected here is invariant 3: a row is a function of what the network says. Keys are
hashes of URIs and DIDs, so that no row depends on the order in which things arrived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from atdata.protocol import cbor, records
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.keys import key_of
from atdata.protocol.licenses import spdx_of
from atdata.protocol.namespaces import kind_of, namespace_of
from atdata.protocol.records import (
    ArrayType,
    CodeRef,
    DatasetRecord,
    FieldType,
    LabelRecord,
    LensRecord,
    LensVerificationRecord,
    NdarrayType,
    PrimitiveType,
    Record,
    RefType,
    SchemaRecord,
    UnknownType,
    moment,
    storage_kind,
)
from atdata.protocol.syntax import Tid
from atdata.protocol.versions import schema_family
from indexer.tables import (
    DatasetRow,
    Detail,
    FieldRow,
    LabelRow,
    LensRow,
    LensVerificationRow,
    RecordRow,
    Rows,
    SchemaRow,
    TagRow,
)

MAX_BIGINT = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where a record is and which version: verified parts of the commit. ``indexed_at`` is the time
    at which this index takes it in, in microseconds since 1970."""

    did: str
    collection: str
    rkey: str
    cid: str
    rev: str
    indexed_at: int

    @property
    def uri(self) -> str:
        return uri_of(self.did, self.collection, self.rkey)


def uri_of(did: str, collection: str, rkey: str) -> str:
    """The AT URI of a record, by DID: what ``doc`` is the key of."""
    return f"at://{did}/{collection}/{rkey}"


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware ``moment``."""
    return (moment - _EPOCH) // _MICROSECOND


def rows_of(envelope: Envelope, block: bytes) -> Rows:
    """The rows of the record in ``block`` (DAG-CBOR, already checked against its CID).

    Raises ``InvalidCbor`` if the block is outside the data model, ``InvalidRecord`` if no known
    generation of the lexicon explains it.
    """
    body = cbor.decode(block)
    if not isinstance(body, dict):
        raise InvalidRecord("", "is not a map")
    model = records.parse(envelope.collection, body)
    doc = key_of(envelope.uri)
    return Rows(
        record=_record_row(envelope, doc, model, body),
        detail=_detail(envelope, doc, model),
        tags=_tags(doc, model),
        fields=_fields(doc, model),
    )


def clean(text: str) -> str:
    """Text that every reader of the database can take: no NUL, no lone surrogate."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)


def _record_row(at: Envelope, doc: int, model: Record, body: Mapping[str, Any]) -> RecordRow:
    kind = kind_of(at.collection)
    if kind is None:
        raise InvalidRecord("", f"{at.collection} is not an indexed collection")
    revised = Tid.parse(at.rev).timestamp_us
    return RecordRow(
        doc=doc,
        repo=key_of(at.did),
        uri=at.uri,
        did=at.did,
        kind=str(kind),
        namespace=namespace_of(at.collection),
        collection=at.collection,
        rkey=at.rkey,
        cid=at.cid,
        rev=at.rev,
        indexed_at=at.indexed_at,
        created_at=clean(model.created_at or _text_of(revised)),
        sort_at=_sort_at(model.created_at, revised),
        record=clean(_json(cbor.to_json(body))),
    )


def _sort_at(created_at: str | None, revised: int) -> int:
    """A date in the future must not win "newest first"; a date in the past is the author's say."""
    written = None if created_at is None else moment(created_at)
    return revised if written is None else min(revised, micros(written))


def _text_of(at: int) -> str:
    return (_EPOCH + at * _MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _detail(at: Envelope, doc: int, model: Record) -> Detail:
    match model:
        case DatasetRecord():
            return _dataset_row(doc, model)
        case SchemaRecord():
            name = clean(model.name)
            family = schema_family(at.did, name)
            return SchemaRow(doc, name, clean(model.version), _clean(model.description), family)
        case LensRecord():
            return _lens_row(doc, model)
        case LabelRecord():
            return LabelRow(
                doc=doc,
                name=clean(model.name),
                dataset_uri=clean(model.dataset_uri),
                dataset_doc=key_of(model.dataset_uri),
                version=_clean(model.version),
                description=_clean(model.description),
            )
        case LensVerificationRecord():
            return LensVerificationRow(
                doc=doc,
                lens_uri=clean(model.lens),
                lens_doc=key_of(model.lens),
                lens_commit=clean(model.lens_commit),
                verification_method=clean(model.verification_method),
            )


def _dataset_row(doc: int, model: DatasetRecord) -> DatasetRow:
    return DatasetRow(
        doc=doc,
        name=clean(model.name),
        description=_clean(model.description),
        schema_uri=clean(model.schema_ref),
        schema_doc=key_of(model.schema_ref),
        license=_clean(model.license),
        license_spdx=spdx_of(model.license),
        storage_kind=storage_kind(model.storage),
        samples=_count(model.size.samples),
        bytes=_count(model.size.bytes),
        shards=_count(model.size.shards),
    )


def _count(claimed: int | None) -> int | None:
    """A claim that no column can hold is no claim."""
    return claimed if claimed is not None and 0 <= claimed <= MAX_BIGINT else None


def _lens_row(doc: int, model: LensRecord) -> LensRow:
    return LensRow(
        doc=doc,
        name=clean(model.name),
        description=_clean(model.description),
        source_uri=clean(model.source_schema),
        target_uri=clean(model.target_schema),
        source_doc=key_of(model.source_schema),
        target_doc=key_of(model.target_schema),
        language=_clean(model.language),
        getter_code=_code(model.getter_code),
        putter_code=_code(model.putter_code),
    )


def _code(code: CodeRef | None) -> str | None:
    if code is None:
        return None
    members = {
        "repository": code.repository,
        "commit": code.commit,
        "path": code.path,
        "branch": code.branch,
        "language": code.language,
    }
    return clean(_json({name: text for name, text in members.items() if text is not None}))


def _tags(doc: int, model: Record) -> tuple[TagRow, ...]:
    if not isinstance(model, DatasetRecord):
        return ()
    return tuple(TagRow(doc, i, clean(tag)) for i, tag in enumerate(model.tags))


def _fields(doc: int, model: Record) -> tuple[FieldRow, ...]:
    if not isinstance(model, SchemaRecord):
        return ()
    return tuple(
        FieldRow(
            doc=doc,
            position=position,
            name=clean(field.name),
            kind=_kind(field.type),
            dtype=_clean(field.type.dtype) if isinstance(field.type, NdarrayType) else None,
            shape=_shape(field.type),
            items=spelling(field.type.items) if isinstance(field.type, ArrayType) else None,
            optional=field.optional,
            description=_clean(field.description),
        )
        for position, field in enumerate(model.fields)
    )


def _kind(of: FieldType) -> str:
    match of:
        case PrimitiveType():
            return of.primitive
        case NdarrayType():
            return "ndarray"
        case ArrayType():
            return "array"
        case RefType():
            return "ref"
        case UnknownType():
            return "unknown"


def _shape(of: FieldType) -> str | None:
    if not isinstance(of, NdarrayType) or of.shape is None:
        return None
    return _json(list(of.shape))


def spelling(of: FieldType) -> str:
    """A type as Python spells it: ``str``, ``NDArray``, ``list[list[int]]``; a reference is its
    AT URI, and a type that this version cannot name is the name that its writer gave it."""
    depth = 0
    while isinstance(of, ArrayType):
        of, depth = of.items, depth + 1
    match of:
        case PrimitiveType():
            inner: str = of.primitive
        case NdarrayType():
            inner = "NDArray"
        case RefType():
            inner = clean(of.ref)
        case UnknownType():
            inner = clean(of.name)
    return "list[" * depth + inner + "]" * depth

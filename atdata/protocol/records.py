"""One frozen model per record kind, whatever generation of writer or namespace it came from.

``parse`` reads every known body into the models of ``atdata.protocol.models``; ``to_body`` writes
ours. Dicts stop here: the rest of the project sees only models. Limits are those of the lexicons
(``atdata/lexicons``). This module is the public face; the ``*_body`` modules know one kind each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atdata.protocol.body import MAX_TYPE, Body, moment
from atdata.protocol.dataset_body import read_dataset, read_label, write_dataset, write_label
from atdata.protocol.errors import InvalidRecord, quote
from atdata.protocol.lens_body import (
    read_lens,
    read_verification,
    write_lens,
    write_verification,
)
from atdata.protocol.models import (
    DEFAULT_DTYPE,
    ArrayType,
    BlobShard,
    BlobStorage,
    Checksum,
    CodeRef,
    DatasetRecord,
    DatasetSize,
    ExternalShard,
    ExternalStorage,
    Field,
    FieldType,
    LabelRecord,
    LensRecord,
    LensVerificationRecord,
    NdarrayType,
    Primitive,
    PrimitiveType,
    Record,
    RefType,
    S3Shard,
    S3Storage,
    SchemaRecord,
    Storage,
    StorageKind,
    UnknownType,
    storage_kind,
)
from atdata.protocol.namespaces import (
    DATASET_COLLECTION,
    LABEL_COLLECTION,
    LENS_COLLECTION,
    SCHEMA_COLLECTION,
    SUCCESSOR,
    Kind,
    kind_of,
)
from atdata.protocol.schema_body import read_schema, write_schema

__all__ = [
    "DEFAULT_DTYPE",
    "ArrayType",
    "BlobShard",
    "BlobStorage",
    "Checksum",
    "CodeRef",
    "DatasetRecord",
    "DatasetSize",
    "ExternalShard",
    "ExternalStorage",
    "Field",
    "FieldType",
    "LabelRecord",
    "LensRecord",
    "LensVerificationRecord",
    "NdarrayType",
    "Primitive",
    "PrimitiveType",
    "Record",
    "RefType",
    "S3Shard",
    "S3Storage",
    "SchemaRecord",
    "Storage",
    "StorageKind",
    "UnknownType",
    "collection_of",
    "moment",
    "parse",
    "storage_kind",
    "to_body",
]

_READERS: dict[Kind, Callable[[Body], Record]] = {
    Kind.SCHEMA: read_schema,
    Kind.DATASET: read_dataset,
    Kind.LENS: read_lens,
    Kind.LABEL: read_label,
    Kind.LENS_VERIFICATION: read_verification,
}


def parse(collection: str, body: Mapping[str, Any]) -> Record:
    """Read a decoded body (DAG-CBOR values, ``Cid`` for links) of any known generation.

    Raises ``InvalidRecord`` naming the path and the reason; never any other error for any input.
    """
    kind = kind_of(collection)
    if kind is None:
        raise InvalidRecord("", f"{quote(collection)} is no collection of datasets")
    members = Body.of(body, "")
    written = members.maybe_text("$type", MAX_TYPE)
    if written is not None and kind_of(written) is not kind:
        raise InvalidRecord("/$type", f"{quote(written)} in the collection {collection}")
    return _READERS[kind](members)


def to_body(record: Record) -> dict[str, Any]:
    """The body to write, valid under the ``ac.foundation.dataset`` lexicons, ``$type`` included.

    A schema carries both ``fields[]`` and ``schemaType`` + ``schema``, so that every generation of
    reader understands it. Raises ``InvalidRecord`` for a record that breaks a limit of its lexicon,
    or holds what the data model does not have (floats, in metadata).
    """
    body = _write(record)
    parse(body["$type"], body)
    return body


def collection_of(record: Record) -> str:
    """The collection that a record is written to."""
    match record:
        case SchemaRecord():
            return SCHEMA_COLLECTION
        case DatasetRecord():
            return DATASET_COLLECTION
        case LensRecord():
            return LENS_COLLECTION
        case LabelRecord():
            return LABEL_COLLECTION
        case LensVerificationRecord():
            return f"{SUCCESSOR}.lensVerification"


def _write(record: Record) -> dict[str, Any]:
    match record:
        case SchemaRecord():
            return write_schema(record)
        case DatasetRecord():
            return write_dataset(record)
        case LensRecord():
            return write_lens(record)
        case LabelRecord():
            return write_label(record)
        case LensVerificationRecord():
            return write_verification(record)

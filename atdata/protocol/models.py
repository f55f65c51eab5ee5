"""One frozen model per record kind, whatever generation of writer or namespace it came from.

Values only: ``atdata.protocol.records`` reads every known body into these models and writes ours.
Nothing here knows a collection, a ``$type`` or a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from atdata.protocol.cid import Cid

# --- the type of a sample --------------------------------------------------------------------

Primitive = Literal["str", "int", "float", "bool", "bytes"]


@dataclass(frozen=True, slots=True)
class PrimitiveType:
    """``str``, ``int``, ``float``, ``bool`` or ``bytes``."""

    primitive: Primitive


DEFAULT_DTYPE = "float32"


@dataclass(frozen=True, slots=True)
class NdarrayType:
    """A NumPy array. ``dtype`` is a NumPy name (``float32``); None where the writer left it open.
    ``shape`` holds None for a dimension of any length; None as a whole where it is not stated.

    ``DEFAULT_DTYPE`` is also what stands in ``fields[]`` where nobody chose a dtype. ``chosen`` is
    True where the body says that somebody did, and False for all other dtypes."""

    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class ArrayType:
    """A list whose items are all of one type."""

    items: FieldType


@dataclass(frozen=True, slots=True)
class RefType:
    """A sample of another schema, by AT URI."""

    ref: str


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A type that this version cannot name. Kept and shown, never guessed at."""

    name: str


FieldType = PrimitiveType | NdarrayType | ArrayType | RefType | UnknownType


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a sample. ``optional`` means that its value may be None."""

    name: str
    type: FieldType
    optional: bool = False
    description: str | None = None


# --- records -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SchemaRecord:
    """A sampleSchema (``schema`` in the successor): the type of a sample, in field order."""

    name: str
    version: str
    fields: tuple[Field, ...]
    created_at: str
    description: str | None = None
    license: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checksum:
    """``algorithm`` as published (``sha256`` …; ``none`` means unknown), ``digest`` in hex."""

    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True)
class ExternalShard:
    """A shard at a URL (storageExternal, storageHttp)."""

    url: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class BlobShard:
    """A shard as a blob on the author's PDS. ``size`` (bytes) and ``mime_type`` are the writer's
    claims and may be false; only the CID binds."""

    cid: Cid
    size: int | None = None
    mime_type: str | None = None
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class S3Shard:
    """A shard in a bucket (storageS3)."""

    key: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class ExternalStorage:
    """Shards at URLs. A URL may be a brace pattern (``data-{000..009}.tar``) for several."""

    shards: tuple[ExternalShard, ...]


@dataclass(frozen=True, slots=True)
class BlobStorage:
    """Shards as blobs of the repository that holds the record."""

    shards: tuple[BlobShard, ...]


@dataclass(frozen=True, slots=True)
class S3Storage:
    """Shards as objects of a bucket; ``endpoint`` says where, if not at the default provider."""

    bucket: str
    shards: tuple[S3Shard, ...]
    region: str | None = None
    endpoint: str | None = None


Storage = ExternalStorage | BlobStorage | S3Storage
StorageKind = Literal["external", "blobs", "s3"]


@dataclass(frozen=True, slots=True)
class DatasetSize:
    """The author's claims: number of samples, bytes of all shards, number of shards."""

    samples: int | None = None
    bytes: int | None = None
    shards: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A dataset (``record``; ``entry`` in the successor)."""

    name: str
    schema_ref: str
    storage: Storage
    created_at: str
    description: str | None = None
    tags: tuple[str, ...] = ()
    license: str | None = None
    size: DatasetSize = DatasetSize()
    metadata: bytes | None = None  # msgpack, at most 100,000 bytes
    content_metadata: Mapping[str, Any] | None = None  # successor; or a plain object in `metadata`
    metadata_schema_ref: str | None = None


@dataclass(frozen=True, slots=True)
class CodeRef:
    """Where a lens function's code lives. ``path`` is ``file.py:function``."""

    repository: str
    commit: str
    path: str
    branch: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class LensRecord:
    """A two-way transformation between two schemas; the code may be absent in old records."""

    name: str
    source_schema: str
    target_schema: str
    created_at: str
    getter_code: CodeRef | None = None
    putter_code: CodeRef | None = None
    description: str | None = None
    language: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source_schema_version: str | None = None
    target_schema_version: str | None = None


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """A name (and version) that an author gives to a dataset."""

    name: str
    dataset_uri: str
    created_at: str
    version: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class LensVerificationRecord:
    """Somebody's statement that a lens, at one version of its record, was verified."""

    lens: str
    lens_commit: str
    verification_method: str
    created_at: str | None = None
    code_hash: Checksum | str | None = None  # writers differ: structured, or plain text
    proof_ref: CodeRef | str | None = None


Record = SchemaRecord | DatasetRecord | LensRecord | LabelRecord | LensVerificationRecord


def storage_kind(storage: Storage) -> StorageKind:
    """``external``, ``blobs`` or ``s3``."""
    match storage:
        case ExternalStorage():
            return "external"
        case BlobStorage():
            return "blobs"
        case S3Storage():
            return "s3"

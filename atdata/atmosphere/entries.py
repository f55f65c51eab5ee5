"""A dataset record as an index entry: names, shard URLs, metadata, in both namespaces.

Rule: reading an entry never depends on what only people look at. Metadata that cannot be decoded
is logged and None; a record that cannot be read is an error that says where.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import ormsgpack

from atdata.atmosphere.repository import StoredRecord
from atdata.protocol import records
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.records import (
    BlobStorage,
    DatasetRecord,
    DatasetSize,
    ExternalStorage,
    Record,
    S3Storage,
    Storage,
    StorageKind,
)
from atdata.protocol.syntax import AtUri, BlobUri, Did

MAX_METADATA = 100_000  # bytes of msgpack

R = TypeVar("R", bound=Record)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset as published: ``record``, and where it is. Follows ``atdata.index.IndexEntry``.
    ``metadata`` is the author's, decoded, or None."""

    uri: str
    cid: str
    record: DatasetRecord
    metadata: dict[str, Any] | None = None

    @property
    def did(self) -> str:
        """The author's DID."""
        return str(AtUri.parse(self.uri).authority)

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.record.name

    @property
    def schema_ref(self) -> str:
        """AT URI of the schema that its samples follow."""
        return self.record.schema_ref

    @property
    def storage_kind(self) -> StorageKind:
        """``external``, ``blobs`` or ``s3``."""
        return records.storage_kind(self.record.storage)

    @property
    def data_urls(self) -> list[str]:
        """One URL per shard: as given for external storage (patterns like ``{000..009}`` stay),
        ``at://did/blob/cid`` for blobs, ``s3://bucket/key`` for buckets."""
        return data_urls(self.did, self.record.storage)

    @property
    def tags(self) -> tuple[str, ...]:
        """The author's tags, in order."""
        return self.record.tags

    @property
    def license(self) -> str | None:
        """The licence as published."""
        return self.record.license

    @property
    def description(self) -> str | None:
        """The author's description."""
        return self.record.description

    @property
    def size(self) -> DatasetSize:
        """The author's claims: samples, bytes, shards."""
        return self.record.size

    @property
    def created_at(self) -> str:
        """When the author says that it was made."""
        return self.record.created_at


def read_entry(stored: StoredRecord) -> DatasetEntry:
    """The entry in a repository's record. Raises ``InvalidRecord``."""
    record = read_as(DatasetRecord, stored)
    try:
        metadata = unpack_metadata(record)
    except InvalidRecord as error:
        log.warning("%s: %s", stored.uri, error)
        metadata = None
    return DatasetEntry(str(stored.uri), stored.cid, record, metadata)


def read_as(kind: type[R], stored: StoredRecord) -> R:
    """The model of a record of one kind. Raises ``InvalidRecord``."""
    record = records.parse(str(stored.uri.collection), stored.value)
    if not isinstance(record, kind):
        raise InvalidRecord("/$type", f"{stored.uri} is a {type(record).__name__}")
    return record


def data_urls(did: str, storage: Storage) -> list[str]:
    """The shards of a storage as URLs, in order."""
    match storage:
        case BlobStorage():
            return [str(BlobUri(Did(did), shard.cid)) for shard in storage.shards]
        case ExternalStorage():
            return [shard.url for shard in storage.shards]
        case S3Storage():
            return [f"s3://{storage.bucket}/{shard.key}" for shard in storage.shards]


def pack_metadata(metadata: Mapping[str, Any] | None) -> bytes | None:
    """Metadata as the record holds it: msgpack. Raises ``InvalidRecord``."""
    if metadata is None:
        return None
    try:
        packed = ormsgpack.packb(dict(metadata), option=ormsgpack.OPT_SERIALIZE_NUMPY)
    except ormsgpack.MsgpackEncodeError as error:
        raise InvalidRecord("/metadata", f"cannot be written as msgpack: {error}") from error
    if len(packed) > MAX_METADATA:
        raise InvalidRecord("/metadata", f"{len(packed)} bytes, at most {MAX_METADATA}")
    return packed


def unpack_metadata(record: DatasetRecord) -> dict[str, Any] | None:
    """Metadata of any generation: msgpack bytes, or a plain object. Raises ``InvalidRecord``."""
    if record.metadata is None:
        return None if record.content_metadata is None else dict(record.content_metadata)
    try:
        metadata = ormsgpack.unpackb(record.metadata)
    except ormsgpack.MsgpackDecodeError as error:
        raise InvalidRecord("/metadata", f"is not msgpack: {error}") from error
    if not isinstance(metadata, dict):
        raise InvalidRecord("/metadata", f"expected a map, got {type(metadata).__name__}")
    return metadata

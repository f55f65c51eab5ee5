"""Publishing dataset records, and reading them back as datasets.

Rule: a record refers to every shard. Blobs are uploaded before the record that makes the PDS keep
them, and what is read is checked against the CIDs in the record.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from atdata.atmosphere.client import AtmosphereClient
from atdata.atmosphere.entries import pack_metadata, read_as, read_entry, unpack_metadata
from atdata.atmosphere.given import given_size, given_storage
from atdata.atmosphere.index_entry import AtmosphereIndexEntry
from atdata.atmosphere.repository import RecordBody
from atdata.atmosphere.schemas import SchemaPublisher, list_kind, now
from atdata.atmosphere.uploads import SHARD_MIME, Shard, Uploaded, upload_all
from atdata.atmosphere.wire import RecordRef, as_json
from atdata.dataset import Dataset
from atdata.load import open_source
from atdata.protocol import records
from atdata.protocol.errors import InvalidRecord, InvalidShard
from atdata.protocol.namespaces import DATASET_COLLECTION, Kind
from atdata.protocol.records import (
    BlobStorage,
    DatasetRecord,
    DatasetSize,
    ExternalShard,
    ExternalStorage,
    StorageKind,
)
from atdata.protocol.syntax import BlobUri
from atdata.tar import read_samples

Sample = TypeVar("Sample")

MAX_RECORD_JSON = 150 * 1024  # of a request with a record, at the reference PDS
BLOB_REF_BYTES = 142  # of one shard in it, as JSON
REQUEST_BYTES = 500  # around it
UPLOADED_LATER = ExternalStorage((ExternalShard("https://to.be.uploaded"),))


class DatasetPublisher:
    """Writes dataset records into the session's repository.

    Source: lexicon ``ac.foundation.dataset.record``.
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client

    def publish(
        self,
        dataset: Dataset[Any],
        *,
        name: str,
        schema_uri: str | None = None,
        auto_publish_schema: bool = True,
        schema_version: str = "1.0.0",
        description: str | None = None,
        tags: Sequence[str] = (),
        license: str | None = None,  # noqa: A002 - the record's own name for it
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a dataset whose shards stay where they are; returns its AT URI.

        The record holds the dataset's URLs as they were given, and refers to blobs of the
        account's own. Without ``schema_uri`` the schema
        of its sample type is published as ``schema_version``, unless ``auto_publish_schema`` is
        off, which is a ``ValueError``. ``metadata`` becomes msgpack of at most 100,000 bytes.

        Raises ``NotLoggedIn``, ``InvalidRecord`` (a limit of the lexicon), ``XrpcError``, and
        ``TypeMismatch`` for blobs of another account.
        """
        if schema_uri is None and not auto_publish_schema:
            raise ValueError("schema_uri is required when auto_publish_schema is off")
        storage = given_storage(dataset, self._client)
        draft = DatasetRecord(
            name=name,
            schema_ref=schema_uri or f"at://{self._client.did}",
            storage=storage,
            created_at=now(),
            description=description,
            tags=tuple(tags),
            license=license,
            size=given_size(storage),
            metadata=pack_metadata(metadata),
        )
        check_draft(draft)
        schema = schema_uri or self.publish_schema_of(dataset, schema_version)
        return self.write(replace(draft, schema_ref=schema)).uri

    def publish_with_urls(
        self,
        urls: Sequence[str],
        schema_uri: str,
        *,
        name: str,
        description: str | None = None,
        tags: Sequence[str] = (),
        license: str | None = None,  # noqa: A002 - the record's own name for it
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish shards at URLs, brace patterns included; returns the AT URI.

        ``schema_uri`` is that of a published schema. Raises as ``publish`` does.
        """
        record = DatasetRecord(
            name=name,
            schema_ref=schema_uri,
            storage=ExternalStorage(tuple(ExternalShard(url) for url in urls)),
            created_at=now(),
            description=description,
            tags=tuple(tags),
            license=license,
            metadata=pack_metadata(metadata),
        )
        return self.write(record).uri

    def publish_with_blobs(
        self,
        blobs: Sequence[bytes],
        schema_uri: str,
        *,
        name: str,
        description: str | None = None,
        tags: Sequence[str] = (),
        license: str | None = None,  # noqa: A002 - the record's own name for it
        metadata: Mapping[str, Any] | None = None,
        mime_type: str = SHARD_MIME,
    ) -> str:
        """Upload each of ``blobs`` (one tar per shard) and publish them; returns the AT URI.

        Raises as ``publish`` does, and ``XrpcError`` for a blob above the PDS's limit.
        """
        draft = DatasetRecord(
            name=name,
            schema_ref=schema_uri,
            storage=UPLOADED_LATER,
            created_at=now(),
            description=description,
            tags=tuple(tags),
            license=license,
            metadata=pack_metadata(metadata),
        )
        check_draft(draft, len(blobs))
        shards = (Shard(io.BytesIO(blob), _samples_in(blob)) for blob in blobs)
        size = sum(map(len, blobs))
        uploaded = upload_all(
            self._client, shards, mime_type=mime_type, label=name, count=len(blobs), size=size
        )
        return self.write(with_blobs(draft, uploaded)).uri

    def publish_schema_of(self, dataset: Dataset[Any], version: str = "1.0.0") -> str:
        """Publish the schema of the dataset's sample type; returns its AT URI.
        See ``SchemaPublisher.publish``."""
        return SchemaPublisher(self._client).publish(dataset.sample_type, version=version)

    def write(self, record: DatasetRecord) -> RecordRef:
        """Write a record that is complete, under a key that the PDS chooses.
        Raises ``NotLoggedIn``, ``InvalidRecord``, ``XrpcError``."""
        return self._client.create_record(DATASET_COLLECTION, records.to_body(record))


class DatasetLoader:
    """Reads dataset records of any account, in both namespaces.

    Source: lexicon ``ac.foundation.dataset.record`` (successor ``science.alt.dataset.entry``).
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client

    def get(self, uri: str) -> RecordBody:
        """The JSON body of a dataset record (``ac.foundation.dataset.record`` or its successor's).

        Raises ``NotFound``, ``InvalidRecord`` if it is no dataset, ``CidMismatch`` and
        ``NetworkError``.
        """
        stored = self._client.get_record(uri)
        read_as(DatasetRecord, stored)
        return stored.body()

    def list_all(self, repo: str | None = None) -> Iterator[RecordBody]:
        """The body of every dataset in a repository (the session's own if not given), lazily.
        Raises ``NotLoggedIn`` without either, ``NetworkError``."""
        return (stored.body() for stored in list_kind(self._client, Kind.DATASET, repo))

    def entry(self, uri: str) -> AtmosphereIndexEntry:
        """A dataset as an index entry. Raises as ``get`` does."""
        return AtmosphereIndexEntry.of(read_entry(self._client.get_record(uri)))

    def get_storage_type(self, uri: str) -> StorageKind:
        """Where its shards are: ``external``, ``blobs`` or ``s3``. Raises as ``get`` does."""
        return self.entry(uri).storage_kind

    def get_urls(self, uri: str) -> list[str]:
        """The URLs of external shards, patterns as they were given, in order; ``s3://bucket/key``
        of those in a bucket. Raises ``InvalidRecord`` if they are blobs."""
        entry = self.entry(uri)
        if entry.storage_kind == "blobs":
            raise InvalidRecord("/storage", f"{uri} is stored as blobs: use get_blob_urls()")
        return entry.data_urls

    def get_blob_urls(self, uri: str) -> list[str]:
        """The HTTP URLs (com.atproto.sync.getBlob) of blob shards, in order.

        Raises ``InvalidRecord`` if they are not blobs.
        """
        entry = self.entry(uri)
        if entry.storage_kind != "blobs":
            raise InvalidRecord("/storage", f"{uri} is not stored as blobs: use get_urls()")
        blobs = map(BlobUri.parse, entry.data_urls)
        return [self._client.blob_url(blob.did, str(blob.cid)) for blob in blobs]

    def get_metadata(self, uri: str) -> dict[str, Any] | None:
        """The author's metadata, or None. Raises ``InvalidRecord`` if it cannot be decoded."""
        return unpack_metadata(read_as(DatasetRecord, self._client.get_record(uri)))

    def to_dataset(self, uri: str, sample_type: type[Sample]) -> Dataset[Sample]:
        """All shards as samples of ``sample_type``, wherever they are; blobs are checked against
        their CIDs while they stream. ``atdata.load_dataset`` also checks the type.

        Raises as ``get`` does, and ``BlockedAddress`` for a URL that no record may name.
        """
        entry = self.entry(uri)
        own = self._client.is_authenticated and entry.did == self._client.did
        pds = self._client.pds if own else None
        typed: Any = Dataset[sample_type]  # type: ignore[valid-type]
        made: Dataset[Sample] = typed(open_source(entry, pds), metadata=entry.metadata)
        return made


def with_blobs(draft: DatasetRecord, uploaded: Sequence[Uploaded]) -> DatasetRecord:
    """The record of shards that the PDS has."""
    samples = [shard.samples for shard in uploaded if shard.samples is not None]
    size = DatasetSize(
        samples=sum(samples) if len(samples) == len(uploaded) else None,
        bytes=sum(shard.blob.size or 0 for shard in uploaded),
        shards=len(uploaded),
    )
    storage = BlobStorage(tuple(shard.blob for shard in uploaded))
    return replace(draft, storage=storage, size=size)


def check_draft(draft: DatasetRecord, shards: int = 0) -> None:
    """What a record breaks is said before anything is uploaded for it. Raises ``InvalidRecord``.

    ``shards`` is how many blobs it will refer to, as far as that is known.
    """
    size = len(as_json(records.to_body(draft))) + REQUEST_BYTES + shards * BLOB_REF_BYTES
    if size > MAX_RECORD_JSON:
        raise InvalidRecord(
            "/storage",
            f"{shards} shards make a record of about {size} bytes, and a PDS takes "
            f"{MAX_RECORD_JSON}: make larger shards (maxsize), or several datasets",
        )


def _samples_in(blob: bytes) -> int | None:
    """How many samples a shard holds, None if it is no shard of samples."""
    try:
        return sum(1 for _ in read_samples(io.BytesIO(blob), "blob"))
    except InvalidShard:
        return None

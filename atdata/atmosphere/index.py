"""A repository on the AT Protocol as an index of datasets: the unified interface.

Rule: an entry says where every shard is. With a data store the shards are uploaded first and the
record refers to all of them; without one the dataset's own URLs are written down as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from atdata.atmosphere.blobs import PDSBlobStore, is_view
from atdata.atmosphere.client import AtmosphereClient
from atdata.atmosphere.datasets import (
    UPLOADED_LATER,
    DatasetLoader,
    DatasetPublisher,
    check_draft,
    with_blobs,
)
from atdata.atmosphere.entries import pack_metadata, read_entry
from atdata.atmosphere.given import external, given_size, given_storage
from atdata.atmosphere.index_entry import AtmosphereIndexEntry
from atdata.atmosphere.repository import RecordBody, StoredRecord
from atdata.atmosphere.schemas import SchemaLoader, SchemaPublisher, list_kind, now
from atdata.dataset import Dataset
from atdata.dict_sample import DictSample
from atdata.index import AbstractDataStore
from atdata.protocol import records
from atdata.protocol.errors import TypeMismatch, UnsupportedType
from atdata.protocol.namespaces import Kind
from atdata.protocol.records import DatasetRecord, DatasetSize
from atdata.protocol.syntax import AtUri
from atdata.schema import fits, schema_of, type_of


class AtmosphereIndex:
    """Publishes into the session's repository, and lists any. Follows ``AbstractIndex``.

    >>> index = AtmosphereIndex(client, data_store=PDSBlobStore(client))

    Source: lexicons ``ac.foundation.dataset.sampleSchema`` and ``ac.foundation.dataset.record``.
    """

    def __init__(
        self, client: AtmosphereClient, data_store: AbstractDataStore | None = None
    ) -> None:
        """``data_store``: where ``insert_dataset`` copies the shards; None leaves them in place."""
        self.client = client
        self.data_store = data_store

    # --- schemas -------------------------------------------------------------------------------

    def publish_schema(
        self,
        sample_type: type,
        *,
        version: str = "1.0.0",
        name: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish the schema of a sample type; returns its AT URI. See ``SchemaPublisher``."""
        return SchemaPublisher(self.client).publish(
            sample_type, name=name, version=version, description=description, metadata=metadata
        )

    def get_schema(self, ref: str) -> RecordBody:
        """The JSON body of a schema. Raises ``NotFound``, ``InvalidRecord``."""
        return SchemaLoader(self.client).get(ref)

    def list_schemas(self, repo: str | None = None) -> Iterator[RecordBody]:
        """The body of every schema (``schema["name"]``, ``schema["version"]``), lazily; of the
        session's own repository, or that of ``repo``. Raises as ``list_datasets`` does."""
        return SchemaLoader(self.client).list_all(repo)

    def decode_schema(self, ref: str) -> type:
        """The Python type of samples of a schema, of any account. See ``SchemaLoader.decode``."""
        return SchemaLoader(self.client).decode(ref)

    # --- datasets ------------------------------------------------------------------------------

    def insert_dataset(
        self,
        dataset: Dataset[Any],
        *,
        name: str,
        schema_ref: str | None = None,
        schema_version: str = "1.0.0",
        description: str | None = None,
        tags: Sequence[str] = (),
        license: str | None = None,  # noqa: A002 - the record's own name for it
        metadata: Mapping[str, Any] | None = None,
        maxcount: int | None = None,
        maxsize: float | None = None,
    ) -> AtmosphereIndexEntry:
        """Publish a dataset and return its entry.

        Without ``schema_ref`` the schema of its sample type is published first, as
        ``schema_version``. With a data store all shards are copied there, in pieces of at most
        ``maxcount`` samples and ``maxsize`` bytes where these are given.

        Raises ``NotLoggedIn``; before anything is written, ``InvalidRecord`` (a limit of the
        lexicon), ``TypeMismatch`` (a schema of another type, or without a store blobs of another
        account), ``NotFound`` (no such schema) and ``ValueError`` (a store of another account);
        ``InvalidShard``, ``InvalidSample``, ``XrpcError``.
        """
        publisher = DatasetPublisher(self.client)
        if isinstance(self.data_store, PDSBlobStore) and self.data_store.did != self.client.did:
            raise ValueError("a record can refer to blobs of its own account only")
        if schema_ref is not None:
            self._check_schema(dataset, schema_ref)
        draft = self._placed(
            dataset,
            DatasetRecord(
                name=name,
                schema_ref=schema_ref or f"at://{self.client.did}",
                storage=UPLOADED_LATER,
                created_at=now(),
                description=description,
                tags=tuple(tags),
                license=license,
                metadata=pack_metadata(metadata),
            ),
        )
        cut = maxcount is not None or maxsize is not None or is_view(dataset)
        check_draft(draft, 0 if cut or self.data_store is None else len(dataset.list_shards()))
        schema = schema_ref or publisher.publish_schema_of(dataset, schema_version)
        record = self._stored(replace(draft, schema_ref=schema), dataset, maxcount, maxsize)
        written = publisher.write(record)
        stored = StoredRecord(AtUri.parse(written.uri), written.cid, records.to_body(record))
        return AtmosphereIndexEntry.of(read_entry(stored))  # as whoever reads it will have it

    def _check_schema(self, dataset: Dataset[Any], schema_ref: str) -> None:
        """Raises ``TypeMismatch`` unless samples of the dataset's type are those of the schema."""
        if issubclass(dataset.sample_type, DictSample):
            return
        schema = SchemaLoader(self.client).record(schema_ref)
        with suppress(UnsupportedType):  # then there is no telling
            reasons = fits(type_of(schema), schema_of(dataset.sample_type, created_at=now()))
            if reasons:
                name, why = dataset.sample_type.__name__, "; ".join(reasons)
                raise TypeMismatch(f"samples of {name} are not of {schema_ref}: {why}")

    def _placed(self, dataset: Dataset[Any], draft: DatasetRecord) -> DatasetRecord:
        """The record with the shards' places in it, if they stay where they are."""
        if self.data_store is not None:
            return draft
        storage = given_storage(dataset, self.client)
        return replace(draft, storage=storage, size=given_size(storage))

    def _stored(
        self,
        draft: DatasetRecord,
        dataset: Dataset[Any],
        maxcount: int | None,
        maxsize: float | None,
    ) -> DatasetRecord:
        """The record with the shards' places in it, once they are in the store."""
        store = self.data_store
        if store is None:
            return draft
        urls = store.write_shards(dataset, prefix=draft.name, maxcount=maxcount, maxsize=maxsize)
        if isinstance(store, PDSBlobStore):
            return with_blobs(draft, store.uploaded(urls))
        return replace(draft, storage=external(urls), size=DatasetSize(shards=len(urls)))

    def get_dataset(self, ref: str) -> AtmosphereIndexEntry:
        """The entry at an AT URI, of any account. Raises ``NotFound``, ``InvalidRecord``."""
        return DatasetLoader(self.client).entry(ref)

    def list_datasets(self, repo: str | None = None) -> Iterator[AtmosphereIndexEntry]:
        """Every entry in a repository, lazily: the session's own, or that of the DID or handle
        ``repo``, read from its own PDS. Records that cannot be read are left out and logged.
        Raises ``NotLoggedIn`` without either, ``NetworkError``."""
        stored = list_kind(self.client, Kind.DATASET, repo)
        return map(AtmosphereIndexEntry.of, map(read_entry, stored))

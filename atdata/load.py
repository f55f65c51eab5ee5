"""From a reference to samples: find the record, decode its type, stream its shards.

Rule: whoever answers, a record is held against its CID and a blob against its own; shards at URLs
from the network are fetched over https by the guarded client, and nothing else is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from atdata import api as search_api
from atdata.atmosphere.entries import AtmosphereIndexEntry, read_as, read_entry
from atdata.atmosphere.repository import (
    StoredRecord,
    collections_of,
    fetch_record,
    list_public,
    resolve_repo,
)
from atdata.dataset import Dataset
from atdata.index import DataSource
from atdata.protocol.errors import (
    BlockedAddress,
    InvalidRecord,
    NetworkError,
    NotFound,
    ProtocolError,
    TypeMismatch,
    XrpcError,
    quote,
)
from atdata.protocol.namespaces import Kind
from atdata.protocol.records import BlobStorage, ExternalStorage, S3Storage, SchemaRecord
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import DatasetDetail
from atdata.samples import DictSample
from atdata.schema import fits, type_of
from atdata.settings import settings
from atdata.sources import BlobSource, URLSource

Sample = TypeVar("Sample")

SHOWN_LENSES = 5


class HasUri(Protocol):
    """A search hit, an entry: anything that knows its AT URI."""

    @property
    def uri(self) -> str: ...


@dataclass(frozen=True, slots=True)
class FoundDataset:
    """A dataset with the schema of its samples, and the host of its blobs if that is known."""

    entry: AtmosphereIndexEntry
    schema: SchemaRecord
    pds: str | None = None

    def sample_type(self) -> type:
        """The Python type that the schema describes."""
        return type_of(self.schema)


def load_dataset(
    ref: str | HasUri, sample_type: type[Sample] | None = None, *, api: str | None = None
) -> Dataset[Sample]:
    """The samples of a published dataset.

    ``ref``: an AT URI, ``@handle/name`` (the newest of that name), or a search hit.
    ``sample_type``: a ``packable`` class; without one the type is decoded from the dataset's
    schema. The record comes from the search API (``api``, or the configured one), or from the
    author's own PDS if there is none or it does not know the dataset. Blobs are checked against
    their CIDs while they stream.

    Raises ``NotFound``; ``TypeMismatch`` if ``sample_type`` does not fit the schema, naming what
    differs and the lenses that the index knows; ``InvalidRecord``, ``CidMismatch``,
    ``BlockedAddress`` and ``NetworkError``.
    """
    found = find_dataset(ref, api=api)
    if sample_type is None:
        chosen: Any = found.sample_type()
    else:
        chosen = sample_type
        check_type(sample_type, found, api)
    return Dataset[chosen](open_source(found.entry, found.pds))


def find_dataset(ref: str | HasUri, *, api: str | None = None) -> FoundDataset:
    """A dataset's record and schema, without touching its shards. See ``load_dataset``."""
    uri = _resolved(ref if isinstance(ref, str) else ref.uri)
    if api or settings().api:
        try:
            return _from_index(search_api.get_dataset(str(uri), api=api), uri)
        except NotFound:
            pass  # perhaps newer than the index; the author's PDS has the last word
    entry = read_entry(fetch_record(uri))
    return FoundDataset(entry, fetch_schema(entry.schema_ref))


def fetch_schema(uri: str) -> SchemaRecord:
    """A schema from its author's own PDS. Raises ``NotFound``, ``InvalidRecord``."""
    return read_as(SchemaRecord, fetch_record(AtUri.parse(uri)))


def _resolved(ref: str) -> AtUri:
    """The reference as an AT URI whose authority is a DID."""
    if ref.startswith("@"):
        handle, _, name = ref.partition("/")
        return _by_name(resolve_repo(handle), name)
    uri = AtUri.parse(ref)
    if uri.collection is None or uri.rkey is None:
        raise NotFound(f"{ref} names no single record: expected at://authority/collection/key")
    return AtUri.of(resolve_repo(uri.authority), uri.collection, uri.rkey)


def _by_name(did: str, name: str) -> AtUri:
    """The newest dataset of that name in a repository."""
    entries = [entry for entry in _public_entries(did) if entry.name == name]
    if not entries:
        raise NotFound(f"{did} has published no dataset called {quote(name)}")
    return AtUri.parse(max(entries, key=lambda entry: (entry.created_at, entry.uri)).uri)


def _public_entries(did: str) -> Iterator[AtmosphereIndexEntry]:
    for collection in collections_of(Kind.DATASET):
        for stored in list_public(did, collection):
            with contextlib.suppress(InvalidRecord):
                yield read_entry(stored)


def _from_index(detail: DatasetDetail, uri: AtUri) -> FoundDataset:
    view = detail.dataset
    if view.uri != str(uri):
        raise InvalidRecord(
            "/dataset/uri", f"asked for {uri}, the index answered {quote(view.uri)}"
        )
    body = search_api.check_record(detail.record, view.cid, view.uri)
    entry = read_entry(StoredRecord(uri, view.cid, body))
    return FoundDataset(entry, _schema_from_index(detail, entry.schema_ref), detail.pds)


def _schema_from_index(detail: DatasetDetail, ref: str) -> SchemaRecord:
    schema, body = detail.schema, detail.schema_record
    if schema is None or body is None or schema.uri != ref:
        return fetch_schema(ref)
    value = search_api.check_record(body, schema.cid, schema.uri)
    return read_as(SchemaRecord, StoredRecord(AtUri.parse(schema.uri), schema.cid, value))


# --- shards --------------------------------------------------------------------------------------


def open_source(entry: AtmosphereIndexEntry, pds: str | None = None) -> DataSource:
    """A source of all the shards of an entry. ``pds`` is the origin that serves its blobs; without
    it the author's DID document says so.

    Raises ``BlockedAddress`` for a shard URL that a record from the network must not name.
    """
    match entry.record.storage:
        case BlobStorage():
            return BlobSource.from_uris(entry.data_urls, pds_endpoint=pds)
        case ExternalStorage():
            for url in entry.data_urls:
                _check_url(url)
            return URLSource(entry.data_urls)
        case S3Storage():
            raise InvalidRecord("/storage", f"{entry.uri}: buckets (storageS3) can't be read yet")


def _check_url(url: str) -> None:
    scheme = urlsplit(url.partition("{")[0]).scheme
    if scheme == "https" or (scheme == "http" and settings().dev):
        return
    raise BlockedAddress(
        f"shard {quote(url, 200)}: records from the network may name https URLs only; to read a "
        "file of your own, give it to atdata.Dataset"
    )


# --- types ---------------------------------------------------------------------------------------


def check_type(sample_type: type, found: FoundDataset, api: str | None = None) -> None:
    """Raises ``TypeMismatch`` unless every sample of the dataset is a ``sample_type``."""
    schema = found.schema
    if not issubclass(sample_type, DictSample) and (reasons := fits(sample_type, schema)):
        raise TypeMismatch(
            f"{sample_type.__name__} does not fit {schema.name} {schema.version} "
            f"({found.entry.schema_ref}): {'; '.join(reasons)}{_lenses(found.entry, api)}"
        )


def _lenses(entry: AtmosphereIndexEntry, api: str | None) -> str:
    """What the index knows that leads away from the entry's schema, for the message."""
    if not (api or settings().api):
        return ""
    try:
        lenses = list(islice(search_api.find_lenses(entry.schema_ref, api=api), SHOWN_LENSES))
    except (NetworkError, XrpcError, ProtocolError):
        return ""  # the mismatch is the news, not that the index is away
    if not lenses:
        return ". The index knows no lens from this schema"
    named = ", ".join(f"{quote(lens.name)} to {lens.target_schema}" for lens in lenses)
    return f". Lenses from this schema: {named}"

"""Where a dataset's shards are, for a record that refers to them where they are.

Rule: a record says only what its readers can use. Blobs are kept by a PDS for the account whose
record refers to them, so that of another account's blobs there is no reference but an error; and
what is on this machine is published as it was before it came here.
Source: formats.md, "Records" (storageExternal, storageBlobs).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from atdata.atmosphere.blobs import is_view
from atdata.atmosphere.client import AtmosphereClient
from atdata.atmosphere.uploads import SHARD_MIME
from atdata.dataset import Dataset
from atdata.library import PulledSource
from atdata.protocol.errors import FetchFailed, NotFound, TypeMismatch, shown_url
from atdata.protocol.records import (
    BlobShard,
    BlobStorage,
    DatasetSize,
    ExternalShard,
    ExternalStorage,
    Storage,
)
from atdata.protocol.syntax import BlobUri, Did
from atdata.settings import settings
from atdata.sources import BlobSource, LocalSource, URLSource

UNSERVED = frozenset({400, 404})  # what a PDS answers for a blob that no record refers to

log = logging.getLogger(__name__)


def given_storage(dataset: Dataset[Any], client: AtmosphereClient) -> Storage:
    """The dataset's shards as its owner wrote them, brace patterns included; of blobs the account's
    own references; of a pulled dataset what its record says.

    Raises ``TypeMismatch`` for a view (``as_type``), whose samples no shard holds yet, and for
    blobs of another account; ``NotFound`` for a blob that its PDS does not have.
    """
    if is_view(dataset):
        raise TypeMismatch(
            f"{dataset!r} is a view of shards of another type: publish it with a data store, which "
            "writes shards of its own"
        )
    match dataset.source:
        case PulledSource(did=did, storage=BlobStorage(shards=shards)):
            blobs = ((BlobUri(Did(did), shard.cid), shard) for shard in shards)
            return BlobStorage(tuple(_own(blob, shard, client) for blob, shard in blobs))
        case PulledSource(storage=storage):
            return storage
        case BlobSource(blobs=uris, known=known):
            given = ((blob, known.get(str(blob.cid))) for blob in uris)
            return BlobStorage(tuple(_own(blob, shard, client) for blob, shard in given))
        case URLSource() as source:
            _warn_of_queries(source)
            pairs = ((url, source.checksums.get(url)) for url in source.given)
            return ExternalStorage(tuple(ExternalShard(*pair) for pair in pairs))
        case LocalSource(given=paths):
            log.warning("publishing paths of this machine: nobody else can read %s", paths[:1])
            return external(paths)
        case other:
            return external(other.list_shards())


def external(urls: Sequence[str]) -> ExternalStorage:
    """Shards at these addresses."""
    return ExternalStorage(tuple(ExternalShard(url) for url in urls))


def given_size(storage: Storage) -> DatasetSize:
    """What is known of shards that stay where they are: of blobs, how many bytes."""
    if not isinstance(storage, BlobStorage):
        return DatasetSize()
    sizes = [shard.size for shard in storage.shards if shard.size is not None]
    whole = len(sizes) == len(storage.shards)
    return DatasetSize(bytes=sum(sizes) if whole else None, shards=len(storage.shards))


def _own(blob: BlobUri, known: BlobShard | None, client: AtmosphereClient) -> BlobShard:
    """A blob as its own account's record refers to it."""
    if blob.did != client.did:
        raise TypeMismatch(
            f"its shards are blobs of {blob.did}, and a record can refer to blobs of its own "
            "account only: use a data_store, which copies them (AtmosphereIndex(client, "
            "data_store=PDSBlobStore(client)))"
        )
    whole = known is not None and None not in (known.size, known.mime_type)
    return known if known is not None and whole else _asked(blob, client)


def _asked(blob: BlobUri, client: AtmosphereClient) -> BlobShard:
    address = client.blob_url(blob.did, str(blob.cid))
    try:
        with settings().http.stream(address, headers={"Accept-Encoding": "identity"}) as body:
            size = body.content_length
            if size is None:
                size = sum(map(len, body.chunks()))
            return BlobShard(blob.cid, size, body.headers.get("Content-Type") or SHARD_MIME)
    except FetchFailed as error:
        if error.status not in UNSERVED:
            raise
        raise NotFound(
            f"the PDS has no blob {blob.cid}, or no record refers to it yet: publish what the "
            "store that uploaded it made of it (create_source), or give the index a data store"
        ) from error


def _warn_of_queries(source: URLSource) -> None:
    asking = [url for url in source.given if "?" in url]
    if asking:
        first = shown_url(asking[0])
        log.warning("publishing %s: if there is a token in its query, everyone can read it", first)

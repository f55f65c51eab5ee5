"""Shards as blobs of the account's own repository.

Rule: what is in memory at a time is a few chunks, whatever a shard's size; a shard waits for its
upload in a spooled temporary file. Blobs are named by their content: the same shards uploaded
twice are the same blobs. A PDS serves a blob only once a record refers to it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atdata.atmosphere.client import AtmosphereClient
from atdata.atmosphere.reshard import check_sample, repack, samples_in, samples_of, spool
from atdata.atmosphere.uploads import Shard, Uploaded, upload_all
from atdata.dataset import Dataset
from atdata.index import DataSource
from atdata.protocol.errors import NotFound
from atdata.protocol.syntax import BlobUri, Did
from atdata.sources import BlobSource, LocalSource
from atdata.tar import read_samples

VIEW_BYTES = 50_000_000  # what every PDS takes; shards of a view have no size of their own


class PDSBlobStore:
    """Writes shards as blobs to the session's PDS and reads them back. Follows
    ``AbstractDataStore``.

    >>> store = PDSBlobStore(client)
    >>> urls = store.write_shards(dataset, prefix="my-data/v1")

    Source: com.atproto.repo.uploadBlob, com.atproto.sync.getBlob; WebDataset for the shards.
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client
        self._uploaded: dict[str, Uploaded] = {}

    @property
    def did(self) -> str:
        """The account whose blobs these are. Raises ``NotLoggedIn``."""
        return self._client.did

    def write_shards(
        self,
        dataset: Dataset[Any],
        *,
        prefix: str = "",
        maxcount: int | None = None,
        maxsize: float | None = None,
        progress: bool | None = None,
    ) -> list[str]:
        """Upload every shard of ``dataset``; returns ``at://did/blob/cid`` for each, in order.

        With ``maxcount`` (samples) or ``maxsize`` (bytes of tar) the samples are put into new
        shards within these limits, in the same order and unchanged; a single sample that is larger
        gets a shard of its own. ``prefix`` names the upload in the progress bar (a blob itself
        has no name), which is shown if ``progress``, or by default if stderr is a terminal.

        Raises ``NotLoggedIn``, ``InvalidShard``, ``InvalidSample`` for what is not of the dataset's
        type, ``XrpcError`` (the PDS's own limits).
        """
        as_they_are = not is_view(dataset) and maxcount is None and maxsize is None
        uploaded = upload_all(
            self._client,
            _pieces(dataset, maxcount, maxsize),
            label=prefix or "upload",
            count=len(dataset.list_shards()) if as_they_are else None,
            size=_bytes_in(dataset.source) if as_they_are else None,
            progress=progress,
        )
        did = Did(self._client.did)
        for shard in uploaded:
            self._uploaded[str(shard.blob.cid)] = shard
        return [str(BlobUri(did, shard.blob.cid)) for shard in uploaded]

    def uploaded(self, urls: Sequence[str]) -> tuple[Uploaded, ...]:
        """What this store has uploaded under these URLs, as a record needs it: blobs with the size
        and type that the PDS confirmed, and samples. Raises ``NotFound`` for any other URL."""
        cids = [str(BlobUri.parse(url).cid) for url in urls]
        for url, cid in zip(urls, cids, strict=True):
            if cid not in self._uploaded:
                raise NotFound(f"{url} was not uploaded through this store")
        return tuple(self._uploaded[cid] for cid in cids)

    def read_url(self, url: str) -> str:
        """The HTTP address (com.atproto.sync.getBlob) of ``at://did/blob/cid``.

        Raises ``InvalidSyntax``, and ``IdentityNotFound`` if the account's host is unknown.
        """
        blob = BlobUri.parse(url)
        return self._client.blob_url(blob.did, str(blob.cid))

    def create_source(self, urls: Sequence[str]) -> BlobSource:
        """A source that streams these blobs, of any account, checked against their CIDs.
        Raises ``InvalidSyntax`` for anything but ``at://did/blob/cid``."""
        blobs = [BlobUri.parse(url) for url in urls]
        own = self._client.is_authenticated and {blob.did for blob in blobs} == {self._client.did}
        uploaded = (self._uploaded.get(str(blob.cid)) for blob in blobs if own)
        known = [shard.blob for shard in uploaded if shard is not None]
        pds = self._client.pds if own else None
        return BlobSource(blobs, pds_endpoint=pds, known=known)


def _pieces(dataset: Dataset[Any], maxcount: int | None, maxsize: float | None) -> Iterator[Shard]:
    """The shards to upload; the upload closes them."""
    if is_view(dataset):
        return repack(samples_of(dataset), maxcount, maxsize or VIEW_BYTES)
    if maxcount is None and maxsize is None:
        return _as_they_are(dataset)
    return repack(samples_in(dataset.source, dataset.sample_type), maxcount, maxsize)


def is_view(dataset: Dataset[Any]) -> bool:
    """Whether the samples are made from those of another dataset (``as_type``), so that no shard
    holds them yet."""
    return type(dataset) is not Dataset


def _as_they_are(dataset: Dataset[Any]) -> Iterator[Shard]:
    """Every shard unchanged, once all of it has been read as samples of the dataset's type: what
    nobody could read is not published."""
    for name in dataset.list_shards():
        file = spool()
        with dataset.source.open_shard(name) as stream:
            shutil.copyfileobj(stream, file, 1 << 20)
        file.seek(0)
        samples = 0
        for member in read_samples(file, name):
            check_sample(member.data, dataset.sample_type, name, member)
            samples += 1
        file.seek(0)
        yield Shard(file, samples)


def _bytes_in(source: DataSource) -> int | None:
    """The size of all shards, where they are files."""
    if not isinstance(source, LocalSource):
        return None
    return sum(Path(shard).stat().st_size for shard in source.list_shards())

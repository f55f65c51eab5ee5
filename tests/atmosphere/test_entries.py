"""Entries of every kind of storage, in both namespaces, as a real PDS holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ormsgpack
import pytest

from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, DatasetLoader
from atdata.index import IndexEntry
from atdata.protocol.records import BlobShard
from deploy.devnet.devnet import Devnet
from tests.atmosphere.made import Feature, features, tar_of

pytestmark = pytest.mark.devnet

Accounts = Callable[[int, str], AtmosphereClient]
Storage = dict[str, Any]

OLD, NEW = "ac.foundation.dataset", "science.alt.dataset"
URL = "https://data.example.org/{0}.tar"
UNKNOWN = {"algorithm": "none", "digest": ""}
METADATA = {"split": "train", "classes": ["a", "b"]}


@pytest.fixture
def author(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(0, "entries-author")


@pytest.fixture
def reader(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(1, "entries-reader")


@pytest.fixture
def blobs(author: AtmosphereClient) -> list[BlobShard]:
    tars = [tar_of(features(3)), tar_of(features(2), 10)]
    return [author.upload_blob(tar, "application/x-tar") for tar in tars]


def ref(blob: BlobShard) -> dict[str, Any]:
    return {"$type": "blob", "ref": blob.cid, "mimeType": blob.mime_type, "size": blob.size}


def storages(blobs: list[BlobShard], did: str) -> dict[str, tuple[str, Storage, str, list[str]]]:
    """Name → collection, storage, kind, and the URLs that an entry must show."""
    urls = [URL.format("a"), URL.format("{00..09}")]
    here = [f"at://{did}/blob/{blob.cid}" for blob in blobs]
    http = [{"url": url, "checksum": UNKNOWN} for url in urls]
    bucket = {"bucket": "shelf", "shards": [{"key": "x/0.tar"}, {"key": "x/1.tar"}]}
    wrapped = [{"blob": ref(blob), "checksum": UNKNOWN} for blob in blobs]
    bare = [ref(blob) for blob in blobs]
    record, entry = f"{OLD}.record", f"{NEW}.entry"
    return {
        "external": (record, {"$type": f"{OLD}.storageExternal", "urls": urls}, "external", urls),
        "blobs": (record, {"$type": f"{OLD}.storageBlobs", "blobs": bare}, "blobs", here),
        "http": (entry, {"$type": f"{NEW}.storageHttp", "shards": http}, "external", urls),
        "s3": (
            entry,
            {"$type": f"{NEW}.storageS3", **bucket},
            "s3",
            ["s3://shelf/x/0.tar", "s3://shelf/x/1.tar"],
        ),
        "bare": (entry, {"$type": f"{NEW}.storageBlobs", "blobs": bare}, "blobs", here),
        "wrapped": (entry, {"$type": f"{NEW}.storageBlobs", "blobs": wrapped}, "blobs", here),
    }


@pytest.mark.parametrize("name", ["external", "blobs", "http", "s3", "bare", "wrapped"])
@pytest.mark.parametrize("form", ["bytes", "object"])
def test_an_entry_says_where_every_shard_is(
    author: AtmosphereClient,
    reader: AtmosphereClient,
    blobs: list[BlobShard],
    name: str,
    form: str,
) -> None:
    collection, storage, kind, urls = storages(blobs, author.did)[name]
    metadata = ormsgpack.packb(METADATA) if form == "bytes" else METADATA
    written = author.create_record(
        collection,
        {
            "name": f"{name} {form}",
            "schemaRef": f"at://{author.did}/{OLD}.sampleSchema/Feature",
            "storage": storage,
            "metadata": metadata,
            "createdAt": "2026-01-01T00:00:00Z",
        },
    )
    for client in (author, reader):
        entry = AtmosphereIndex(client).get_dataset(written.uri)
        assert isinstance(entry, IndexEntry)
        assert (entry.uri, entry.cid) == (written.uri, written.cid)
        assert (entry.name, entry.data_urls, entry.metadata) == (f"{name} {form}", urls, METADATA)
        listed = AtmosphereIndex(client).list_datasets(repo=author.did)
        assert entry in list(listed)
        loader = DatasetLoader(client)
        assert loader.get_storage_type(written.uri) == kind
        assert loader.get_metadata(written.uri) == METADATA
        if kind == "blobs":
            assert list(loader.to_dataset(written.uri, Feature)) == features(3) + features(2)


def test_blob_references_whose_size_and_type_are_false_are_read(
    author: AtmosphereClient, reader: AtmosphereClient, blobs: list[BlobShard]
) -> None:
    """A PDS accepts them; only the CID binds."""
    false = [{**ref(blob), "mimeType": "*/*", "size": 1} for blob in blobs]
    written = author.create_record(
        f"{OLD}.record",
        {
            "name": "false",
            "schemaRef": f"at://{author.did}/{OLD}.sampleSchema/Feature",
            "storage": {"$type": f"{OLD}.storageBlobs", "blobs": false},
            "createdAt": "2026-01-01T00:00:00.123456+00:00",
        },
    )
    dataset = DatasetLoader(reader).to_dataset(written.uri, Feature)
    assert list(dataset) == features(3) + features(2)

"""What ``insert_dataset`` and ``publish`` write down: shards where they are, and what is so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import (
    AtmosphereClient,
    AtmosphereIndex,
    DatasetPublisher,
    PDSBlobStore,
)
from atdata.library import PulledSource
from atdata.protocol.errors import InvalidSample, NotFound, TypeMismatch
from atdata.protocol.records import BlobStorage, Checksum, ExternalShard, ExternalStorage
from atdata.settings import settings
from atdata.sources import BlobSource, URLSource
from deploy.devnet.devnet import Devnet
from tests.atmosphere.made import Feature, features, tar_of

pytestmark = pytest.mark.devnet

Accounts = Callable[[int, str], AtmosphereClient]


@pytest.fixture
def client(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(0, "inserting")


# --- shards that are somewhere already ----------------------------------------------------------


def test_blobs_of_ones_own_stay_blobs_that_the_pds_keeps(
    client: AtmosphereClient, shards: str
) -> None:
    store, index = PDSBlobStore(client), AtmosphereIndex(client)
    urls = store.write_shards(atdata.Dataset[Feature](shards), maxcount=9)
    for source in (store.create_source(urls), BlobSource.from_uris(urls)):
        # The second time nobody knows their sizes, and the PDS is asked.
        dataset = atdata.Dataset[Feature](source)
        entry = index.insert_dataset(dataset, name="own blobs")
        uri = DatasetPublisher(client).publish(dataset, name="own blobs, published")
        for found in (index.get_dataset(entry.uri), index.get_dataset(uri)):
            assert (found.storage_kind, found.data_urls) == ("blobs", urls)
            assert found.record.storage == BlobStorage(
                tuple(shard.blob for shard in store.uploaded(urls))
            )
            assert found.size.shards == len(urls)
            assert list(atdata.load_dataset(found, Feature)) == features(30)
    refs = client.get_record(entry.uri).value["storage"]["blobs"]
    again = atdata.Dataset[Feature](BlobSource.from_refs(refs, did=client.did))
    assert index.insert_dataset(again, name="from refs").record.storage == entry.record.storage


def test_a_blob_that_the_pds_does_not_serve_is_not_found(
    client: AtmosphereClient, tmp_path: Path
) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of(features(31)))
    urls = PDSBlobStore(client).write_shards(atdata.Dataset[Feature](tmp_path / "a.tar"))
    with pytest.raises(NotFound, match="create_source"):
        AtmosphereIndex(client).insert_dataset(atdata.Dataset[Feature](urls), name="unserved")


def test_blobs_of_others_need_a_data_store(
    client: AtmosphereClient, accounts: Accounts, shards: str
) -> None:
    author = accounts(1, "index-lender")
    theirs = AtmosphereIndex(author, data_store=PDSBlobStore(author)).insert_dataset(
        atdata.Dataset[Feature](shards), name="theirs"
    )
    before = [entry.uri for entry in AtmosphereIndex(client).list_datasets()]
    with pytest.raises(TypeMismatch, match="use a data_store"):
        AtmosphereIndex(client).insert_dataset(theirs.load(Feature), name="mine")
    with pytest.raises(TypeMismatch, match="use a data_store"):
        DatasetPublisher(client).publish(theirs.load(Feature), name="mine")
    assert [entry.uri for entry in AtmosphereIndex(client).list_datasets()] == before
    copied = AtmosphereIndex(client, data_store=PDSBlobStore(client)).insert_dataset(
        theirs.load(Feature), name="mine"
    )
    assert list(copied.load(Feature)) == features(30)


def test_what_was_pulled_is_published_as_it_was(
    client: AtmosphereClient,
    accounts: Accounts,
    shards: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = dataclasses.replace(settings(), library=tmp_path / "library")
    monkeypatch.setattr("atdata.settings._Holder.current", chosen)
    index = AtmosphereIndex(client, data_store=PDSBlobStore(client))
    entry = index.insert_dataset(atdata.Dataset[Feature](shards), name="to be pulled")
    entry.pull()
    pulled = entry.load(Feature)
    assert isinstance(pulled.source, PulledSource)
    again = AtmosphereIndex(client).insert_dataset(pulled, name="pulled")
    assert again.record.storage == entry.record.storage
    other = accounts(1, "index-lender")
    with pytest.raises(TypeMismatch, match="use a data_store"):
        AtmosphereIndex(other).insert_dataset(pulled, name="pulled")
    copied = AtmosphereIndex(other, data_store=PDSBlobStore(other)).insert_dataset(
        pulled, name="pulled"
    )
    assert [url.rpartition("/")[2] for url in copied.data_urls] == [
        url.rpartition("/")[2] for url in entry.data_urls
    ]


def test_checksums_of_shards_at_addresses_go_with_them(client: AtmosphereClient) -> None:
    url = "https://data.example.org/a.tar"
    checksum = Checksum("sha256", "ab" * 32)
    dataset = atdata.Dataset[Feature](URLSource(url, checksums={url: checksum}))
    entry = AtmosphereIndex(client).insert_dataset(dataset, name="checked")
    assert AtmosphereIndex(client).get_dataset(entry.uri).record.storage == ExternalStorage(
        (ExternalShard(url, checksum),)
    )


def test_a_token_in_an_address_is_published_with_a_warning(
    client: AtmosphereClient, caplog: pytest.LogCaptureFixture
) -> None:
    url = "https://data.example.org/a.tar?token=sekret"
    AtmosphereIndex(client).insert_dataset(atdata.Dataset[Feature](url), name="signed")
    assert "everyone can read it" in caplog.text
    assert "sekret" not in caplog.text


# --- what is said about them is so --------------------------------------------------------------


def test_the_entry_that_comes_back_is_the_one_that_is_read(
    client: AtmosphereClient, shards: str
) -> None:
    index = AtmosphereIndex(client)
    metadata = {"mean": np.arange(3), "classes": ("a", "b"), "deep": {"pair": (1, (2.5, None))}}
    entry = index.insert_dataset(
        atdata.Dataset[Feature](shards), name="said", metadata=metadata, tags=["a"], description="d"
    )
    assert entry == index.get_dataset(entry.uri)
    assert entry.metadata == {
        "mean": [0, 1, 2],
        "classes": ["a", "b"],
        "deep": {"pair": [1, [2.5, None]]},
    }


@atdata.packable
class Unlike:
    features: NDArray[np.float32]
    label: str


def test_a_schema_of_another_type_is_refused(client: AtmosphereClient, shards: str) -> None:
    index = AtmosphereIndex(client)
    other = index.publish_schema(Unlike)
    before = [entry.uri for entry in index.list_datasets()]
    for made in (index, AtmosphereIndex(client, data_store=PDSBlobStore(client))):
        with pytest.raises(TypeMismatch, match="samples of Feature are not of at://"):
            made.insert_dataset(atdata.Dataset[Feature](shards), name="x", schema_ref=other)
        with pytest.raises(NotFound):
            made.insert_dataset(atdata.Dataset[Feature](shards), name="x", schema_ref=other + "x")
    assert [entry.uri for entry in index.list_datasets()] == before
    untyped = atdata.Dataset[atdata.DictSample](shards)
    assert index.insert_dataset(untyped, name="untyped", schema_ref=other).schema_ref == other


@pytest.mark.parametrize("limits", [{}, {"maxcount": 4}])
def test_shards_of_another_type_are_not_published(
    client: AtmosphereClient, shards: str, limits: dict[str, Any]
) -> None:
    index = AtmosphereIndex(client, data_store=PDSBlobStore(client))
    with pytest.raises(InvalidSample, match=r"data-000000\.tar.*'000000\.msgpack'"):
        index.insert_dataset(atdata.Dataset[Unlike](shards), name="unlike", **limits)
    assert "unlike" not in [entry.name for entry in index.list_datasets()]

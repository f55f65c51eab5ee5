"""The unified interface on a real PDS: schemas, datasets with and without a data store, listing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, PDSBlobStore
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import (
    InvalidRecord,
    InvalidShard,
    InvalidSyntax,
    NotFound,
    TypeMismatch,
)
from atdata.protocol.records import SchemaRecord, parse
from deploy.devnet.devnet import Devnet
from tests.atmosphere.made import Feature, features, tar_of

pytestmark = pytest.mark.devnet

Accounts = Callable[[int, str], AtmosphereClient]


@pytest.fixture
def client(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(0, "index-author")


# --- the specification's complete example -----------------------------------------------------


def test_the_complete_example(
    on_devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    account = on_devnet.create_account(0, "index-complete")

    @atdata.packable
    class FeatureSample:
        features: NDArray
        label: int
        source: str

    samples = [
        FeatureSample(
            features=np.random.randn(128).astype(np.float32), label=i % 10, source="synthetic"
        )
        for i in range(1000)
    ]
    with wds.writer.TarWriter("features.tar") as sink:
        for i, s in enumerate(samples):
            sink.write({**s.as_wds, "__key__": f"{i:06d}"})

    client = AtmosphereClient(base_url=account.pds_url)
    client.login(account.handle, account.password)
    store = PDSBlobStore(client)
    index = AtmosphereIndex(client, data_store=store)
    schema_uri = index.publish_schema(
        FeatureSample, version="1.0.0", description="Feature vectors with labels"
    )
    dataset = atdata.Dataset[FeatureSample]("features.tar")
    entry = index.insert_dataset(
        dataset,
        name="synthetic-features-v1",
        schema_ref=schema_uri,
        tags=["features", "synthetic"],
    )
    content = Cid.of(Path("features.tar").read_bytes(), RAW)
    assert entry.data_urls == [f"at://{account.did}/blob/{content}"]

    found = list(index.list_datasets())
    assert found == [entry]
    SampleType = index.decode_schema(found[0].schema_ref)  # noqa: N806 - as the example has it
    ds = atdata.Dataset[SampleType](store.create_source(found[0].data_urls))
    batches = list(ds.ordered(batch_size=32))
    assert batches[0].features.shape == (32, 128)
    read = [sample for batch in batches for sample in batch]
    assert len(read) == 1000
    for got, put in zip(read, samples, strict=True):
        np.testing.assert_array_equal(got.features, put.features)
        assert (got.features.dtype, got.label, got.source) == (np.float32, put.label, put.source)


# --- schemas ----------------------------------------------------------------------------------


def test_publishing_a_schema_again_changes_nothing(client: AtmosphereClient) -> None:
    index = AtmosphereIndex(client)
    uri = index.publish_schema(Feature, version="1.2.0", description="d", metadata={"source": "x"})
    assert uri == f"at://{client.did}/ac.foundation.dataset.sampleSchema/Feature:1.2.0"
    before = client.get_record(uri)
    again = index.publish_schema(
        Feature, version="1.2.0", description="d", metadata={"source": "x"}
    )
    assert (again, client.get_record(uri)) == (uri, before)
    index.publish_schema(Feature, version="1.2.0", description="better said")
    after = index.get_schema(uri)
    assert after["description"] == "better said"
    assert after["createdAt"] == before.value["createdAt"]
    assert after["fields"] == before.value["fields"]


def test_other_fields_under_one_name_and_version_get_a_uri_of_their_own(
    client: AtmosphereClient, caplog: pytest.LogCaptureFixture
) -> None:
    index = AtmosphereIndex(client)

    @atdata.packable
    class Twin:
        a: str

    first, first_type = index.publish_schema(Twin), Twin

    @atdata.packable
    class Twin:  # type: ignore[no-redef]
        a: str
        b: list[float] | None

    second = index.publish_schema(Twin)
    assert first != second
    assert "already published with other fields" in caplog.text
    assert index.publish_schema(Twin) == second
    assert index.publish_schema(first_type) == first
    assert index.decode_schema(first).__annotations__ == {"a": str}
    assert index.decode_schema(second).__annotations__ == {"a": str, "b": list[float] | None}


def test_a_schema_carries_every_generations_form(client: AtmosphereClient) -> None:
    index = AtmosphereIndex(client)
    body = index.get_schema(index.publish_schema(Feature, name="A name: with/odd signs"))
    assert body["name"] == "A name: with/odd signs"
    assert [field["name"] for field in body["fields"]] == ["features", "label", "source"]
    assert body["schema"]["properties"].keys() == {"features", "label", "source"}
    record = parse("ac.foundation.dataset.sampleSchema", body)
    assert isinstance(record, SchemaRecord)
    assert body.uri in [schema.uri for schema in index.list_schemas()]


@pytest.mark.parametrize("version", ["one", "1.0", "1.0.0.0"])
def test_a_version_is_semantic(client: AtmosphereClient, version: str) -> None:
    with pytest.raises((InvalidRecord, InvalidSyntax), match=r"version|semantic"):
        AtmosphereIndex(client).publish_schema(Feature, version=version)


# --- datasets ---------------------------------------------------------------------------------


def test_with_a_store_every_shard_becomes_a_blob_of_the_record(
    client: AtmosphereClient, shards: str
) -> None:
    store = PDSBlobStore(client)
    index = AtmosphereIndex(client, data_store=store)
    metadata = {"split": "train", "scale": 0.5, "classes": ["a", "b"], "raw": b"\0"}
    entry = index.insert_dataset(
        atdata.Dataset[Feature](shards),
        name="three-shards",
        description="Thirty made features",
        tags=["made"],
        license="MIT",
        metadata=metadata,
    )
    # Without schema_ref the sample type's schema was published.
    assert index.decode_schema(entry.schema_ref).__name__ == "Feature"
    read = index.get_dataset(entry.uri)
    assert read == entry
    assert (read.storage_kind, read.size.samples, read.size.shards, len(read.data_urls)) == (
        "blobs",
        30,
        3,
        3,
    )
    assert (read.description, read.tags, read.license) == ("Thirty made features", ("made",), "MIT")
    assert read.metadata == metadata
    assert read.cid == client.get_record(entry.uri).cid
    assert list(atdata.Dataset[Feature](store.create_source(read.data_urls))) == features(30)


def test_shards_are_cut_to_the_limits_that_are_asked_for(
    client: AtmosphereClient, shards: str
) -> None:
    index = AtmosphereIndex(client, data_store=PDSBlobStore(client))
    dataset = atdata.Dataset[Feature](shards)
    entry = index.insert_dataset(dataset, name="by-count", maxcount=8)
    assert len(entry.data_urls) == 4
    assert list(atdata.load_dataset(entry.uri, Feature)) == features(30)
    entry = index.insert_dataset(dataset, name="by-size", maxsize=20_480)
    sizes = [len(client.get_blob(*url[5:].split("/blob/"))) for url in entry.data_urls]
    assert len(sizes) > 1
    assert max(sizes) <= 20_480
    assert entry.size.bytes == sum(sizes)
    assert list(atdata.load_dataset(entry.uri, Feature)) == features(30)


def test_a_store_gives_http_addresses_and_the_same_urls_for_the_same_shards(
    client: AtmosphereClient, accounts: Accounts, shards: str
) -> None:
    store = PDSBlobStore(client)
    dataset = atdata.Dataset[Feature](shards)
    urls = store.write_shards(dataset, prefix="my-data/v1")
    assert urls == PDSBlobStore(client).write_shards(dataset, prefix="other/v2")
    did, cid = urls[0][5:].split("/blob/")
    expected = f"{client.pds}/xrpc/com.atproto.sync.getBlob?did={did}&cid={cid}"
    assert store.read_url(urls[0]) == expected
    assert PDSBlobStore(accounts(1, "index-reader")).read_url(urls[0]) == expected
    with pytest.raises(InvalidSyntax):
        store.read_url("https://example.org/a.tar")
    with pytest.raises(NotFound, match="not uploaded through this store"):
        PDSBlobStore(client).uploaded(urls)


def test_without_a_store_the_urls_stand_as_given(client: AtmosphereClient) -> None:
    index = AtmosphereIndex(client)
    pattern = "https://data.example.org/made-{000000..000009}.tar"
    entry = index.insert_dataset(atdata.Dataset[Feature](pattern), name="external-features")
    assert entry.data_urls == [pattern]
    assert index.get_dataset(entry.uri).storage_kind == "external"
    # What the specification does with it: all ten shards, not the first of them.
    assert len(atdata.Dataset[Feature](entry.data_urls[0]).list_shards()) == 10


def test_local_paths_are_written_as_given_with_a_warning(
    client: AtmosphereClient, shards: str, caplog: pytest.LogCaptureFixture
) -> None:
    entry = AtmosphereIndex(client).insert_dataset(atdata.Dataset[Feature](shards), name="local")
    assert entry.data_urls == [shards]
    assert "nobody else can read" in caplog.text
    assert list(atdata.Dataset[Feature](entry.data_urls[0])) == features(30)


def test_a_view_is_published_as_what_it_shows(client: AtmosphereClient, shards: str) -> None:
    @atdata.packable
    class LabelOnly:
        label: int

    @atdata.lens
    def label_only(feature: Feature) -> LabelOnly:
        return LabelOnly(label=feature.label)

    view = atdata.Dataset[Feature](shards).as_type(LabelOnly)
    with pytest.raises(TypeMismatch, match="data store"):
        AtmosphereIndex(client).insert_dataset(view, name="labels")
    entry = AtmosphereIndex(client, data_store=PDSBlobStore(client)).insert_dataset(
        view, name="labels"
    )
    loaded = atdata.load_dataset(entry.uri)
    assert loaded.sample_type.__name__ == "LabelOnly"
    assert [sample.label for sample in loaded] == [n % 10 for n in range(30)]


def test_a_store_of_another_account_is_refused(
    client: AtmosphereClient, accounts: Accounts, shards: str
) -> None:
    store = PDSBlobStore(accounts(0, "index-elsewhere"))
    index = AtmosphereIndex(client, data_store=store)
    with pytest.raises(ValueError, match="own account"):
        index.insert_dataset(atdata.Dataset[Feature](shards), name="mixed")


def test_what_breaks_the_lexicon_is_refused_before_anything_is_written(
    client: AtmosphereClient, shards: str
) -> None:
    uploads: list[str] = []

    class Watched(PDSBlobStore):
        def write_shards(self, *args: object, **limits: object) -> list[str]:
            uploads.append("tried")
            return []

    index = AtmosphereIndex(client, data_store=Watched(client))
    dataset = atdata.Dataset[Feature](shards)
    before = {entry.uri for entry in index.list_datasets()}
    for wrong in (
        {"name": "x" * 201},
        {"name": "x", "tags": ["t"] * 31},
        {"name": "x", "metadata": {"blob": b"x" * 100_001}},
        {"name": "x", "metadata": {"object": object()}},
    ):
        with pytest.raises(InvalidRecord):
            index.insert_dataset(dataset, **wrong)
    assert {entry.uri for entry in index.list_datasets()} == before
    assert uploads == []


# --- other accounts and other writers -----------------------------------------------------------


def test_another_account_on_another_pds_lists_and_reads_all(
    client: AtmosphereClient, accounts: Accounts
) -> None:
    author = AtmosphereIndex(accounts(0, "index-prolific"))
    schema = author.publish_schema(Feature)
    url = "https://data.example.org/a.tar"
    writes = [
        {
            "$type": "com.atproto.repo.applyWrites#create",
            "collection": "ac.foundation.dataset.record",
            "value": {
                "name": f"number {n}",
                "schemaRef": schema,
                "storage": {
                    "$type": "ac.foundation.dataset.storageExternal",
                    "urls": [url],
                },
                "createdAt": "2026-01-01T00:00:00Z",
            },
        }
        for n in range(120)
    ]
    author.client.call(
        "com.atproto.repo.applyWrites", {"repo": author.client.did, "writes": writes}
    )
    reader = AtmosphereIndex(accounts(1, "index-reader"))
    found = list(reader.list_datasets(repo=author.client.did))
    assert sorted(entry.name for entry in found) == sorted(f"number {n}" for n in range(120))
    assert reader.get_dataset(found[0].uri) == found[0]
    assert [schema["name"] for schema in reader.list_schemas(repo=author.client.did)] == ["Feature"]
    assert reader.decode_schema(schema).__name__ == "Feature"
    assert list(reader.list_datasets()) == []
    with pytest.raises(NotFound):
        reader.get_dataset(f"at://{author.client.did}/ac.foundation.dataset.record/none")


def test_both_namespaces_are_listed_and_broken_neighbours_left_out(
    accounts: Accounts, on_devnet: Devnet, caplog: pytest.LogCaptureFixture
) -> None:
    client = accounts(1, "index-mixed")
    schema = f"at://{client.did}/science.alt.dataset.schema/s"
    created = "2026-01-01T00:00:00Z"
    shard = {
        "url": "https://data.example.org/a.tar",
        "checksum": {"algorithm": "none", "digest": ""},
    }
    entry = {
        "name": "successor",
        "schemaRef": schema,
        "storage": {"$type": "science.alt.dataset.storageHttp", "shards": [shard]},
        "contentMetadata": {"split": "test"},
        "createdAt": created,
    }
    client.create_record("science.alt.dataset.entry", entry)
    client.create_record("ac.foundation.dataset.record", {"name": "broken", "createdAt": created})
    first_generation = {
        "name": "first",
        "schemaRef": schema,
        "storage": {
            "$type": "ac.foundation.dataset.storageExternal",
            "urls": ["https://data.example.org/b.tar"],
        },
        "metadata": b"\xc1 this is no msgpack",
        "createdAt": created,
    }
    client.create_record("ac.foundation.dataset.record", first_generation)
    found = list(AtmosphereIndex(client).list_datasets())
    assert {(e.name, str(e.metadata), e.data_urls[0]) for e in found} == {
        ("successor", "{'split': 'test'}", "https://data.example.org/a.tar"),
        ("first", "None", "https://data.example.org/b.tar"),
    }
    assert "left out" in caplog.text
    assert "not msgpack" in caplog.text


def test_a_cut_shard_is_refused_before_anything_is_published(
    client: AtmosphereClient, tmp_path: Path
) -> None:
    path = tmp_path / "cut.tar"
    path.write_bytes(tar_of(features(5))[:-11_000])
    index = AtmosphereIndex(client, data_store=PDSBlobStore(client))
    for limits in ({}, {"maxcount": 2}):
        with pytest.raises(InvalidShard, match=r"cut\.tar"):
            index.insert_dataset(atdata.Dataset[Feature](path), name="cut", **limits)
    assert "cut" not in [entry.name for entry in index.list_datasets()]


def test_the_progress_bar_shows_only_if_asked_for(
    client: AtmosphereClient, shards: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = PDSBlobStore(client)
    store.write_shards(atdata.Dataset[Feature](shards), prefix="my-data")
    assert capsys.readouterr() == ("", "")
    store.write_shards(atdata.Dataset[Feature](shards), prefix="my-data", progress=True)
    out, err = capsys.readouterr()
    assert (out, "my-data" in err) == ("", True)

"""The lower-level publishers and loaders, as the specification uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import atdata
from atdata.atmosphere import (
    AtmosphereClient,
    DatasetLoader,
    DatasetPublisher,
    LensLoader,
    LensPublisher,
    SchemaLoader,
    SchemaPublisher,
)
from atdata.lens import lens
from atdata.protocol.errors import (
    BlockedAddress,
    InvalidRecord,
    NotFound,
)
from atdata.sources import URLSource
from deploy.devnet.devnet import Devnet
from tests.atmosphere.made import Feature, features, tar_of

pytestmark = pytest.mark.devnet

Accounts = Callable[[int, str], AtmosphereClient]

CODE = {
    "repository": "https://github.com/org/repo",
    "commit": "abc123def" + "0" * 31,
    "path": "transforms/simplify.py:simplify_getter",
}


@pytest.fixture
def client(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(0, "publisher")


@pytest.fixture
def reader(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(1, "pub-reader")


@pytest.fixture
def schema_uri(client: AtmosphereClient) -> str:
    return SchemaPublisher(client).publish(Feature, version="1.0.0")


# --- schemas ----------------------------------------------------------------------------------


def test_schema_publisher_and_loader(client: AtmosphereClient, reader: AtmosphereClient) -> None:
    uri = SchemaPublisher(client).publish(
        Feature,
        name="ImageSample",
        version="1.0.0",
        description="Image with label",
        metadata={"source": "training", "license": "MIT", "tags": ["a"]},
    )
    loader = SchemaLoader(reader)
    schema = loader.get(uri)
    assert (schema["name"], schema["version"]) == ("ImageSample", "1.0.0")
    record = loader.record(uri)
    assert (record.license, record.tags, record.metadata) == ("MIT", ("a",), {"source": "training"})
    assert schema in list(loader.list_all(repo=client.did))
    chosen = SchemaPublisher(client).publish(Feature, rkey="mine")
    assert chosen.endswith("/mine")


def test_a_loader_reads_only_its_own_kind(client: AtmosphereClient, schema_uri: str) -> None:
    for loader in (DatasetLoader(client), LensLoader(client)):
        with pytest.raises(InvalidRecord, match="is a SchemaRecord"):
            loader.get(schema_uri)
    with pytest.raises(NotFound):
        SchemaLoader(client).get(schema_uri + "x")


# --- datasets ---------------------------------------------------------------------------------


def test_publish_with_urls_outside(
    client: AtmosphereClient, reader: AtmosphereClient, schema_uri: str
) -> None:
    dataset = atdata.Dataset[Feature]("https://data.example.org/{00..03}.tar")
    publisher = DatasetPublisher(client)
    uri = publisher.publish(
        dataset,
        name="training-images",
        schema_uri=schema_uri,
        auto_publish_schema=True,
        description="Training images",
        tags=["training", "images"],
        license="MIT",
        metadata={"epochs": 3},
    )
    loader = DatasetLoader(reader)
    record = loader.get(uri)
    assert (record["name"], record["schemaRef"]) == ("training-images", schema_uri)
    assert loader.get_storage_type(uri) == "external"
    assert loader.get_urls(uri) == ["https://data.example.org/{00..03}.tar"]
    assert loader.get_metadata(uri) == {"epochs": 3}
    with pytest.raises(InvalidRecord, match="get_urls"):
        loader.get_blob_urls(uri)
    opened = loader.to_dataset(uri, Feature)
    assert isinstance(opened.source, URLSource)
    assert len(opened.list_shards()) == 4
    assert opened.metadata == {"epochs": 3}


def test_the_schema_is_published_unless_that_is_switched_off(client: AtmosphereClient) -> None:
    dataset = atdata.Dataset[Feature]("https://data.example.org/a.tar")
    publisher = DatasetPublisher(client)
    uri = publisher.publish(dataset, name="auto", schema_version="3.0.0")
    assert DatasetLoader(client).get(uri)["schemaRef"].endswith("Feature:3.0.0")
    with pytest.raises(ValueError, match="schema_uri is required"):
        publisher.publish(dataset, name="manual", auto_publish_schema=False)


def test_publish_with_blobs_and_read_all_shards_from_elsewhere(
    client: AtmosphereClient, reader: AtmosphereClient, schema_uri: str
) -> None:
    samples = features(20)
    blobs = [tar_of(samples[:12]), tar_of(samples[12:], 12)]
    uri = DatasetPublisher(client).publish_with_blobs(
        blobs=blobs,
        schema_uri=schema_uri,
        name="small-dataset",
        description="Dataset stored in ATProto blobs",
        tags=["small", "demo"],
    )
    for loader in (DatasetLoader(client), DatasetLoader(reader)):
        assert loader.get_storage_type(uri) == "blobs"
        urls = loader.get_blob_urls(uri)
        assert [url.split("?")[0] for url in urls] == [
            f"{client.pds}/xrpc/com.atproto.sync.getBlob"
        ] * 2
        dataset = loader.to_dataset(uri, Feature)
        assert [len(batch) for batch in dataset.ordered(batch_size=8)] == [8, 8, 4]
        assert list(dataset) == samples
        with pytest.raises(InvalidRecord, match="get_blob_urls"):
            loader.get_urls(uri)
    body = DatasetLoader(reader).get(uri)
    assert body["size"] == {"samples": 20, "bytes": sum(map(len, blobs)), "shards": 2}
    assert uri in [record.uri for record in DatasetLoader(reader).list_all(repo=client.did)]


@pytest.mark.parametrize(
    "url", ["/etc/passwd", "features.tar", "pipe:cat /etc/passwd", "file:///etc/passwd", "{a,/b}"]
)
def test_a_record_from_the_network_opens_nothing_but_https(
    client: AtmosphereClient, reader: AtmosphereClient, schema_uri: str, url: str
) -> None:
    uri = DatasetPublisher(client).publish_with_urls([url], schema_uri, name="a trap")
    with pytest.raises(BlockedAddress):
        DatasetLoader(reader).to_dataset(uri, Feature)
    with pytest.raises(BlockedAddress):
        atdata.load_dataset(uri)


# --- lenses -----------------------------------------------------------------------------------


@atdata.packable
class Simple:
    label: int


@lens
def simplify(src: Feature) -> Simple:
    """Keep the label only."""
    return Simple(label=src.label)


def test_lenses_are_published_and_found_by_their_schemas(
    client: AtmosphereClient, reader: AtmosphereClient, schema_uri: str
) -> None:
    simple_uri = SchemaPublisher(client).publish(Simple)
    publisher = LensPublisher(client)
    uri = publisher.publish(
        name="simplify",
        source_schema=schema_uri,
        target_schema=simple_uri,
        description="Extract label only",
        getter_code=CODE,
        putter_code={**CODE, "path": "transforms/simplify.py:simplify_putter", "branch": "main"},
    )
    from_object = publisher.publish_from_lens(
        simplify, source_schema=schema_uri, target_schema=simple_uri
    )
    back = publisher.publish(
        name="back",
        source_schema=simple_uri,
        target_schema=schema_uri,
        getter_code=CODE,
        putter_code=CODE,
    )
    loader = LensLoader(reader)
    found = loader.get(uri)
    assert (found["name"], found["sourceSchema"], found["targetSchema"]) == (
        "simplify",
        schema_uri,
        simple_uri,
    )
    assert found["getterCode"] == CODE
    assert found["putterCode"]["branch"] == "main"
    made = loader.get(from_object)
    assert (made["name"], made["description"]) == ("simplify", "Keep the label only.")
    assert made["getterCode"]["path"] == "tests/atmosphere/test_publishers.py:simplify"
    assert made["putterCode"] == {"repository": "", "commit": "", "path": ""}

    def uris(**pair: str) -> set[str]:
        return {body.uri for body in loader.find_by_schemas(**pair, repo=client.did)}

    both = {"source_schema_uri": schema_uri, "target_schema_uri": simple_uri}
    assert uris(**both) == {uri, from_object}
    assert uris(source_schema_uri=simple_uri) == {back}
    assert uris(target_schema_uri=schema_uri) == {back}
    assert uris() == {uri, from_object, back}
    assert loader.find_by_schemas(schema_uri, simple_uri) == []  # the reader's own repository
    assert {body.uri for body in LensLoader(client).list_all()} == {uri, from_object, back}


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ({"repository": "r", "commit": "c"}, "/getterCode/path"),
        ({**CODE, "password": "x"}, "/getterCode/password"),
        ({**CODE, "commit": "c" * 41}, "/getterCode/commit"),
    ],
)
def test_a_code_reference_is_complete(
    client: AtmosphereClient, schema_uri: str, code: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidRecord, match=path):
        LensPublisher(client).publish(
            name="n",
            source_schema=schema_uri,
            target_schema=schema_uri,
            getter_code=code,
            putter_code=CODE,
        )


def test_lenses_are_found_beyond_the_first_page(
    accounts: Accounts, reader: AtmosphereClient
) -> None:
    author = accounts(0, "pub-lenses")
    schema = f"at://{author.did}/ac.foundation.dataset.sampleSchema/s"
    writes = [
        {
            "$type": "com.atproto.repo.applyWrites#create",
            "collection": "ac.foundation.dataset.lens",
            "value": {
                "name": f"lens {n}",
                "sourceSchema": schema,
                "targetSchema": f"{schema}{n % 2}",
                "createdAt": "2026-01-01T00:00:00Z",
            },
        }
        for n in range(130)
    ]
    author.call("com.atproto.repo.applyWrites", {"repo": author.did, "writes": writes})
    found = LensLoader(reader).find_by_schemas(schema, f"{schema}1", repo=author.did)
    assert sorted(int(body["name"][5:]) for body in found) == list(range(1, 130, 2))


def test_files_are_uploaded_from_disk(client: AtmosphereClient, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(features(3)))
    assert client.upload_blob(path, "application/x-tar").size == path.stat().st_size

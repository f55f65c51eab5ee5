"""Croissant 1.1, read by the format's own library: files, checksums, fields; hostile records."""

from __future__ import annotations

import logging
from typing import Any

import mlcroissant
import pytest

from search_api.feeds.croissant import CONFORMS_TO
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

CID = "bafkreib4pqtikzdjlj4zigobmd63lig7u6oxlug24snlr6atjlmlza45dq"
SHA256 = "3c7c268564695a799419c160fdb5a0dfa79d75d0dae49ab8f8134ad8bc839d1c"
BLOB = {"$type": "blob", "ref": {"$link": CID}, "mimeType": "application/x-tar", "size": 1024}
FIELDS = (("image", "ndarray"), ("label", "str"), ("count", "int"), ("x <y>", "bytes"))


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("absl").setLevel(logging.ERROR)


def body(schema: str, storage: dict[str, Any]) -> dict[str, Any]:
    created = "2025-10-09T08:00:00Z"
    return {"name": "Reef", "schemaRef": schema, "storage": storage, "createdAt": created}


def external(*urls: str) -> dict[str, Any]:
    return {"$type": "ac.foundation.dataset.storageExternal", "urls": list(urls)}


def described(service: Service, uri: str) -> Any:
    """The document, which the format's library must take without an error."""
    response = service.client.get("/croissant", params={"uri": uri})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/ld+json"
    document = response.json()
    read = mlcroissant.Dataset(jsonld=document)
    assert read.metadata.ctx.issues.errors == set()
    assert read.metadata.name == document["name"]
    return document


def test_blobs_are_files_with_the_checksum_that_is_in_their_cid(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    schema = index.schema(did, fields=FIELDS)
    storage = {"$type": "ac.foundation.dataset.storageBlobs", "blobs": [BLOB, BLOB]}
    uri = index.dataset(did, "Reef", schema, body=body(schema, storage), spdx="MIT", tags=["a"])
    found = described(service, uri)
    assert found["conformsTo"] == CONFORMS_TO == "http://mlcommons.org/croissant/1.1"
    first, second, samples = found["distribution"]
    assert first["sha256"] == second["sha256"] == SHA256
    assert first["contentSize"] == "1024 B"
    assert first["contentUrl"].startswith("https://pds.example.com/xrpc/com.atproto.sync.getBlob?")
    assert samples["@type"] == "cr:FileSet"
    assert "isLiveDataset" not in found
    assert (found["license"], found["keywords"]) == ("MIT", ["a"])
    (record_set,) = found["recordSet"]
    fields = [(f["name"], f["dataType"], f.get("arrayShape")) for f in record_set["field"]]
    assert fields == [
        ("image", "sc:Float", "-1,3"),
        ("label", "sc:Text", None),
        ("count", "sc:Integer", None),
        ("x <y>", "sc:Text", None),
    ]


@pytest.mark.parametrize("claims", [{"size": -1}, {"mimeType": ""}, {"mimeType": None}])
def test_a_blob_with_untrue_claims_is_the_file_that_its_cid_names(
    index: IndexBuilder, service: Service, claims: dict[str, Any]
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    storage = {"$type": "ac.foundation.dataset.storageBlobs", "blobs": [{**BLOB, **claims}]}
    file, _ = described(service, index.dataset(did, "Reef", schema, body=body(schema, storage)))[
        "distribution"
    ]
    assert file["sha256"] == SHA256
    assert file.get("contentSize") == (None if "size" in claims else "1024 B")


def test_shards_without_a_checksum_make_a_live_dataset(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    urls = ("https://data.example.com/0.tar", "https://data.example.com/{1..3}.tar")
    uri = index.dataset(did, "Reef", schema, body=body(schema, external(*urls)))
    found = described(service, uri)
    assert found["isLiveDataset"] is True
    assert [f["contentUrl"] for f in found["distribution"][:2]] == list(urls)


def test_a_published_sha_256_is_the_file_s(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    checksum = {"algorithm": "sha256", "digest": SHA256.upper()}
    shard = {"url": "https://data.example.com/0.tar", "checksum": checksum}
    storage = {"$type": "science.alt.dataset.storageHttp", "shards": [shard]}
    uri = index.dataset(did, "Reef", schema, body=body(schema, storage))
    found = described(service, uri)
    assert found["distribution"][0]["sha256"] == SHA256
    assert "isLiveDataset" not in found


@pytest.mark.parametrize(
    "storage",
    [
        external("javascript:alert(1)", "file:///etc/passwd", "https://u:p@x.example/", "pipe:ls"),
        {"$type": "com.example.unknown", "x": 1},
        {"$type": "science.alt.dataset.storageS3", "bucket": "b", "shards": [{"key": "k"}]},
    ],
)
def test_what_nobody_should_fetch_is_no_file(
    index: IndexBuilder, service: Service, storage: dict[str, Any]
) -> None:
    did = index.account("mallory", verified=False)
    schema = index.schema(did)
    name = "</script>\x00\u202e" + '"'
    uri = index.dataset(did, name, schema, body=body(schema, storage), description="@id")
    found = described(service, uri)
    assert found["distribution"] == []
    assert "recordSet" not in found
    assert not set(found["name"]) & set("\x00\u202e")


def test_what_is_not_there_is_a_404(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    uri = index.dataset(did, "Reef", index.schema(did))
    assert described(service, uri)["name"] == "Reef"
    index.set_active(did, False)
    assert service.client.get("/croissant", params={"uri": uri}).status_code == 404
    assert service.client.get("/croissant").status_code == 400
    assert service.client.get("/croissant", params={"uri": "x"}).status_code == 400

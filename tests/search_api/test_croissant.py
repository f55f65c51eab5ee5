"""Croissant 1.1, read by the format's own library: files, checksums, fields; hostile records."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mlcroissant
import ormsgpack
import pytest
from mlcroissant._src.core import constants
from mlcroissant._src.operation_graph.operations import extract

from search_api.feeds.croissant import CONFORMS_TO, MAX_FILES
from tests.network.local_server import Answer, LocalServer, content
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.published import Shelf, blob_cid, shard
from tests.search_api.service import Service

GET_BLOB = "/xrpc/com.atproto.sync.getBlob"
CID = "bafkreib4pqtikzdjlj4zigobmd63lig7u6oxlug24snlr6atjlmlza45dq"
SHA256 = "3c7c268564695a799419c160fdb5a0dfa79d75d0dae49ab8f8134ad8bc839d1c"
BLOB = {"$type": "blob", "ref": {"$link": CID}, "mimeType": "application/x-tar", "size": 1024}
FIELDS = (("image", "ndarray"), ("label", "str"), ("count", "int"), ("x <y>", "bytes"))


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("absl").setLevel(logging.ERROR)


def blobs(kept: Mapping[str, bytes]) -> Answer:
    """A PDS's getBlob."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        content(kept[parse_qs(urlsplit(request.path).query)["cid"][0]])(request)

    return answer


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
    assert [(v["name"], v["description"]) for v in found["variableMeasured"]] == [
        ("image", "float32 [any, 3]"),
        ("label", "str"),
        ("count", "int"),
        ("x <y>", "bytes"),
    ]


SAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("000000", {"image": b"\x93NUMPY\xff", "label": "cat", "count": 3}),
    ("000001", {"image": b"", "label": "", "count": None}),
    ("train/7", {"image": b"\n", "label": "dog", "count": -1}),
]


def test_the_format_s_library_reads_every_sample_s_key_and_bytes(
    index: IndexBuilder, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = type(constants.CROISSANT_CACHE)(tmp_path)
    monkeypatch.setattr(constants, "DOWNLOAD_PATH", cache / "download")
    monkeypatch.setattr(extract, "EXTRACT_PATH", cache / "extract")
    packed = {key: ormsgpack.packb(sample) for key, sample in SAMPLES}
    shards = [
        shard(*((f"{key}.msgpack", packed[key]) for key in keys), ("README.md", b"Not a sample"))
        for keys in (("000000", "train/7"), ("000001",))
    ]
    with LocalServer({}) as server:
        server.routes[GET_BLOB] = blobs({blob_cid(data): data for data in shards})
        shelf = Shelf(index, server)
        fields = shelf.schema(("image", "ndarray:uint8"), ("label", "str"), ("count", "int"))
        uri = shelf.blobs(*map(blob_cid, shards), schema=fields)
        read = mlcroissant.Dataset(jsonld=described(service, uri))
        found = list(read.records("sample"))
    assert {r["sample/key"].decode(): r["sample/content"] for r in found} == packed
    assert len(found) == len(packed)


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
    urls = ("https://data.example.com/0.tar", "https://data.example.com/{08..10}.tar")
    uri = index.dataset(did, "Reef", schema, body=body(schema, external(*urls)))
    found = described(service, uri)
    assert found["isLiveDataset"] is True
    *files, samples = found["distribution"]
    assert [file["contentUrl"] for file in files] == [
        f"https://data.example.com/{number}.tar" for number in ("0", "08", "09", "10")
    ]
    assert [one["@id"] for one in samples["containedIn"]] == [file["@id"] for file in files]


def test_patterns_are_files_up_to_a_limit(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    urls = ("{0..9}{0..999999}", "{5..1..0}", "{1..3}", f"{{0..{MAX_FILES}}}")
    storage = external(*(f"https://data.example.com/{url}.tar" for url in urls))
    uri = index.dataset(did, "Reef", schema, body=body(schema, storage))
    document = service.client.get("/croissant", params={"uri": uri}).json()
    *files, _ = document["distribution"]
    assert len(files) == MAX_FILES
    assert [file["contentUrl"].rpartition("/")[2] for file in files[:4]] == [
        *("1.tar", "2.tar", "3.tar", "0.tar")
    ]


def test_a_published_sha_256_is_the_file_s(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    checksum = {"algorithm": "sha256", "digest": SHA256.upper()}
    entry = {"url": "https://data.example.com/0.tar", "checksum": checksum}
    storage = {"$type": "science.alt.dataset.storageHttp", "shards": [entry]}
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


def test_a_checksum_beside_a_pattern_is_of_no_file(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    checksum = {"algorithm": "sha256", "digest": SHA256}
    entry = {"url": "https://data.example.com/{0..1}.tar", "checksum": checksum}
    storage = {"$type": "science.alt.dataset.storageHttp", "shards": [entry]}
    uri = index.dataset(did, "Reef", schema, body=body(schema, storage))
    found = described(service, uri)
    assert [file.get("sha256") for file in found["distribution"][:2]] == [None, None]
    assert found["isLiveDataset"] is True


def test_what_is_not_there_is_a_404(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    uri = index.dataset(did, "Reef", index.schema(did))
    assert described(service, uri)["name"] == "Reef"
    index.set_active(did, False)
    assert service.client.get("/croissant", params={"uri": uri}).status_code == 404
    assert service.client.get("/croissant").status_code == 400
    assert service.client.get("/croissant", params={"uri": "x"}).status_code == 400

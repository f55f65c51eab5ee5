"""The successor's query names give the same things, in its shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atdata.protocol import cbor
from atdata.protocol.lexicon import builtin_catalog
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

SUCCESSOR = "science.alt.dataset"
STORAGE = {"$type": f"{SUCCESSOR}.storageHttp", "shards": [{"url": "https://x.example/a.tar"}]}


def get(service: Service, method: str, status: int = 200, /, **params: Any) -> Any:
    service.text_index.catch_up()
    response = service.client.get(f"/xrpc/{SUCCESSOR}.{method}", params=params)
    assert response.status_code == status, response.text
    body = json.loads(response.content)
    if status == 200:
        builtin_catalog().validate_output(f"{SUCCESSOR}.{method}", cbor.from_json(body))
    return body


class Shelf:
    def __init__(self, index: IndexBuilder) -> None:
        self.did = index.account("alice")
        self.schema = index.schema(self.did, "Image", version="1.9.0")
        self.newer = index.schema(self.did, "Image", version="1.10.0")
        self.dataset = index.dataset(
            self.did, "Corals", self.schema, tags=["reef"], body={"storage": STORAGE}
        )
        self.lens = index.lens(self.did, "newer", self.schema, self.newer)
        self.label = index.label(self.did, "reefs", self.dataset, "1.0.0")


@pytest.fixture
def shelf(index: IndexBuilder) -> Shelf:
    return Shelf(index)


def test_entries(shelf: Shelf, service: Service) -> None:
    entry = get(service, "getEntry", uri=shelf.dataset)["entry"]
    assert entry["uri"] == shelf.dataset
    assert (entry["did"], entry["name"], entry["tags"]) == (shelf.did, "Corals", ["reef"])
    assert (entry["schemaRef"], entry["storage"]) == (shelf.schema, STORAGE)
    assert entry["size"] == {"samples": 100, "bytes": 123456, "shards": 2}
    for name, params in (
        ("searchDatasets", {"q": "corals"}),
        ("searchDatasets", {"tags": "reef", "schemaRef": shelf.schema, "repo": "alice.test"}),
        ("listEntries", {"repo": shelf.did}),
        ("getEntries", {"uris": [shelf.dataset, shelf.schema]}),
    ):
        assert get(service, name, **params)["entries"] == [entry], name
    assert get(service, "searchDatasets", q="nothing")["entries"] == []
    assert get(service, "getEntry", 404, uri=shelf.schema)["error"] == "RecordNotFound"


def test_pages_of_entries(index: IndexBuilder, shelf: Shelf, service: Service) -> None:
    for number in range(5):
        index.dataset(shelf.did, f"Part {number}", shelf.schema)
    names, cursor = list[str](), dict[str, str]()
    while True:
        page = get(service, "listEntries", limit=2, **cursor)
        names += [entry["name"] for entry in page["entries"]]
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
    assert names == ["Part 4", "Part 3", "Part 2", "Part 1", "Part 0", "Corals"]
    assert get(service, "listEntries", 400, cursor="nonsense")["error"] == "InvalidRequest"


def test_schemas(shelf: Shelf, service: Service) -> None:
    schema = get(service, "getSchema", uri=shelf.schema)["schema"]
    assert (schema["name"], schema["version"]) == ("Image", "1.9.0")
    assert schema in get(service, "listSchemas", repo="alice.test")["schemas"]
    asked = {"handle": "alice.test", "schemaId": "test.image"}
    newest = get(service, "resolveSchema", **asked)
    assert (newest["uri"], newest["record"]["version"]) == (shelf.newer, "1.10.0")
    assert get(service, "resolveSchema", **asked, version="1.9.0")["uri"] == shelf.schema
    missing = get(service, "resolveSchema", 404, **asked, version="3.0.0")
    assert missing["error"] == "SchemaNotFound"
    assert get(service, "resolveSchema", 404, handle="b.test", schemaId="test.image")


def test_lenses(shelf: Shelf, service: Service) -> None:
    (lens,) = get(service, "searchLenses", sourceSchema=shelf.schema)["lenses"]
    assert (lens["uri"], lens["targetSchema"]) == (shelf.lens, shelf.newer)
    assert get(service, "searchLenses", sourceSchema=shelf.newer)["lenses"] == []
    assert get(service, "listLenses", repo="alice.test")["lenses"] == [lens]


def test_labels(index: IndexBuilder, shelf: Shelf, service: Service) -> None:
    found = get(service, "resolveLabel", handle="alice.test", name="reefs")
    assert (found["uri"], found["label"]["name"]) == (shelf.dataset, "reefs")
    index.delete(shelf.dataset)
    missing = get(service, "resolveLabel", 404, handle="alice.test", name="reefs")
    assert missing["error"] == "LabelNotFound"


def test_hidden_accounts_are_not_there_either(
    index: IndexBuilder, shelf: Shelf, service: Service
) -> None:
    index.set_active(shelf.did, False)
    assert get(service, "listEntries")["entries"] == []
    assert get(service, "listSchemas")["schemas"] == []
    assert get(service, "searchLenses")["lenses"] == []
    get(service, "getEntry", 404, uri=shelf.dataset)
    get(service, "resolveSchema", 404, handle=shelf.did, schemaId="test.image")

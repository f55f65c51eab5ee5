"""What is around the queries: unknown methods, health, identity, metrics, CORS, OpenAPI, bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from atdata.protocol.lexicon import builtin_catalog
from search_api import openapi
from search_api.app import create_app
from search_api.config import SearchConfig
from search_api.database import Database
from search_api.text_index import TextIndex
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

FOUNDATION = "ac.foundation.dataset"
SUBSCRIBE = f"/xrpc/{FOUNDATION}.subscribeChanges"
SUCCESSOR = "science.alt.dataset"
SUCCESSORS = (
    *("getEntries", "getEntry", "getSchema", "listEntries", "listLenses", "listSchemas"),
    *("resolveLabel", "resolveSchema", "searchDatasets", "searchLenses"),
)
METHODS = (
    *("findLensPath", "findLenses", "getDataset", "getDatasets", "getIndexStatus"),
    *("getLatestSchema", "getLens", "getProfile", "getSchema", "getSimilarDatasets"),
    *("listLicenses", "listSchemaVersions", "listSchemas", "listTags", "resolveLabel"),
    *("searchDatasets", "searchSchemas"),
)


def test_an_unknown_method_is_a_501_and_no_method_name_a_400(service: Service) -> None:
    for nsid in (f"{FOUNDATION}.nothing", f"{FOUNDATION}.record", "com.example.some.method"):
        response = service.client.get(f"/xrpc/{nsid}")
        assert response.status_code == 501
        assert response.json()["error"] == "MethodNotImplemented"
        assert service.client.post(f"/xrpc/{nsid}").status_code == 501
    for text in ("x", "a/b", "%00", ""):
        response = service.client.get(f"/xrpc/{text}")
        assert response.status_code == 400
        assert response.json()["error"] == "InvalidRequest"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"/xrpc/{FOUNDATION}.searchDatasets", "GET, HEAD"),
        (f"/xrpc/{FOUNDATION}.subscribeChanges", "GET, HEAD"),
        (f"/xrpc/{SUCCESSOR}.searchDatasets", "GET, HEAD"),
        ("/", "GET, HEAD"),
        ("/dataset", "GET, HEAD"),
        ("/feed.atom", "GET, HEAD"),
        ("/export", "GET, HEAD"),
        ("/robots.txt", "GET, HEAD"),
        ("/_health", "GET, HEAD"),
        ("/static/style.css", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("verb", ["post", "put", "delete"])
def test_what_is_read_is_read_with_get(
    service: Service, path: str, allowed: str, verb: str
) -> None:
    response = service.client.request(verb, path)
    assert response.status_code == 405
    assert response.json()["error"] == "MethodNotAllowed"
    assert ", ".join(sorted(response.headers["allow"].split(", "))) == allowed


def test_health_says_the_version(service: Service) -> None:
    assert service.client.get("/_health").json()["version"] == "0.1.0"


def test_the_did_document_names_the_service(service: Service) -> None:
    document = service.client.get("/.well-known/did.json").json()
    assert document["id"] == "did:web:search.example.com"
    assert document["service"] == [
        {
            "id": "#atdata_search",
            "type": "AtdataSearchService",
            "serviceEndpoint": "https://search.example.com",
        }
    ]


def test_without_a_configured_address_the_document_names_the_one_it_was_asked_under(
    index: IndexBuilder, tmp_path: Path
) -> None:
    database = Database(index.connection)
    text_index = TextIndex(tmp_path / "unnamed", database)
    app = create_app(database, text_index, SearchConfig(port=8123))
    client = TestClient(app, base_url="http://127.0.0.1:8123")
    document = client.get("/.well-known/did.json").json()
    assert document["id"] == "did:web:127.0.0.1%3A8123"
    assert document["service"][0]["serviceEndpoint"] == "http://127.0.0.1:8123"
    forged = client.get("/.well-known/did.json", headers={"host": "a b<script>"}).json()
    assert forged["id"] == "did:web:127.0.0.1%3A8123"
    text_index.close()


def test_metrics_count_requests_by_method_and_status(service: Service) -> None:
    service.get("listTags")
    service.error("listTags", limit=0)
    text = service.client.get("/metrics").text
    name = f'atdata_search_requests_total{{method="{FOUNDATION}.listTags",status='
    assert name + '"200"} 1.0' in text
    assert name + '"400"} 1.0' in text


def test_any_web_page_may_ask(service: Service) -> None:
    response = service.client.get(
        f"/xrpc/{FOUNDATION}.listTags", headers={"Origin": "https://elsewhere.example.com"}
    )
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


def test_our_own_failure_is_a_500_without_details(index: IndexBuilder, service: Service) -> None:
    index.connection.execute("DROP TABLE schema_fields")
    response = service.client.get(f"/xrpc/{FOUNDATION}.listSchemas")
    assert response.status_code == 500
    assert response.json() == {
        "error": "InternalServerError",
        "message": "something went wrong on this side",
    }


def test_a_query_that_takes_too_long_is_stopped(index: IndexBuilder, tmp_path: Path) -> None:
    """A view that never ends stands in for a table that is too large."""
    index.connection.execute("DROP TABLE drops")
    index.connection.execute(
        "CREATE VIEW drops AS SELECT 'x' AS reason, sum(hash(a.range * b.range))::BIGINT AS count "
        "FROM range(1000000) a, range(1000000) b"
    )
    database = Database(index.connection, seconds=0.2)
    text_index = TextIndex(tmp_path / "slow", database)
    client = TestClient(create_app(database, text_index, SearchConfig()))
    response = client.get(f"/xrpc/{FOUNDATION}.getIndexStatus")
    assert response.status_code == 503
    assert response.json()["error"] == "NotEnoughResources"
    assert client.get(f"/xrpc/{FOUNDATION}.listTags").status_code == 200
    text_index.close()


def test_the_text_index_keeps_up_by_itself(index: IndexBuilder, tmp_path: Path) -> None:
    database = Database(index.connection)
    text_index = TextIndex(tmp_path / "own", database)
    app = create_app(database, text_index, SearchConfig(follow_seconds=0.01))
    with TestClient(app) as client:
        did = index.account("alice")
        index.dataset(did, "Corals", index.schema(did))
        url = f"/xrpc/{FOUNDATION}.searchDatasets?q=corals"
        while client.get(url).json()["hitsTotal"] != 1:
            pass  # the test's own time limit ends this
    text_index.close()


# --- OpenAPI ------------------------------------------------------------------------------------


@pytest.fixture
def document(service: Service) -> Any:
    return json.loads(service.client.get("/openapi.json").content)


def test_openapi_has_every_query_that_has_a_lexicon(document: Any) -> None:
    paths = [f"/xrpc/{FOUNDATION}.{method}" for method in METHODS]
    paths += [f"/xrpc/{SUCCESSOR}.{method}" for method in SUCCESSORS]
    described = {path for path in document["paths"] if path.startswith("/xrpc/")}
    assert sorted(described - {SUBSCRIBE}) == paths
    assert SUBSCRIBE in described


def test_openapi_has_the_mirror_where_there_is_one() -> None:
    catalog, blob = builtin_catalog(), "/xrpc/com.atproto.sync.getBlob"
    assert blob not in openapi.document(catalog, [], "1")["paths"]
    answers = openapi.document(catalog, [], "1", mirrored=True)["paths"][blob]["get"]["responses"]
    assert {"200", "206", "400", "404", "416", "429", "502", "503"} <= set(answers)


def test_openapi_says_what_the_lexicons_say(document: Any) -> None:
    catalog = builtin_catalog()
    for path, item in document["paths"].items():
        if path.startswith("/xrpc/") and path != SUBSCRIBE:
            lexicon = catalog.query(path.removeprefix("/xrpc/"))
            parameters = {one["name"]: one for one in item["get"]["parameters"]}
            assert set(parameters) == set(lexicon.parameters.properties)
            required = {name for name, one in parameters.items() if one["required"]}
            assert required == set(lexicon.parameters.required)
            assert {"200", "400", "429", "500", "503"} <= set(item["get"]["responses"])
    limit = next(
        one
        for one in document["paths"][f"/xrpc/{FOUNDATION}.searchDatasets"]["get"]["parameters"]
        if one["name"] == "limit"
    )
    wanted = {"type": "integer", "minimum": 1, "maximum": 100, "default": 25}
    assert limit["schema"] == wanted


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def test_openapi_answers_fit_its_own_schemas(
    index: IndexBuilder, service: Service, document: Any
) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(refs(document)) <= known
    did = index.account("alice")
    schema = index.schema(did)
    dataset = index.dataset(did, "Corals", schema, tags=["reef"])
    lens = index.lens(did, "self", schema, schema)
    index.label(did, "reefs", dataset)
    asked: dict[str, dict[str, str]] = {
        "findLensPath": {"dataset": dataset, "target": schema, "reachable": "5"},
        "getDataset": {"uri": dataset},
        "getDatasets": {"uris": dataset},
        "getLatestSchema": {"schemaId": "test.imageSample"},
        "getLens": {"uri": lens},
        "getProfile": {"actor": did},
        "getSchema": {"uri": schema},
        "getSimilarDatasets": {"uri": dataset},
        "listSchemaVersions": {"uri": schema},
        "resolveLabel": {"author": did, "name": "reefs"},
    }
    for method in METHODS:
        responses = document["paths"][f"/xrpc/{FOUNDATION}.{method}"]["get"]["responses"]
        answer = responses["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(
            service.get(method, **asked.get(method, {})),
            {**answer, "components": document["components"]},
        )

"""Searching from Python, against a real HTTP server that answers with the API's own views."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import atdata
from atdata import discovery
from atdata.protocol import cbor, views
from atdata.protocol.cid import Cid
from atdata.protocol.errors import (
    CidMismatch,
    InvalidRecord,
    NotConfigured,
    NotFound,
    TypeMismatch,
    XrpcError,
)
from atdata.protocol.records import to_body
from atdata.protocol.views import (
    DatasetPage,
    DatasetView,
    LensPage,
    LensView,
    SchemaPage,
    SchemaView,
)
from atdata.schema import schema_of
from tests.atmosphere.conftest import Configure
from tests.network.local_server import Answer, LocalServer

XRPC = "/xrpc/ac.foundation.dataset."
DID = f"did:plc:{'a' * 24}"


def dataset(n: int) -> DatasetView:
    return DatasetView(
        uri=f"at://{DID}/ac.foundation.dataset.record/{n}",
        cid=str(Cid.of(b"%d" % n)),
        did=DID,
        indexed_at="2026-01-01T00:00:00Z",
        name=f"dataset {n}",
        schema_uri=f"at://{DID}/ac.foundation.dataset.sampleSchema/s",
        storage_kind="blobs",
        created_at="2026-01-01T00:00:00Z",
        tags=("made",),
    )


def json_answer(value: Any, code: int = 200) -> Answer:
    data = json.dumps(value).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


def paged(total: int) -> Answer:
    """``searchDatasets`` over ``total`` datasets, with the limit that it was asked for."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = parse_qs(urlsplit(request.path).query)
        start, limit = int(asked.get("cursor", ["0"])[0]), int(asked["limit"][0])
        end = min(start + limit, total)
        page = DatasetPage(
            datasets=tuple(map(dataset, range(start, end))),
            hits_total=total,
            cursor=str(end) if end < total else None,
        )
        json_answer(views.to_json(page))(request)

    return answer


@pytest.fixture
def server(configure: Configure) -> Iterator[LocalServer]:
    with LocalServer({XRPC + "searchDatasets": paged(250)}) as running:
        configure(api=running.url)
        yield running


def requests(server: LocalServer) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(path).query) for path in server.paths()]


# --- results ----------------------------------------------------------------------------------


def test_results_are_walked_to_the_last_page(server: LocalServer) -> None:
    results = atdata.search("made")
    assert [hit.name for hit in results] == [f"dataset {n}" for n in range(250)]
    assert (results.total, len(results)) == (250, 250)
    assert [int(asked["limit"][0]) for asked in requests(server)] == [100, 100, 100]
    list(results)
    assert len(server.seen) == 3


def test_only_the_pages_that_are_looked_at_are_fetched(server: LocalServer) -> None:
    results = atdata.search()
    assert server.seen == []
    assert results[0].name == "dataset 0"
    assert results[99].view == dataset(99)
    assert [hit.name for hit in results[10:12]] == ["dataset 10", "dataset 11"]
    assert results[:0] == []
    assert bool(results)
    assert results.total == 250
    assert len(server.seen) == 1
    assert results[100].name == "dataset 100"
    assert len(server.seen) == 2
    assert results[-1].name == "dataset 249"
    assert len(results[::-1]) == 250
    with pytest.raises(IndexError):
        results[250]
    assert len(server.seen) == 3


def test_nothing_found_is_an_empty_list(server: LocalServer) -> None:
    server.routes[XRPC + "searchDatasets"] = paged(0)
    results = atdata.search("nothing")
    assert (list(results), results.total, bool(results)) == ([], 0, False)
    with pytest.raises(IndexError):
        results[0]
    assert "0 datasets" in repr(results)


def test_to_be_shown_they_ask_nobody(server: LocalServer) -> None:
    results = atdata.search("two words", license="MIT")
    assert repr(results) == "<SearchResults q='two words', license='MIT'>"
    assert server.seen == []
    assert results.total == 250
    assert repr(results) == "<SearchResults q='two words', license='MIT': 250 datasets>"
    away = atdata.search(api="http://127.0.0.1:1")
    assert repr(away) == "<SearchResults everything>"


def test_every_condition_is_passed_on(server: LocalServer) -> None:
    schema = f"at://{DID}/ac.foundation.dataset.sampleSchema/s"
    results = atdata.search(
        "two words",
        tags=["images", "a&b=c"],
        license="MIT",
        schema=schema,
        author="@alice.test",
        storage="blobs",
    )
    assert results.total == 250
    assert requests(server) == [
        {
            "q": ["two words"],
            "tags": ["images", "a&b=c"],
            "license": ["MIT"],
            "schema": [schema],
            "author": ["alice.test"],
            "storage": ["blobs"],
            "limit": ["100"],
        }
    ]


@pytest.mark.parametrize("cursor", ["same", ""])
def test_a_cursor_that_leads_nowhere_ends_the_list(server: LocalServer, cursor: str) -> None:
    page = {"datasets": [views.to_json(dataset(1))], "hitsTotal": 2, "cursor": cursor}
    server.routes[XRPC + "searchDatasets"] = json_answer(page)
    assert len(list(atdata.search())) <= 2
    page["datasets"] = []
    server.routes[XRPC + "searchDatasets"] = json_answer(page)
    assert list(atdata.search()) == []


def test_without_an_api_the_error_says_how_to_name_one(configure: Configure) -> None:
    configure(api=None)
    with pytest.raises(NotConfigured, match=r"atdata\.configure\(api="):
        atdata.search("anything")


def test_another_api_can_be_asked(configure: Configure, server: LocalServer) -> None:
    configure(api=None)
    results = atdata.search(api=server.url + "/")
    assert results[0].api == server.url
    assert server.url not in repr(results[0])


def test_an_error_of_the_api_is_passed_on(server: LocalServer) -> None:
    refusal = {"error": "InvalidRequest", "message": "tags: at most 30"}
    server.routes[XRPC + "searchDatasets"] = json_answer(refusal, 400)
    with pytest.raises(XrpcError, match="at most 30"):
        atdata.search(tags=["x"] * 31)[0]


def test_an_answer_of_the_wrong_shape_names_the_member(server: LocalServer) -> None:
    view = views.to_json(dataset(1)) | {"name": 5}
    page = {"datasets": [view], "hitsTotal": 1}
    server.routes[XRPC + "searchDatasets"] = json_answer(page)
    with pytest.raises(InvalidRecord, match="/datasets/0/name"):
        atdata.search()[0]


@atdata.packable
class Reading:
    value: float


def schema(n: int, sample_type: type, **changes: str) -> tuple[SchemaView, dict[str, Any]]:
    record = schema_of(sample_type, name="Reading", created_at="2026-01-01T00:00:00Z", **changes)
    body = to_body(record)
    view = SchemaView(
        uri=f"at://{DID}/ac.foundation.dataset.sampleSchema/{n}",
        cid=str(Cid.of(cbor.encode(body))),
        did=DID,
        indexed_at="2026-01-01T00:00:00Z",
        name=record.name,
        version=record.version,
        created_at=record.created_at,
    )
    return view, {"schema": views.to_json(view), "record": cbor.to_json(body)}


def test_a_schema_may_be_a_type_that_the_index_knows(server: LocalServer) -> None:
    @atdata.packable
    class Wider:
        value: float
        unit: str

    known = [schema(0, Reading), schema(1, Wider), schema(2, Reading, version="1.1.0")]

    def get_schema(request: BaseHTTPRequestHandler) -> None:
        (uri,) = parse_qs(urlsplit(request.path).query)["uri"]
        json_answer(known[int(uri[-1])][1])(request)

    page = views.to_json(SchemaPage(tuple(view for view, _ in known)))
    server.routes[XRPC + "listSchemas"] = json_answer(page)
    server.routes[XRPC + "getSchema"] = get_schema
    results = atdata.search(schema=Reading)
    # The two that it fits are asked for one after the other.
    assert results.total == 500
    assert len(list(results)) == 500
    asked = [query["schema"][0][-1] for query in requests(server) if "schema" in query]
    assert asked == ["0", "2", "0", "0", "2", "2"]

    server.routes[XRPC + "listSchemas"] = json_answer({"schemas": []})
    with pytest.raises(TypeMismatch, match="Reading"):
        atdata.search(schema=Reading)


# --- one dataset, and lenses --------------------------------------------------------------------


def test_a_record_that_is_not_what_its_cid_says_is_refused(server: LocalServer) -> None:
    detail = {"dataset": views.to_json(dataset(1)), "record": {"name": "forged"}}
    server.routes[XRPC + "getDataset"] = json_answer(detail)
    with pytest.raises(CidMismatch):
        discovery.get_dataset(dataset(1).uri)


def test_what_the_index_does_not_have_is_not_found(server: LocalServer) -> None:
    refusal = {"error": "RecordNotFound", "message": "no such dataset"}
    server.routes[XRPC + "getDataset"] = json_answer(refusal, 404)
    with pytest.raises(NotFound, match="no such dataset"):
        discovery.get_dataset(dataset(1).uri)


def test_lenses_are_listed_to_the_last_page(server: LocalServer) -> None:
    def lens(n: int) -> LensView:
        return LensView(
            uri=f"at://{DID}/ac.foundation.dataset.lens/{n}",
            cid=str(Cid.of(b"")),
            did=DID,
            indexed_at="2026-01-01T00:00:00Z",
            name=f"lens {n}",
            source_schema="at://a",
            target_schema="at://b",
            created_at="2026-01-01T00:00:00Z",
        )

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = parse_qs(urlsplit(request.path).query)
        n = int(asked.get("cursor", ["0"])[0])
        page = LensPage((lens(n),), str(n + 1) if n < 3 else None)
        json_answer(views.to_json(page))(request)

    server.routes[XRPC + "findLenses"] = answer
    found = discovery.find_lenses(source="at://a", target="at://b")
    assert server.seen == []
    assert [lens.name for lens in found] == [f"lens {n}" for n in range(4)]
    assert requests(server)[0] == {"source": ["at://a"], "target": ["at://b"], "limit": ["100"]}

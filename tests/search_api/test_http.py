"""HTTP around the answers: ETag, Cache-Control, conditional requests, CORS, bounds."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live
from tests.search_api.service import Service

SEARCH = "/xrpc/ac.foundation.dataset.searchDatasets"
READ = (SEARCH, "/", "/feed.atom", "/feed.json", "/sitemap.xml", "/robots.txt", "/openapi.json")


def corals(index: IndexBuilder, service: Service) -> str:
    did = index.account("alice")
    index.dataset(did, "Corals", index.schema(did))
    service.text_index.catch_up()
    return did


@pytest.mark.parametrize("path", READ)
def test_what_has_not_changed_is_not_sent_again(
    index: IndexBuilder, service: Service, path: str
) -> None:
    corals(index, service)
    first = service.client.get(path)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    for known in (etag, f'"x", W/{etag}', "*"):
        again = service.client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert "content-type" not in again.headers
    assert service.client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
    assert service.client.head(path).headers["etag"] == etag


def test_a_hidden_account_changes_the_etag(index: IndexBuilder, service: Service) -> None:
    did = corals(index, service)
    etag = service.client.get(SEARCH).headers["etag"]
    index.set_active(did, False)
    service.text_index.catch_up()
    after = service.client.get(SEARCH, headers={"If-None-Match": etag})
    assert after.status_code == 200
    assert after.json()["datasets"] == []


def test_errors_are_not_kept(service: Service) -> None:
    for path in (f"{SEARCH}?limit=0", "/dataset?uri=x", "/nothing", "/xrpc/com.example.nothing"):
        response = service.client.get(path, headers={"If-None-Match": "*"})
        assert response.status_code >= 400
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers


def test_files_of_the_page_are_checked_too(service: Service) -> None:
    first = service.client.get("/static/style.css")
    assert first.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": first.headers["etag"]}
    assert service.client.get("/static/style.css", headers=known).status_code == 304


def test_a_file_that_the_client_has_is_not_sent_again(index: IndexBuilder, tmp_path: Path) -> None:
    did = index.account("alice")
    index.dataset(did, "Corals", index.schema(did))
    with live(index, tmp_path, export=tmp_path / "export") as origin:
        url = httpx.get(f"{origin}/export").json()["files"][0]["url"]
        etag = httpx.get(url).headers["etag"]
        for known in (etag, f'"x", W/{etag}', "*"):
            for method in ("GET", "HEAD"):
                again = httpx.request(method, url, headers={"If-None-Match": known})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == etag
                assert again.headers["cache-control"] == "no-cache"
        assert httpx.get(url, headers={"If-None-Match": '"x"'}).status_code == 200


def test_any_page_may_ask_from_a_browser_and_see_the_limits(service: Service) -> None:
    origin = {"Origin": "https://elsewhere.example.com"}
    asked = {**origin, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "content-type, mcp-protocol-version"
    preflight = service.client.options("/mcp", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    shown = service.client.get(SEARCH, headers=origin).headers["access-control-expose-headers"]
    assert {"RateLimit-Remaining", "Retry-After", "ETag"} <= set(shown.split(", "))


def test_a_real_server_sends_no_body_with_a_304_and_goes_on(
    index: IndexBuilder, tmp_path: Path
) -> None:
    did = index.account("alice")
    index.dataset(did, "Corals", index.schema(did))
    with live(index, tmp_path) as origin, httpx.Client(base_url=origin) as client:
        etag = client.get(SEARCH).headers["etag"]
        for _ in range(3):
            again = client.get(SEARCH, headers={"If-None-Match": etag})
            assert (again.status_code, again.content) == (304, b"")
        assert client.get(SEARCH).json()["hitsTotal"] == 1
        assert client.head(SEARCH).content == b""


@pytest.mark.parametrize(
    "query",
    [
        "q=" + "a " * 250,
        "q=" + "%22" * 500,
        "q=" + "(" * 500,
        "q=" + "-x " * 160,
        "q=" + "tag:" * 120,
        "&".join(f"tags=t{n}" for n in range(30)),
        "q=" + "%00%ff%fe",
    ],
)
def test_a_query_that_is_meant_to_hurt_is_answered(
    index: IndexBuilder, service: Service, query: str
) -> None:
    corals(index, service)
    assert service.client.get(f"{SEARCH}?{query}").status_code in {200, 400}


@pytest.mark.parametrize(
    "query", ["q=" + "x" * 501, "&".join(f"tags=t{n}" for n in range(31)), "x=" + "y" * 16_001]
)
def test_a_query_that_is_too_long_is_a_400(service: Service, query: str) -> None:
    assert service.client.get(f"{SEARCH}?{query}").status_code == 400


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("bytes=0-9", 206),
        ("Bytes=-9", 206),
        ("bytes=0-3, 5-6", 206),
        ("bytes=999999999-", 416),
        ("x=1", 200),
        ("lines=0-9", 200),
        ("bytes", 200),
        ("bytes=", 200),
        ("bytes=9-2", 200),
        ("bytes=a-b", 200),
        ("bytes=0-1,x", 200),
    ],
)
def test_a_range_that_means_nothing_is_no_range(service: Service, asked: str, status: int) -> None:
    answer = service.client.get("/static/style.css", headers={"Range": asked})
    assert answer.status_code == status
    if status == 200:
        assert answer.content == service.client.get("/static/style.css").content

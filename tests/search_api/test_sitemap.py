"""Sitemap, robots.txt and OpenSearch: every visible page once, whatever the number of parts."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit
from urllib.robotparser import RobotFileParser
from xml.etree import ElementTree

import pytest

from search_api.database import Database
from search_api.feeds import sitemap
from search_api.web.text import page_url
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

S = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
O = "{http://a9.com/-/spec/opensearch/1.1/}"  # noqa: E741
BASE = "https://search.example.com"


def pages(text: str) -> list[str]:
    root = ElementTree.fromstring(text)
    return [url.findtext(S + "loc") or "" for url in root.iter(S + "url")]


def crawled(service: Service) -> list[str]:
    """All pages, by way of robots.txt and the index."""
    robots = service.client.get("/robots.txt").text
    start = next(x for x in robots.splitlines() if x.startswith("Sitemap: "))
    index = service.client.get(start.removeprefix(f"Sitemap: {BASE}")).text
    parts = [loc.text or "" for loc in ElementTree.fromstring(index).iter(S + "loc")]
    return [
        page for part in parts for page in pages(service.client.get(part.removeprefix(BASE)).text)
    ]


def test_every_visible_dataset_and_schema_is_there_once(
    index: IndexBuilder, service: Service
) -> None:
    alice, hidden = index.account("alice"), index.account("hidden")
    schema = index.schema(alice)
    wanted = {index.dataset(alice, f"Set {n}", schema) for n in range(20)} | {schema}
    index.dataset(hidden, "Secret", index.schema(hidden, "SecretSample"))
    index.set_active(hidden, False)
    found = crawled(service)
    assert len(found) == len(wanted)
    assert {parse_qs(urlsplit(page).query)["uri"][0] for page in found} == wanted
    for page in found[:3]:
        assert service.client.get(page.removeprefix(BASE)).status_code == 200


@pytest.mark.parametrize("number", [1, 2, 8, 64])
def test_parts_are_disjoint_and_together_everything(index: IndexBuilder, number: int) -> None:
    did = index.account("alice")
    wanted = sorted(index.dataset(did, f"Set {n}", "at://x/y/z") for n in range(40))
    with Database(index.connection).session() as session:
        parts = [pages(sitemap.part(session, number, place, BASE)) for place in range(number)]
    found = [parse_qs(urlsplit(page).query)["uri"][0] for part in parts for page in part]
    assert sorted(found) == wanted


@pytest.mark.parametrize(
    "place", ["3/0", "2/2", "0/0", "32768/0", "x/0", "1/-1", "1/99999999999", "²/0"]
)
def test_there_are_no_other_parts(service: Service, place: str) -> None:
    assert service.client.get(f"/sitemap/{place}.xml").status_code == 404


def test_the_number_of_parts_is_not_the_crawler_s_choice() -> None:
    million = 1_000_000  # 64 parts
    assert [
        number for number in (1, 2, 16, 32, 64, 128, 16_384) if sitemap.is_part(number, 0, million)
    ] == [
        32,
        64,
        128,
        16_384,
    ]
    assert sitemap.is_part(1, 0, 0)


def test_a_page_is_said_as_its_own_links_say_it(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    odd = index.schema(did, "Odd", rkey="test.odd:1.0.0-a_b~c")
    (line,) = pages(service.client.get("/sitemap/1/0.xml").text)
    assert line == BASE + page_url("/schema", uri=odd)
    (when,) = ElementTree.fromstring(service.client.get("/sitemap/1/0.xml").text).iter(
        S + "lastmod"
    )
    assert when.text == service.get("getSchema", uri=odd)["schema"]["indexedAt"]


def test_a_million_pages_are_cut_into_parts_below_the_format_s_limit() -> None:
    for rows, number in ((0, 1), (20_000, 1), (20_001, 2), (1_000_000, 64), (10**10, 16_384)):
        assert sitemap.parts(rows) == number


def test_crawlers_may_read_pages_and_nothing_else(service: Service) -> None:
    robots = RobotFileParser()
    robots.parse(service.client.get("/robots.txt").text.splitlines())
    for path in ("/", "/dataset?uri=x", "/schemas", "/sitemap.xml"):
        assert robots.can_fetch("*", BASE + path), path
    for path in ("/xrpc/a.b.c", "/search.csv?q=x", "/feed.atom", "/mcp", "/export/x"):
        assert not robots.can_fetch("*", BASE + path), path


def test_opensearch_leads_to_the_search(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    index.dataset(did, "Corals", index.schema(did))
    service.text_index.catch_up()
    root = ElementTree.fromstring(service.client.get("/opensearch.xml").text)
    assert len(root.findtext(O + "ShortName") or "") <= 16
    urls = {url.get("type"): url.get("template") or "" for url in root.iter(O + "Url")}
    for template in urls.values():
        path = template.removeprefix(BASE).replace("{searchTerms}", "corals")
        answer = service.client.get(path.replace("{count?}", "5"))
        assert answer.status_code == 200
        assert "Corals" in answer.text

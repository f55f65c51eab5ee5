"""Turning pages: on, back and to the first, with as many hits on each as was asked for."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from search_api.web.turning import MOST_TEXT, Turn
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service
from tests.search_api.test_pages import opened

CARD = re.compile(r'<article class="card">\s*<h2><a href="[^"]*"><bdi>([^<]*)')
HREF = re.compile(r'href="([^"]*)"')


@pytest.fixture
def reefs(index: IndexBuilder) -> IndexBuilder:
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(14):
        index.dataset(
            did, f"Reef {number:02}", schema, tags=["fish", f"t{number:02}"], spdx=f"L-{number:02}"
        )
    return index


def names(html: str) -> list[str]:
    return CARD.findall(html)


def test_there_is_a_way_back_page_by_page_to_where_one_began(
    reefs: IndexBuilder, service: Service
) -> None:
    url, seen, pages = "/?q=reef&tags=fish&limit=3", [], []
    for number in range(1, 6):
        page, html = opened(service, url)
        pages.append(names(html))
        seen.append(url)
        assert f"Page {number} of 5" in " ".join(page.text.split())
        assert ("First page" in html) == ("Previous page" in html) == (number > 1)
        if number < 5:
            url = page.link("Next page", html)
    assert "Next page" not in html
    assert [len(names) for names in pages] == [3, 3, 3, 3, 2]
    for number in range(4, 0, -1):
        url = page.link("Previous page", html)
        assert url == seen[number - 1]
        page, html = opened(service, url)
        assert names(html) == pages[number - 1]
    assert "Previous page" not in html


def test_the_size_of_a_page_goes_along_with_whatever_is_chosen(
    reefs: IndexBuilder, service: Service
) -> None:
    page, html = opened(service, "/?q=reef&limit=3")
    local = [
        unescape(link)
        for link in HREF.findall(html.partition("<main")[2])
        if link.startswith("/?") and "data-key" in html.partition(link)[2][:200]
    ]
    assert len(local) > 10
    assert all(parse_qs(urlsplit(link).query)["limit"] == ["3"] for link in local)
    assert html.count('<input type="hidden" name="limit" value="3">') == 2, "both forms"
    assert "limit" not in page.link("CSV", html), "a file has all"
    _, html = opened(service, "/?q=reef")
    assert "limit" not in html


@pytest.mark.parametrize("path", ["/tags", "/licenses"])
def test_lists_of_values_are_turned_back_too(
    reefs: IndexBuilder, service: Service, path: str
) -> None:
    first = f"{path}?limit=5"
    page, html = opened(service, first)
    page, html = opened(service, second := page.link("Next page", html))
    page, html = opened(service, page.link("Next page", html))
    page, html = opened(service, back := page.link("Previous page", html))
    assert back == second
    assert page.link("Previous page", html) == page.link("First page", html) == first


def test_what_is_no_trail_does_no_harm(reefs: IndexBuilder, service: Service) -> None:
    page, html = opened(service, "/?limit=3")
    cursor = parse_qs(urlsplit(page.link("Next page", html)).query)["cursor"][0]
    for more in ("", "&page=x", "&page=-1", "&page=" + "9" * 30):
        page, html = opened(service, f"/?limit=3&cursor={cursor}{more}")
        assert names(html) == ["Reef 10", "Reef 09", "Reef 08"]
        assert "Previous page" not in html, "nobody knows which"
    _, html = opened(service, "/?limit=3&page=7&back=x")
    assert "Previous page" not in html
    page, html = opened(service, f"/?limit=3&cursor={cursor}&page=3&back=x")
    assert service.client.get(page.link("Previous page", html)).status_code == 400


def test_a_long_way_is_remembered_as_far_as_a_url_holds_it() -> None:
    turn = Turn.of(None, {})
    for number in range(2, 400):
        back = turn.next("c" * 900)["back"]
        assert isinstance(back, tuple)
        turn = Turn.of("x" * 900, {"page": [str(number)], "back": back})
        trail = turn.trail
        assert sum(map(len, trail)) <= MOST_TEXT
    assert turn.number == 399
    previous = turn.previous()
    assert previous is not None
    assert previous["page"] == 398

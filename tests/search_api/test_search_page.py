"""The search page's state: a link leads to as many hits as it says, and a URL says everything."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service
from tests.search_api.test_pages import Page, opened

TAGS = (("two", 2), ("three", 3), ("Five", 5))  # each so many datasets
OPTION = re.compile(
    r'<li><a href="([^"]*)" data-key="(\w+) [^"]*"( aria-current="true")?>'
    r'<bdi>([^<]*)</bdi> <span class="count">([\d,]+)'
)


@pytest.fixture(autouse=True)
def shelf(index: IndexBuilder) -> dict[str, str]:
    alice, bob = index.account("alice"), index.account("bob")
    photo = index.schema(alice, "Photo")
    label = index.schema(alice, "Label", fields=[("label", "str")])
    for number in range(24):
        index.dataset(
            (alice, bob)[number % 2],
            f"Reef {number}",
            (photo, label)[number % 3 == 0],
            tags=[
                tag for tag, each in (("two", 2), ("three", 3), ("Five", 5)) if not number % each
            ],
            spdx=("MIT", "CC-BY-4.0", None)[number % 3],
            storage=("blobs", "external")[number % 4 == 0],
        )
    return {"alice": alice, "photo": photo, "label": label}


def options(html: str) -> list[tuple[str, str, bool, str, int]]:
    """Each value of a facet: URL, facet, whether it is chosen, label, count."""
    return [
        (unescape(url), facet, bool(chosen), unescape(label), int(count.replace(",", "")))
        for url, facet, chosen, label, count in OPTION.findall(html)
    ]


def hits(page: Page) -> int:
    found = re.search(r"([\d,]+) datasets?", page.text)
    assert found
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("asked", ["/", "/?q=reef", "/?tags=two", "/?q=reef&tags=two&license=MIT"])
def test_a_value_that_narrows_leads_to_as_many_hits_as_it_says(
    service: Service, asked: str
) -> None:
    _, html = opened(service, asked)
    chosen = {facet for _, facet, on, _, _ in options(html) if on}
    followed = 0
    for url, facet, on, label, count in options(html):
        if not on and (facet == "tags" or facet not in chosen):
            assert hits(opened(service, url)[0]) == count, label
            followed += 1
    assert followed >= 5


def test_tags_are_all_wanted_or_any_of_them_as_the_page_says(service: Service) -> None:
    page, html = opened(service, "/?tags=two&tags=three")
    assert "With all of these / any of these" in " ".join(page.text.split())
    assert hits(page) == 4
    counts = {label: count for _, facet, _, label, count in options(html) if facet == "tags"}
    assert counts == {"two": 4, "three": 4, "five": 1}, "of those that have both"
    page, html = opened(service, page.link("any of these", html))
    assert hits(page) == 16
    counts = {label: count for _, facet, _, label, count in options(html) if facet == "tags"}
    assert counts == {"two": 12, "three": 8, "five": 5}, "of all, as many as have each"
    page, html = opened(service, page.link("<bdi>five", html))
    assert hits(page) == 17
    page, html = opened(service, page.link("all of these", html))
    assert hits(page) == 1
    assert page.link("all of these", html) == "/?tags=two&tags=three&tags=five"


def test_several_licences_schemas_authors_and_storages_are_alternatives(service: Service) -> None:
    _, html = opened(service, "/")
    found = {(facet, label): url for url, facet, _, label, _ in options(html)}
    page, html = opened(service, found["licenses", "MIT"])
    assert hits(page) == 8
    both = {(facet, label): url for url, facet, _, label, _ in options(html)}
    page, _ = opened(service, both["licenses", "CC-BY-4.0"])
    assert hits(page) == 16
    assert hits(opened(service, found["schemas", "Label 1.0.0"])[0]) == 8
    assert hits(opened(service, found["authors", "@bob.test"])[0]) == 12
    assert hits(opened(service, found["storage", "Blobs on a PDS"])[0]) == 18


def test_chips_say_what_narrows_in_words_and_take_it_back(
    service: Service, shelf: dict[str, str]
) -> None:
    page, html = opened(
        service,
        "/",
        q='reef tag:two -tag:Five "reef 2" author:alice',
        schema=shelf["label"],
        author=shelf["alice"],
        storage=["external", "blobs"],
        minBytes=100_000,
        createdAfter="2025-10-09",
    )
    said = " ".join(re.sub("<[^>]*>", "", html.partition('class="chips"')[2][:6000]).split())
    for chip in (
        "by @alice.test ×",
        "schema Label 1.0.0 ×",
        "in Files at URLs ×",
        "from 100 kB ×",
        "created from 9 Oct 2025 ×",
        "exactly “reef 2”",
        "tag two",
        "not tag Five",
        "by alice",
    ):
        assert chip in said
    url = page.link('<span class="what">in</span> <bdi>Files at URLs', html)
    assert parse_qs(urlsplit(url).query)["storage"] == ["blobs"]


def test_orders_are_links_and_best_match_is_there_only_with_words(service: Service) -> None:
    page, html = opened(service, "/")
    assert "Best match" not in page.text
    page, html = opened(service, page.link("Name", html))
    assert re.findall(r"<bdi>(Reef \d+)</bdi></a></h2>", html)[:3] == [
        "Reef 0",
        "Reef 1",
        "Reef 10",
    ]
    page, html = opened(service, "/?q=reef&sort=size")
    assert page.link("Best match", html) == "/?q=reef"


def test_days_and_bounds_of_the_form_are_understood_and_shown_again(service: Service) -> None:
    query = "/?createdAfter=2025-10-09&createdBefore=2025-10-10&minSamples=&minBytes=1000000"
    page, html = opened(service, query)
    assert hits(page) == 0
    assert 'name="createdAfter" value="2025-10-09"' in html
    assert '<option value="1000000" selected>1.0 MB</option>' in html
    opened(service, "/?createdAfter=2025-02-31", 400)


@pytest.mark.parametrize("name", ["createdAfter", "createdBefore"])
@pytest.mark.parametrize(
    ("moment", "status"),
    [
        ("0001-01-01T00:00:00Z", 200),
        ("0001-01-01T00:00:00+14:00", 400),
        ("1969-12-31T23:59:59.999999Z", 200),
        ("9999-12-31T23:59:59.999999Z", 200),
        ("9999-12-31T23:59:59.999-00:01", 400),
    ],
)
def test_the_first_and_the_last_moment_can_be_asked_for_and_none_beyond(
    service: Service, name: str, moment: str, status: int
) -> None:
    opened(service, f"/?{urlencode({name: moment})}", status)


def test_the_same_search_is_a_feed_and_a_file(service: Service) -> None:
    page, html = opened(service, "/?q=reef&tags=two&sort=name")
    for label, kind in (
        ("Atom", "application/atom+xml"),
        ("JSON Feed", "application/feed+json"),
        ("CSV", "text/csv"),
        ("JSON lines", "application/jsonl"),
        ("API", "application/json"),
    ):
        answer = service.client.get(page.link(label, html))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.text.count('"Reef ') + answer.text.count(",Reef ") >= 12 or kind.endswith(
            "xml"
        )
    assert 'rel="alternate" href="/feed.atom?q=reef&amp;tags=two&amp;sort=name"' in html


def test_other_spellings_and_missing_words_are_said(service: Service) -> None:
    page, html = opened(service, "/?q=reeef")
    assert "these are results for “reef”, too" in page.text
    page, _ = opened(service, page.link("Only what I wrote", html))
    assert "Nothing here" in page.text
    page, _ = opened(service, "/?q=reef+photo+zzzzzz")
    assert "Those that lack some come after" in page.text


# --- nothing is found -----------------------------------------------------------------------------

CHIP = re.compile(r'<a href="([^"]*)" data-key="chip [^"]*">(.*?)</a>', re.DOTALL)


def without(html: str) -> dict[str, int]:
    """The filters that say how much there is without them."""
    found: dict[str, int] = {}
    for _, said in CHIP.findall(html):
        what, _, count = " ".join(re.sub("<[^>]*>", "", said).split()).partition(" ×, remove")
        if count:
            found[what] = int(count.split()[0])
    return found


def test_where_nothing_is_left_each_filter_says_what_taking_it_back_would_leave(
    service: Service, shelf: dict[str, str]
) -> None:
    params = {"q": "reef", "tags": "five", "license": "MIT", "author": shelf["alice"]}
    params["maxSamples"] = "99"
    page, html = opened(service, f"/?{urlencode({**params, 'schema': shelf['label']})}")
    assert hits(page) == 0
    chosen = {(facet, label): url for url, facet, on, label, _ in options(html) if on}
    assert set(chosen) == {
        ("tags", "five"),
        ("licenses", "MIT"),
        ("authors", "@alice.test"),
        ("schemas", "Label 1.0.0"),
    }
    assert without(html) == {"samples to 99": 1}
    (url,) = [url for url, said in CHIP.findall(html) if "without" in said]
    assert hits(opened(service, unescape(url))[0]) == 1
    # Of two filters that nothing passes, neither is in the way alone.
    page, html = opened(service, f"/?{urlencode({**params, 'schema': shelf['photo']})}")
    assert without(html) == {}
    assert "No single filter is in the way" in page.text


def test_who_has_nothing_under_these_filters_is_still_called_by_name(
    index: IndexBuilder, service: Service
) -> None:
    carol = index.account("carol")
    page, _ = opened(service, "/", author=carol, q="reef")
    assert hits(page) == 0
    assert "@carol.test" in page.text
    assert carol not in page.text


def test_a_chosen_value_that_is_not_among_the_most_frequent_can_be_taken_back_where_it_stands(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("dora")
    schema = index.schema(did, "Rare")
    for number in range(70):
        index.dataset(did, f"Wreck {number}", schema, spdx=f"L-{number % 35:02}")
    index.dataset(did, "Wreck", schema, license_as_written="my terms")
    page, html = opened(service, "/", q="wreck", license="my terms")
    assert hits(page) == 1
    assert 'aria-current="true"><bdi>my terms</bdi></a>' in html

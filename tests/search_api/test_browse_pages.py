"""Looking around: tags and what goes with them, licences, an author; each state under a URL."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service
from tests.search_api.test_pages import HOSTILE, Page, opened


def values(page: Page) -> list[str]:
    """The links of a list of values, in order."""
    return [a["href"] or "" for tag, a in page.elements if tag == "a" and a.get("class") == "value"]


def asked(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


@pytest.fixture
def shelf(index: IndexBuilder) -> str:
    """Reefs: tagged fish+coral (2), fish (1), coral+Sand (1). The author's DID."""
    did = index.account("alice")
    schema = index.schema(did, description="A photo")
    for number, (tags, spdx) in enumerate(
        [
            (["Fish", "coral"], "MIT"),
            (["fish", "coral"], "MIT"),
            (["fish"], None),
            (["coral", "Sand"], "CC0-1.0"),
        ]
    ):
        index.dataset(did, f"Reef {number}", schema, tags=tags, spdx=spdx)
    return did


def test_tags_come_most_used_first_with_exact_counts_and_lead_to_their_datasets(
    shelf: str, service: Service
) -> None:
    page, _ = opened(service, "/tags")
    assert [asked(link) for link in values(page)[:3]] == [
        {"tags": ["coral"]},
        {"tags": ["fish"]},
        {"tags": ["sand"]},
    ]
    for link, total in zip(values(page), (3, 3, 1), strict=False):
        service.text_index.catch_up()
        found, _ = opened(service, link)
        assert f"{total} dataset" in found.text


def test_tags_that_go_together_are_followed_step_by_step_and_back(
    shelf: str, service: Service
) -> None:
    page, html = opened(service, "/tags")
    page, html = opened(service, page.link("fish", html).replace("/?tags=", "/tags?with="))
    assert "3 datasets have this tag" in page.text
    assert asked(values(page)[0]) == {"tags": ["fish", "coral"]}
    also = next(link for link in page.links() if link.startswith("/tags?with=fish&with="))
    page, html = opened(service, also)
    assert "2 datasets have all of these tags" in page.text
    assert "These datasets have no other tag" in page.text
    assert asked(values(page)[-1]) == {"tags": ["fish", "coral"], "license": ["MIT"]}
    page, _ = opened(service, page.link("with</span> <bdi>coral", html))
    assert "3 datasets have this tag" in page.text


def test_a_list_is_narrowed_by_how_its_values_begin(shelf: str, service: Service) -> None:
    page, _ = opened(service, "/tags", prefix="CO")
    assert [asked(link)["tags"] for link in values(page)[:1]] == [["coral"]]
    assert "sand" not in page.text
    page, html = opened(service, "/licenses?prefix=x&with=fish")
    assert "No licence begins with “x”" in page.text
    page, _ = opened(service, page.link("Whatever they begin with", html))
    assert [asked(link) for link in values(page)] == [{"tags": ["fish"], "license": ["MIT"]}]


@pytest.mark.parametrize("path", ["/tags", "/licenses"])
def test_a_long_list_is_paged_to_its_end_and_everything_is_seen_once(
    index: IndexBuilder, service: Service, path: str
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(7):
        index.dataset(did, f"Set {number}", schema, tags=[f"t{number}"], spdx=f"L-{number}")
    seen: list[str] = []
    url = f"{path}?limit=3"
    for _ in range(3):
        page, html = opened(service, url)
        main = html.partition('id="licences"')[0]
        seen += [link for link in values(page) if link.replace("&", "&amp;") in main]
        if "Next page" in html:
            url = page.link("Next page", html)
    assert len(seen) == len(set(seen)) == 7
    assert "Next page" not in html
    page, html = opened(service, page.link("First page", html))
    assert "Next page" in html


def test_an_author_has_one_page_for_all_that_they_published(
    shelf: str, index: IndexBuilder, service: Service
) -> None:
    schema = index.schema(shelf, "Label", fields=[("label", "str")])
    index.lens(shelf, "to_label", schema, schema)
    dataset = index.dataset(shelf, "Wrecks", schema)
    index.label(shelf, "latest", dataset, "1.2.0")
    index.label(shelf, "lost", "at://did:plc:gone/ac.foundation.dataset.record/x")
    index.label(shelf, "broken", "not a URI")
    page, html = opened(service, "/author", actor="alice.test")
    assert "@alice.test" in page.text
    for said in ("Datasets 5", "Schemas 2", "Lenses 1", "Labels 3", shelf, "latest", "not a URI"):
        assert said in page.text
    assert asked(page.link("Wrecks", html)) == {"uri": [dataset]}
    page, html = opened(service, "/author", actor=shelf, limit=2)
    assert page.text.count("Reef") == 1
    found, _ = opened(service, page.link("All 5", html))
    assert "5 datasets" in found.text


def test_a_record_leads_to_its_author(shelf: str, service: Service) -> None:
    page, _ = opened(service, "/", q="reef")
    page, _ = opened(service, next(link for link in page.links() if link.startswith("/author")))
    assert "in step with the signed repository" in page.text


def test_who_is_unknown_or_hidden_has_no_page(
    shelf: str, index: IndexBuilder, service: Service
) -> None:
    opened(service, "/author", 404, actor="nobody.test")
    opened(service, "/author", 400)
    opened(service, "/author", 400, actor="<b>")
    index.set_active(shelf, False)
    opened(service, "/author", 404, actor=shelf)
    assert "No dataset has one so far" in opened(service, "/tags")[0].text


def test_hostile_text_is_harmless_in_lists_and_on_its_authors_page(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice", pds="javascript:alert(1)")
    schema = index.schema(did, HOSTILE, rkey="x", description=HOSTILE)
    uri = index.dataset(did, HOSTILE, schema, tags=[HOSTILE], license_as_written=HOSTILE)
    index.label(did, HOSTILE, uri, HOSTILE)
    index.label(did, HOSTILE, HOSTILE)
    index.lens(did, HOSTILE, schema, schema)
    for path, name, value in (
        ("/tags", "limit", "9"),
        ("/tags", "with", HOSTILE),
        ("/tags", "prefix", HOSTILE),
        ("/licenses", "with", HOSTILE),
        ("/licenses", "prefix", HOSTILE),
        ("/author", "actor", did),
    ):
        page, html = opened(service, f"{path}?{urlencode({name: value})}")
        assert {tag for tag, _ in page.elements}.isdisjoint({"b", "i", "iframe", "img", "style"})
        assert all(link.startswith(("/", "#")) for link in page.links())
        assert "alert(1)" in page.text
        assert "\u202e" not in html
        assert "\u2066" not in html

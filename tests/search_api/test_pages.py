"""The pages: complete without JavaScript, every state under a URL, hostile text harmless."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol.views import FieldView
from search_api.app import create_app
from search_api.config import SearchConfig
from search_api.database import Database
from search_api.text_index import TextIndex
from search_api.web import text
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

HOSTILE = "<script>alert(1)</script>\u202eexe.gnp\u0007\x1b[31m\u2066&amp;\"'`{{7*7}}"
VOID = {"meta", "link", "input", "br", "path", "img"}


class Page(HTMLParser):
    """Elements of a page, its links and its visible text; fails on tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.elements if tag == "a"]

    def link(self, label: str, html: str) -> str:
        found = re.search(rf'<a[^>]*href="([^"]*)"[^>]*>(?:<[^>]*>)*{label}', html)
        assert found, f"no link {label!r}"
        return found[1].replace("&amp;", "&")


def opened(service: Service, path: str, status: int = 200, **params: Any) -> tuple[Page, str]:
    service.text_index.catch_up()
    url = f"{path}?{urlencode(params, doseq=True)}" if params else path
    response = service.client.get(url, headers={"Accept": "text/html"})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    return Page(response.text), response.text


@pytest.fixture
def shelf(index: IndexBuilder) -> dict[str, str]:
    did = index.account("alice")
    schema = index.schema(did, description="A photo")
    other = index.schema(did, "Label", fields=[("label", "str")])
    lens = index.lens(did, "to_label", schema, other)
    for number in range(30):
        index.dataset(
            did,
            f"Reef {number}",
            schema,
            tags=["Images", "odd" if number % 2 else "even"],
            license_as_written="MIT",
            spdx="MIT",
        )
    dataset = index.dataset(did, "Corals", schema, description="Photos of corals", storage="blobs")
    return {"dataset": dataset, "schema": schema, "other": other, "lens": lens}


def test_a_person_can_search_narrow_down_and_page_by_links_alone(
    shelf: dict[str, str], service: Service
) -> None:
    page, html = opened(service, "/", q="reef")
    assert "30 datasets for “reef”" in page.text
    page, html = opened(service, page.link("odd", html))
    assert "15 datasets for “reef”" in page.text
    page, html = opened(service, page.link("MIT", html))
    assert "15 datasets for “reef”" in page.text
    page, html = opened(service, "/", q="reef", tags="odd", storage="blobs")
    assert "0 datasets" in page.text
    assert "Nothing here" in page.text
    page, html = opened(service, page.link("Search without filters", html))
    assert "30 datasets for “reef”" in page.text
    page, html = opened(service, page.link("Next page", html))
    assert html.count("<article") == 5
    assert 'rel="next"' not in html
    page, html = opened(service, page.link("First page", html))
    assert html.count("<article") == 25


def test_a_chosen_filter_can_be_taken_back(shelf: dict[str, str], service: Service) -> None:
    page, html = opened(service, "/", tags=["IMAGES", "odd"], license="mit")
    assert "15 datasets" in page.text
    chosen = re.findall(r'<li><a[^>]*aria-current="true"><bdi>([^<]*)', html)
    assert sorted(chosen) == ["MIT", "images", "odd"]
    page, _ = opened(service, page.link("odd", html))
    assert "30 datasets" in page.text


def test_a_dataset_page_has_snippet_schema_facts_and_lenses(
    shelf: dict[str, str], service: Service
) -> None:
    page, _ = opened(service, "/dataset", uri=shelf["dataset"])
    for said in (
        "Corals",
        "Photos of corals",
        "@alice.test",
        "float32 [any, 3]",
        "label",
        "123 kB",
    ):
        assert said in page.text
    assert 'atdata.configure(api="https://search.example.com")' in page.text
    assert f'atdata.load_dataset(\n    "{shelf["dataset"]}"\n)' in page.text
    assert "to_label" in page.text
    assert f"/schema?{urlencode({'uri': shelf['schema']})}" in page.links()
    record = [link for link in page.links() if "com.atproto.repo.getRecord" in link]
    assert record[0].startswith("https://pds.example.com/xrpc/com.atproto.repo.getRecord?repo=did")


def test_every_page_marks_its_section(shelf: dict[str, str], service: Service) -> None:
    marked = {
        "/": ("Datasets", "page"),
        f"/dataset?uri={shelf['dataset']}": ("Datasets", "true"),
        "/schemas": ("Schemas", "page"),
        f"/schema?uri={shelf['schema']}": ("Schemas", "true"),
        "/lenses": ("Lenses", "page"),
        f"/lens?uri={shelf['lens']}": ("Lenses", "true"),
        "/lens-path": ("Lenses", "true"),
        "/lens-map": ("Lenses", "true"),
        "/status": ("Status", "page"),
    }
    for path, (section, how) in marked.items():
        _, html = opened(service, path)
        line = html[html.index("<nav") : html.index("</nav>")]
        assert re.findall(r'aria-current="(\w+)">(\w+)', line) == [(how, section)]


def test_schema_lens_and_status_pages(shelf: dict[str, str], service: Service) -> None:
    page, _ = opened(service, "/schema", uri=shelf["schema"])
    assert "31 datasets of this type" in page.text
    assert "to_label" in page.text
    page, _ = opened(service, "/schemas", q="label")
    assert "Label" in page.text
    page, _ = opened(service, "/lenses", source=shelf["schema"])
    assert "ImageSample 1.0.0" in page.text
    assert "Label 1.0.0" in page.text
    page, _ = opened(service, "/lenses", source=shelf["other"])
    assert "No lens leads there" in page.text
    page, _ = opened(service, "/status")
    assert "31" in page.text
    assert "up to date" in page.text


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/dataset", {"uri": "at://nobody.test/ac.foundation.dataset.record/x"}, 404),
        ("/schema", {"uri": "at://nobody.test/ac.foundation.dataset.record/x"}, 404),
        ("/dataset", {"uri": "<script>"}, 400),
        ("/dataset", {}, 400),
        ("/", {"cursor": "x"}, 400),
        ("/", {"limit": "0"}, 400),
        ("/", {"author": "\u202e<b>"}, 400),
        ("/nothing", {}, 404),
    ],
)
def test_errors_are_pages_too(
    service: Service, path: str, params: dict[str, str], status: int
) -> None:
    page, html = opened(service, path, status, **params)
    assert str(status) in page.text
    assert "<script>" not in html
    assert "\u202e" not in html


def test_an_empty_index_has_pages(service: Service) -> None:
    assert "The index is empty so far" in opened(service, "/")[0].text
    for path in ("/schemas", "/lenses", "/status"):
        opened(service, path)


def test_hostile_text_is_harmless_on_every_page(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice", pds="javascript:alert(1)")
    schema = index.schema(did, HOSTILE, rkey="x", fields=[(HOSTILE, "array")], description=HOSTILE)
    index.connection.execute("UPDATE schema_fields SET items = ?, description = ?", [HOSTILE] * 2)
    uri = index.dataset(
        did,
        HOSTILE,
        schema,
        description=HOSTILE,
        tags=[HOSTILE, "javascript:alert(1)"],
        license_as_written=HOSTILE,
        storage=HOSTILE,
        body={"name": HOSTILE},
    )
    lens = index.lens(did, HOSTILE, schema, schema)
    code = '{"repository": "javascript:alert(1)", "commit": "<i>", "path": "<b>"}'
    index.connection.execute("UPDATE lenses SET getter_code = ?, description = ?", [code, HOSTILE])
    index.connection.execute(
        "INSERT INTO sources VALUES (1, ?, 1, NULL, NULL, '[]', ?)", [f"wss://{HOSTILE}", HOSTILE]
    )
    assert lens
    pages: list[tuple[str, dict[str, Any]]] = [
        ("/", {}),
        ("/", {"q": HOSTILE}),
        ("/", {"tags": HOSTILE}),
        ("/", {"license": HOSTILE}),
        ("/dataset", {"uri": uri}),
        ("/schema", {"uri": schema}),
        ("/schemas", {"q": HOSTILE}),
        ("/lenses", {}),
        ("/lens", {"uri": lens}),
        ("/lens-map", {"uri": schema}),
        ("/lens-path", {"from": uri, "target": schema}),
        ("/status", {}),
    ]
    for path, params in pages:
        page, html = opened(service, path, **params)
        scripts = [attrs for tag, attrs in page.elements if tag == "script"]
        own = [{"src": f"/static/{n}.js", "defer": None} for n in ("page", "detail", "search")]
        assert scripts in (own[:1], own[:2], own[::2])
        assert {tag for tag, _ in page.elements}.isdisjoint({"b", "i", "iframe", "img", "style"})
        for _, attrs in page.elements:
            assert not any(name.startswith("on") or name == "style" for name in attrs)
        for link in page.links():
            assert re.match(r"/|#(content|total)$|https://pds", link), link
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
        assert "{{7*7}}" in page.text or "49" not in page.text


BLANK = ("", " ", "\n\t", "\u00a0", "\u3164", "\u2800", "\u115f\u1160\uffa0", "\u200d", "\ufe0f")


@pytest.mark.parametrize("name", BLANK)
def test_a_record_without_a_visible_name_can_be_opened(
    index: IndexBuilder, service: Service, name: str
) -> None:
    did = index.account("alice")
    schema = index.schema(did, name, rkey="s", fields=[(name or " ", "int")])
    other = index.schema(did, "Other", rkey="o")
    lens = index.lens(did, name, schema, other)
    dataset = index.dataset(did, name, schema, tags=[name or " "], license_as_written=name or " ")
    index.dataset(did, "Another", schema, tags=[name or " "])
    index.label(did, name or " ", dataset)
    uris = {"/dataset": dataset, "/schema": schema, "/lens": lens}
    opening = {f"{path}?{urlencode({'uri': uri})}": uri for path, uri in uris.items()}
    met: set[str] = set()
    lists = ("/", "/tags", "/licenses", "/schemas", "/lenses", f"/author?actor={did}")
    for path in (*lists, *opening):
        page, html = opened(service, path)
        for attrs, inner in re.findall(r"<a([^>]*)>(.*?)</a>", html, re.DOTALL):
            said = re.sub(r"<[^>]*>", "", inner)
            assert any(char.isprintable() and char not in f" {name}" for char in said), attrs
            href = re.search(r'href="([^"]*)"', attrs)
            uri = opening.get(href[1].replace("&amp;", "&")) if href else None
            if uri and not said.endswith("1.0.0"):  # a version is seen
                assert said == f"(no name) {text.record_key(uri)}"
                met.add(uri)
        if path in opening:
            assert f"(no name) {text.record_key(opening[path])}" in page.text
            assert re.search(r"<h1><bdi>\(no name\)", html)
    assert met == set(uris.values())
    page, html = opened(service, "/lens-map", uri=schema)
    assert html.count("(no name) s") >= 4


def test_the_fields_of_a_schema_are_described_where_somebody_did(
    index: IndexBuilder, service: Service
) -> None:
    schema = index.schema(index.account("alice"), "Photo", fields=[("a", "int"), ("b", "str")])
    page, html = opened(service, "/schema", uri=schema)
    assert "What it holds" not in page.text
    assert "may be absent" not in page.text
    assert html.count('<th scope="col">') == 2
    index.connection.execute("UPDATE schema_fields SET optional = true WHERE name = 'b'")
    index.connection.execute("UPDATE schema_fields SET description = 'Metres' WHERE name = 'a'")
    page, html = opened(service, "/schema", uri=schema)
    assert re.search("What it holds.*Metres", page.text, re.DOTALL)
    assert re.findall(r"<bdi>(\w+)</bdi></span> <span[^>]*>may be absent", html) == ["str"]


@pytest.mark.parametrize(("tags", "shown", "more"), [(7, 7, None), (8, 6, 2), (30, 6, 24)])
def test_a_card_has_six_tags_and_says_how_many_more_there_are(
    index: IndexBuilder, service: Service, tags: int, shown: int, more: int | None
) -> None:
    did = index.account("alice")
    uri = index.dataset(did, "Reef", index.schema(did), tags=[f"tag-{n}" for n in range(tags)])
    page, html = opened(service, "/")
    card = html[html.index("<article") : html.index("</article")]
    assert len(re.findall(r"<bdi>tag-\d+</bdi>", card)) == shown
    assert ("more tags" in card) == (more is not None)
    if more is not None:
        page, html = opened(service, page.link(rf"\+{more}<span[^>]*> more tags", card))
        assert len(re.findall(r"<bdi>tag-\d+</bdi>", html)) == tags
        assert uri in page.text


def test_links_to_elsewhere_are_marked(shelf: dict[str, str], service: Service) -> None:
    for path, uri, count in (("/dataset", shelf["dataset"], 1), ("/lens", shelf["lens"], 2)):
        page, _ = opened(service, path, uri=uri)
        outside = [
            attrs
            for tag, attrs in page.elements
            if tag == "a" and not (attrs["href"] or "").startswith(("/", "#"))
        ]
        assert len(outside) == count
        assert {attrs["rel"] for attrs in outside} == {"noopener nofollow"}


def test_the_snippet_names_the_address_that_was_asked_but_no_forged_one(
    index: IndexBuilder, shelf: dict[str, str], text_index: TextIndex
) -> None:
    app = create_app(Database(index.connection), text_index, SearchConfig(port=8123))
    client = TestClient(app)
    for host, line in (
        ("localhost:8000", 'atdata.configure(api="http://localhost:8000", dev=True)'),
        ("[::1]:8000", 'atdata.configure(api="http://[::1]:8000", dev=True)'),
        ("data.example.com", 'atdata.configure(api="http://data.example.com")'),
        ('x");evil("', 'atdata.configure(api="http://127.0.0.1:8123", dev=True)'),
    ):
        page = client.get("/dataset", params={"uri": shelf["dataset"]}, headers={"Host": host})
        assert line in Page(page.text).text


def test_the_files_of_the_pages_are_served_and_nothing_else(service: Service) -> None:
    for path in ("/static/style.css", "/static/page.js", "/static/icon.svg"):
        assert service.client.get(path).status_code == 200
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/"):
        assert service.client.get(path).status_code == 404


# --- text -----------------------------------------------------------------------------------------


@given(st.text())
def test_harmless_text_has_no_control_or_bidirectional_characters(given_text: str) -> None:
    shown = text.harmless(given_text)
    assert len(shown) == len(given_text)
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown
    )


def test_text_of_every_script_is_left_alone() -> None:
    for fine in ("Ünïcödé", "日本語", "עברית", "العربية", "हिन्दी", "👩\u200d🔬", "a\nb\tc"):
        assert text.harmless(fine) == fine
    assert text.harmless("\x00\x1b\x7f") == "␀␛␡"


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://example.com/a?b#c", True),
        ("https://example.com:8443/", True),
        ("http://example.com/", False),
        ("javascript:alert(1)", False),
        ("https:alert(1)", False),
        ("https://user:pass@example.com/", False),
        ("https://exämple.com/", False),
        ("https://example.com/\n", False),
        ("https://example.com/ x", False),
        ("https://[::1", False),
        ("//example.com", False),
        ("https://" + "a" * 2000, False),
        (None, False),
    ],
)
def test_only_plain_https_becomes_a_link(url: str | None, fine: bool) -> None:
    assert text.https_url(url) == (url if fine else None)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (123_456, "123 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (4_500_000_000, "4.5 GB"),
        (2**63 - 1, "9,223 PB"),
    ],
)
def test_sizes_are_decimal(number: int, said: str) -> None:
    assert text.bytes_text(number) == said


def test_days_of_authors_are_read_as_far_as_they_go() -> None:
    assert text.day("2025-10-09T23:30:00-02:00") == "10 Oct 2025"
    assert text.day("2025-10-09") == "9 Oct 2025"
    assert text.day("yesterday, or so") == "yesterday,"
    assert text.day(None) == "unknown"
    assert text.day("0001-01-01T00:00:00+14:00") == "0001-01-01"


def test_types_in_one_line() -> None:
    def said(**values: Any) -> str:
        return text.type_text(FieldView(name="x", optional=False, **values))

    assert said(kind="int") == "int"
    assert said(kind="ndarray") == "array"
    assert said(kind="ndarray", dtype="uint8") == "uint8 array"
    assert said(kind="ndarray", dtype="uint8", shape=(None, 3)) == "uint8 [any, 3]"
    assert said(kind="array", items="str") == "list[str]"

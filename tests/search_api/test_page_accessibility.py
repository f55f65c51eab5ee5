"""Every page for everybody: by keyboard, by voice, on a small screen, in both colour schemes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page

from tests.search_api import accessibility
from tests.search_api.browsing import MARKS, chromium, contrast, watched
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live

pytestmark = MARKS
LONG = "Averylongwordwithoutanyplacetobreak" * 6


class Shelf:
    """A running search API, and what every page of it is asked for."""

    def __init__(self, origin: str, index: IndexBuilder) -> None:
        self.origin = origin
        did = index.account("alice")
        schema = index.schema(did, description="A photo")
        other = index.schema(did, "Label", fields=[(LONG, "str")])
        lens = index.lens(did, "to_label", schema, other)
        index.lens_verification(did, lens)
        for number in range(30):
            name = f"Reef {number} {LONG if number == 20 else ''}"
            index.dataset(did, name, schema, tags=["images", LONG, "a"], spdx="MIT")
        dataset = index.dataset(did, "Corals", schema, description=LONG, license_as_written=LONG)
        index.label(did, LONG, dataset, "1.0.0")
        index.connection.execute(
            "INSERT INTO sources VALUES (1, ?, 1, now(), now(), '[]', ?)", [f"wss://{LONG}", LONG]
        )
        index.connection.execute("INSERT INTO drops VALUES ('bad_signature', 3)")
        self.paths = {
            "home": "/",
            "search": self._path("/", q="reef label:x", tags="images", minSamples="1"),
            "nothing": self._path("/", q="xyzzy", fuzzy="off"),
            "dataset": self._path("/dataset", uri=dataset),
            "schemas": "/schemas",
            "schema": self._path("/schema", uri=schema),
            "lenses": "/lenses",
            "lens": self._path("/lens", uri=lens),
            "lens-path": self._path("/lens-path", **{"from": schema, "target": other}),
            "lens-choice": self._path("/lens-path", fromName="Reef", toName="Label"),
            "lens-map": self._path("/lens-map", uri=schema),
            "tags": self._path("/tags", **{"with": "images"}),
            "licenses": "/licenses",
            "author": self._path("/author", actor=did),
            "status": "/status",
        }

    def _path(self, path: str, **params: str) -> str:
        return f"{path}?{urlencode(params)}"


PATHS = (
    *("home", "search", "nothing", "dataset", "schemas", "schema", "lenses", "lens", "lens-path"),
    "lens-choice",
    *("lens-map", "tags", "licenses", "author", "status"),
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    index = IndexBuilder.create()
    with live(index, tmp_path_factory.mktemp("site"), rate_per_second=0) as origin:
        shelf = Shelf(origin, index)
        yield shelf


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser) as page:
        yield page


@pytest.mark.parametrize("name", PATHS)
def test_a_page_is_for_everybody(shelf: Shelf, page: Page, name: str) -> None:
    page.goto(shelf.origin + shelf.paths[name])
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = [
        *accessibility.structure(page),
        *accessibility.nameless(page),
        *accessibility.small_targets(page),
        *accessibility.motion(page),
    ]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        found += [f"{scheme}, {what}" for what in accessibility.contrast_of_texts(page)]
    for width in (320, 360):
        found += accessibility.sideways(page, width)
    found += accessibility.keyboard(page)
    assert found == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["home", "tags", "licenses"])
def test_a_count_stays_in_one_piece_beside_a_long_label(
    shelf: Shelf, browser: Browser, name: str, width: int
) -> None:
    with watched(browser, viewport={"width": width, "height": 800}) as page:
        page.goto(shelf.origin + shelf.paths[name])
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        counts = page.locator("li .count")
        assert counts.count() > 1
        for count in counts.all():
            digits = count.evaluate(
                "e => { const r = document.createRange(); r.setStart(e.firstChild, 0);"
                " r.setEnd(e.firstChild, e.firstChild.length); return r.getClientRects().length }"
            )
            assert digits == 1


def test_the_checks_see_what_is_wrong(page: Page) -> None:
    """Each check on a page made to break it."""
    page.goto("about:blank")
    page.set_content(
        """<style>a, button { transition: color 1s; outline: none !important }</style>
        <h1 id=x>One</h1><h3 id=x style="color: #999">Three</h3>
        <label for=nobody></label><img src="data:,"><div style="width: 50rem">wide</div>
        <a href=# style="display: block; width: 9px; height: 9px"></a>
        <a href=# style="display: block; width: 9px; height: 9px"></a>
        <button tabindex=-1>never</button><button disabled>no</button><input>"""
    )
    wrong = " ".join(accessibility.structure(page))
    for said in ("no language", "no title", "0 of main", "h1 is followed by h3", "twice #x"):
        assert said in wrong
    assert "for leads nowhere: nobody" in wrong
    assert "no alt" in wrong
    nameless = {f"a nameless {role}" for role in ("link", "textbox", "image")}
    assert set(accessibility.nameless(page)) == nameless
    assert len(accessibility.small_targets(page)) == 2
    assert len(accessibility.motion(page)) == 4
    assert accessibility.contrast_of_texts(page)[0] == "contrast 2.85: <h3> Three"
    assert accessibility.sideways(page, 320)
    assert accessibility.keyboard(page)[0].startswith("no ring: <a>")
    assert round(contrast("#999999", "#ffffff"), 2) == 2.85

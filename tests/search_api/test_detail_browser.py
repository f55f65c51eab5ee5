"""Samples and the map of lenses in a real browser: nothing jumps, nothing runs, all by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Request, Route, ViewportSize, sync_playwright

from atdata import ndarray
from tests.network.local_server import LocalServer
from tests.search_api.browsing import CHROMIUM, FLAGS, contrast, watched
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live
from tests.search_api.published import Shelf, samples

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="left out: browser tests (no Chromium)"),
]

IMAGE = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
HOSTILE = "<img src=x onerror=alert(1)>"
SHIFTS = """() => { window.shifted = 0; new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: 'layout-shift', buffered: true }); }"""


TALL = ViewportSize(width=1280, height=2000)  # what stands below the samples is seen, too
TOPS = "all => all.map(e => e.getBoundingClientRect().top)"


class Site:
    """A running search API, and what is in it."""

    def __init__(self, origin: str, shelf: Shelf) -> None:
        self.origin = origin
        schema = shelf.schema(
            ("image", "ndarray:uint8"), ("wave", "ndarray:float32"), ("label", "str"), ("n", "int")
        )
        wave = ndarray.encode(np.sin(np.arange(500) / 9).astype(np.float32))
        image = ndarray.encode(IMAGE)
        shown = [
            {"image": image, "wave": wave, "label": text, "n": at}
            for at, text in enumerate(("fish", "crab", HOSTILE, "a long story " * 200))
        ]
        url = shelf.put("/shard.tar", samples(*shown))
        self.reef = shelf.dataset(url, schema=schema)
        self.away = shelf.dataset(shelf.server.url + "/nowhere.tar", schema=schema)
        self.middle = shelf.schema(("a", "int"), name="Middle")
        self.right = shelf.schema(("a", "int"), name="Right")
        self.left = shelf.schema(("a", "int"), name="Left")
        shelf.index.lens(shelf.did, "to-middle", self.left, self.middle)
        self.lens = shelf.index.lens(shelf.did, "to-right", self.middle, self.right)
        shelf.index.lens_verification(shelf.did, self.lens)

    def url(self, path: str, **params: str) -> str:
        return f"{self.origin}{path}?{urlencode(params)}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    index = IndexBuilder.create()
    folder: Path = tmp_path_factory.mktemp("site")
    with LocalServer({}) as server, live(index, folder, dev=True) as origin:
        yield Site(origin, Shelf(index, server))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page that must meet no error, no violation of the policy, no stranger and no dialog."""
    problems: list[str] = []

    def on_request(request: Request) -> None:
        if not request.url.startswith(site.origin):
            problems.append(request.url)

    context = browser.new_context()
    page = context.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("request", on_request)
    yield page
    context.close()
    assert problems == []


def test_samples_load_by_themselves_and_nothing_jumps(site: Site, page: Page) -> None:
    page.set_viewport_size(TALL)
    page.goto(site.url("/dataset", uri=site.reef))
    page.evaluate(SHIFTS)
    below = page.get_by_role("heading", name="What a sample is")
    before = below.bounding_box()
    page.get_by_role("cell", name="fish").wait_for()
    # Asked from here: what waits inside the page would have to evaluate text, which it forbids.
    while not page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth === 30)"):
        page.wait_for_timeout(20)  # the test's own time limit ends this
    assert page.locator(".samples img").count() == 4
    assert page.locator(".samples svg.plot path").count() == 4
    assert below.bounding_box() == before
    assert page.evaluate("window.shifted") == 0
    assert page.get_by_text(HOSTILE).count() == 1
    assert page.locator(".samples img:not([width])").count() == 0


def test_where_there_are_none_the_room_stays_and_a_reason_stands_in_it(
    site: Site, page: Page
) -> None:
    page.set_viewport_size(TALL)
    page.goto(site.url("/dataset", uri=site.away))
    below = page.get_by_role("heading", name="What a sample is")
    before = below.bounding_box()
    page.get_by_text("Its first shard can’t be fetched.").wait_for()
    after = below.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) < 1
    # Out of sight, it is given back.
    page.set_viewport_size({"width": 1280, "height": 300})
    box = page.locator(".nosamples")
    page.wait_for_timeout(50)
    assert box.evaluate("e => e.offsetHeight") < 120


@pytest.mark.parametrize(("record", "said"), [("reef", "fish"), ("away", "can’t be fetched")])
def test_the_room_that_samples_do_not_need_is_given_back_where_nobody_sees_it(
    site: Site, page: Page, record: str, said: str
) -> None:
    page.set_viewport_size({"width": 1280, "height": 700})
    held: list[Route] = []
    page.route("**/preview?*", lambda route: held.append(route))
    with page.expect_request("**/preview?*"):
        page.goto(site.url("/dataset", uri=getattr(site, record)))
    page.evaluate(SHIFTS)
    before = page.locator(".preview").evaluate("e => e.offsetHeight")
    seen = page.locator("#load, #samples, .sheet").evaluate_all(TOPS)
    held[0].continue_()
    page.get_by_text(said).first.wait_for()
    assert page.locator(".preview").evaluate("e => e.offsetHeight") < before
    assert page.locator("#load, #samples, .sheet").evaluate_all(TOPS) == seen
    assert page.evaluate("window.shifted") == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_the_lines_to_load_a_dataset_are_seen_whole(site: Site, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(site.url("/dataset", uri=site.reef))
    room = page.locator(".snippet pre")
    assert room.evaluate("e => e.scrollWidth <= e.clientWidth")
    lines = room.evaluate("e => e.clientHeight / parseFloat(getComputedStyle(e).lineHeight)")
    assert lines < (14 if width < 1000 else 11)  # none is empty that is not in the code
    button = page.get_by_role("button", name="Copy").bounding_box()
    assert button is not None
    # The button stands beside short lines, above none of the long ones.
    covered = page.evaluate(
        "b => { const r = document.createRange(); r.selectNodeContents(snippet);"
        " return [...r.getClientRects()].some(t => t.right > b.x && t.left < b.x + b.width"
        " && t.bottom > b.y && t.top < b.y + b.height) }",
        button,
    )
    assert not covered


@pytest.mark.parametrize(("width", "seen"), [(390, True), (1280, False)])
def test_on_a_phone_what_decides_stands_under_the_title(
    site: Site, page: Page, width: int, seen: bool
) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(site.url("/dataset", uri=site.reef))
    line = page.get_by_role("list", name="At a glance")
    assert line.count() == seen  # beside the text there is the whole sheet
    if seen:
        items = line.get_by_role("listitem").all_inner_texts()
        assert items[0] == "no licence stated"
        assert "files at URLs" in items
        load, facts = page.locator("#load").bounding_box(), line.bounding_box()
        assert load is not None
        assert facts is not None
        assert facts["y"] + facts["height"] < load["y"] < 740


def test_without_javascript_samples_are_a_link_away(site: Site, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url("/dataset", uri=site.reef))
    assert page.locator(".samples.waiting").is_hidden()
    page.get_by_role("link", name="Show samples").click()
    page.get_by_role("cell", name="fish").wait_for()
    context.close()


def test_a_schema_on_the_map_is_a_link_that_puts_it_in_the_middle(site: Site, page: Page) -> None:
    page.goto(site.url("/lens-map", uri=site.middle))
    page.locator(".node", has_text="Right").click()
    page.get_by_role("heading", name="Lenses around Right").wait_for()
    assert parse_qs(urlsplit(page.url).query)["uri"] == [site.right]
    page.go_back()
    page.get_by_role("heading", name="Lenses around Middle").wait_for()
    page.locator(".edge.verified").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="to-right").wait_for()


def test_the_map_is_moved_and_magnified_by_hand_and_by_keys(site: Site, page: Page) -> None:
    page.goto(site.url("/lens-map", uri=site.middle))
    picture = page.locator(".lensmap")

    def view() -> list[float]:
        return [float(part) for part in (picture.get_attribute("viewBox") or "").split()]

    begun = view()
    page.get_by_role("button", name="Magnify").click()
    assert view()[2] < begun[2]
    page.get_by_role("button", name="As it was").click()
    assert view() == begun
    box = page.locator(".node.middle").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 40, steps=4)
    page.mouse.up()
    assert view()[0] < begun[0]
    page.get_by_role("heading", name="Lenses around Middle").wait_for()
    page.locator(".node.middle").focus()
    moved = view()
    page.keyboard.press("ArrowRight")
    assert view()[0] > moved[0]
    page.keyboard.press("+")
    assert view()[2] < moved[2]


def swipe(page: Page, at: tuple[int, int], down: int) -> None:
    """A finger on the page, from a place in pixels so many down."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    touch("touchStart", {"x": at[0], "y": at[1]})
    for step in range(1, 11):
        touch("touchMove", {"x": at[0], "y": at[1] + down * step / 10})
        page.wait_for_timeout(16)
    touch("touchEnd")


def test_on_a_phone_the_map_begins_with_its_whole_width_and_lets_the_page_scroll(
    site: Site, browser: Browser
) -> None:
    size = {"width": 390, "height": 500}
    with watched(browser, viewport=size, has_touch=True, is_mobile=True) as page:
        page.goto(site.url("/lens-map", uri=site.left))
        page.get_by_role("link", name="up to 1 step", exact=True).tap()
        frame = page.locator(".map").bounding_box()
        assert frame is not None
        nodes = page.locator(".node").all()
        assert len(nodes) == 2
        for node in nodes:
            box = node.bounding_box()
            assert box is not None
            assert frame["x"] <= box["x"]
            assert box["x"] + box["width"] <= frame["x"] + frame["width"]
            assert box["height"] >= 24
        page.locator(".map").evaluate("e => e.scrollIntoView({ block: 'center' })")
        before = page.evaluate("scrollY")
        swipe(page, (195, 250), 150)
        page.wait_for_timeout(50)
        assert page.evaluate("scrollY") < before - 60


def test_every_schema_and_lens_of_the_map_is_reached_by_tab(site: Site, page: Page) -> None:
    page.goto(site.url("/lens-map", uri=site.middle))
    page.get_by_role("link", name="This schema").focus()
    names = []
    for _ in range(5):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert sum("→" in name for name in names) == 2
    assert {word for name in names[2:] for word in ("Left", "Middle", "Right") if word in name} == {
        *("Left", "Middle", "Right")
    }


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_of_a_record_scrolls_sideways(site: Site, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    for path, params in (
        ("/dataset", {"uri": site.reef, "samples": "1"}),
        ("/schema", {"uri": site.middle}),
        ("/schemas", {"fields": "a:int"}),
        ("/lenses", {"source": site.middle}),
        ("/lens", {"uri": site.lens}),
        ("/lens-path", {"from": site.left, "target": site.right}),
        ("/lens-map", {"uri": site.middle}),
    ):
        page.goto(site.url(path, **params))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_the_map_and_the_marks_say_has_enough_contrast(
    site: Site, page: Page, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(site.url("/lens-map", uri=site.middle))
    colours = page.evaluate(
        "Object.fromEntries(['paper', 'surface', 'good', 'soft'].map("
        "n => [n, getComputedStyle(document.documentElement).getPropertyValue('--' + n)]))"
    )
    for paper in ("paper", "surface"):
        assert contrast(colours["good"], colours[paper]) >= 4.5
        assert contrast(colours["soft"], colours[paper]) >= 4.5

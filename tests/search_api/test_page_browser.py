"""The page in a real browser: search, narrow down, page, open a dataset; no error, no violation."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from search_api.app import create_app
from search_api.config import SearchConfig
from search_api.database import Database
from search_api.text_index import TextIndex
from tests.search_api.index_builder import IndexBuilder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="left out: browser tests (no Chromium)"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running search API over 60 datasets; its origin."""
    index = IndexBuilder.create()
    did = index.account("alice")
    schema = index.schema(did)
    index.lens(did, "self", schema, schema)
    for number in range(59):
        tags = ["images", "odd" if number % 2 else "even"]
        index.dataset(did, f"Reef {number}", schema, tags=tags, spdx="MIT")
    index.dataset(did, "<img src=x onerror=alert(1)>", schema, description="\u202eHostile")
    database = Database(index.connection)
    text_index = TextIndex(tmp_path_factory.mktemp("text"), database)
    text_index.catch_up()
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(database, text_index, SearchConfig())
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    text_index.close()


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, problems: list[str]) -> Iterator[Page]:
    """A page that collects errors, violations and requests to anybody else in ``problems``."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            problems.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            problems.append(request.url)

    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", on_request)
    yield page
    context.close()


def test_search_narrow_down_page_open_copy(site: str, page: Page, problems: list[str]) -> None:
    page.goto(site)
    page.keyboard.type("reef")
    page.keyboard.press("Enter")
    page.get_by_text("59 datasets for “reef”").wait_for()
    page.locator(".facets").get_by_role("link", name="odd").click()
    page.get_by_text("29 datasets for “reef”").wait_for()
    assert page.locator("article.card").count() == 25
    page.get_by_role("link", name="Next page").click()
    page.get_by_role("link", name="First page").wait_for()
    assert page.locator("article.card").count() == 4
    page.get_by_role("link", name="Reef 1", exact=True).click()
    page.get_by_role("heading", name="Load it in Python").wait_for()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#snippet").text_content()
    assert copied.startswith(f'import atdata\n\natdata.configure(api="{site}", dev=True)')
    for name in ("Schemas", "Lenses", "Status", "Datasets"):
        page.get_by_role("navigation", name="Site").get_by_role("link", name=name).click()
        page.locator("h1").wait_for()
    assert problems == []


def test_hostile_text_runs_nothing(site: str, page: Page, problems: list[str]) -> None:
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(f"{site}/?q=hostile")
    page.get_by_role("link", name="<img src=x onerror=alert(1)>").click()
    page.get_by_role("heading", level=1).wait_for()
    assert page.locator("main img").count() == 0
    assert problems == []


def test_a_phone_shows_everything_without_scrolling_sideways(
    site: str, page: Page, problems: list[str]
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{site}/?q=reef")
    dataset = page.locator("article.card a").first.get_attribute("href") or ""
    for path in ("/", "/?q=reef&tags=odd", dataset, "/schemas", "/lenses", "/status", "/?q=%22"):
        page.goto(f"{site}{path}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{path} is {width} wide"
    assert problems == []


def test_the_keyboard_reaches_the_search_box_and_skips_to_the_content(
    site: str, page: Page, problems: list[str]
) -> None:
    page.goto(f"{site}/status")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.goto(f"{site}/?q=reef")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(site: str, page: Page, problems: list[str], scheme: str) -> None:
    """WCAG AA: 4.5:1 for every pair of text colour and background that the style sheet uses."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(site)
    colours = page.evaluate(
        "Object.fromEntries(['paper','surface','code','tint','ink','soft','accent','accent-ink']"
        ".map(n => [n, getComputedStyle(document.documentElement).getPropertyValue('--' + n)]))"
    )
    pairs = [(ink, paper) for ink in ("ink", "soft", "accent") for paper in ("paper", "surface")]
    pairs += [("ink", "code"), ("soft", "code"), ("accent", "tint"), ("accent-ink", "accent")]
    for ink, paper in pairs:
        assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    assert problems == []


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour.strip().removeprefix("#")
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

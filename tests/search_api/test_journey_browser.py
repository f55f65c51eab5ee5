"""From a question to samples as a person goes: search, narrow down, page to the end, open, copy the
lines, run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.flow.node import Node
from tests.search_api.browsing import MARKS, chromium, watched

pytestmark = MARKS


def names(page: Page) -> list[str]:
    return page.locator("article.card h2").all_inner_texts()


def total(page: Page) -> int:
    return int(page.locator("#total strong").inner_text())


def paged_to_the_end(page: Page) -> list[str]:
    """Every name, page by page."""
    seen = names(page)
    onward = page.get_by_role("link", name="Next page")
    while onward.count():
        onward.click()
        page.get_by_role("link", name="First page").wait_for()
        seen += names(page)
    return seen


def test_from_a_question_to_samples(demo_node: Node, tmp_path: Path) -> None:
    with chromium() as browser, watched(browser) as page:
        page.goto(demo_node.url)
        everything = total(page)
        seen = paged_to_the_end(page)
        assert len(seen) == len(set(seen)) == everything > 25
        page.goto(demo_node.url)
        expect(page.locator("#q")).to_be_focused()
        page.keyboard.type("drawn dig")
        expect(page.locator("#total")).to_contain_text("for “drawn dig”")
        storage = page.get_by_role("region", name="Storage").get_by_role("link")
        storage.filter(has_text="Blobs on a PDS").click()
        expect(page.locator(".chips")).to_contain_text("Blobs on a PDS")
        assert {"drawn-digits", "drawn-digits-test"} <= set(paged_to_the_end(page))
        page.get_by_role("link", name="drawn-digits", exact=True).click()
        page.get_by_role("heading", name="drawn-digits", level=1).wait_for()
        page.get_by_role("button", name="Copy").first.click()
        page.get_by_role("button", name="Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(
        [sys.executable, "-c", copied], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("DigitSample(") >= 100

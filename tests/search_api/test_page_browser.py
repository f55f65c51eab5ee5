"""Searching in a real browser: while one types, by filters, by links alone; nothing jumps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.search_api.browsing import MARKS, chromium, watched
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live

pytestmark = MARKS
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running search API over 61 datasets; its origin."""
    index = IndexBuilder.create()
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(59):
        tags = ["images", "odd" if number % 2 else "even"]
        index.dataset(did, f"Reef {number}", schema, tags=tags, spdx="MIT")
    index.dataset(did, HOSTILE, schema, description="\u202eHostile", tags=[HOSTILE])
    index.dataset(did, "Desert", schema, tags=["sand"], spdx="CC0-1.0")
    with live(index, tmp_path_factory.mktemp("site"), rate_per_second=0) as origin:
        yield origin


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser) as page:
        yield page


def boxes(page: Page) -> list[object]:
    """Where the search box, the facets and the results begin."""
    return [
        page.evaluate(
            "s => { const b = document.querySelector(s).getBoundingClientRect();"
            " return [b.left, b.top, b.width] }",
            selector,
        )
        for selector in ("#q", ".facets", ".results", "[data-live=hits]")
    ]


# --- while one types ------------------------------------------------------------------------------


def test_results_come_while_one_types_without_a_jump(site: str, page: Page) -> None:
    page.goto(site)
    expect(page.locator("#total")).to_have_text("61 datasets")
    page.evaluate("window.same = true")
    before, entries = boxes(page), page.evaluate("history.length")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("desert")
    expect(page.locator("#total")).to_have_text("1 dataset for “desert”")
    expect(page.locator("article.card")).to_have_count(1)
    expect(page.get_by_role("link", name="sand")).to_have_count(2)
    assert boxes(page) == before
    assert page.url == f"{site}/?q=desert"
    assert page.title() == "desert · atdata"
    assert page.evaluate("[window.same, history.length]") == [True, entries]
    assert page.evaluate("document.activeElement.id") == "q"
    page.reload()
    expect(page.locator("#total")).to_have_text("1 dataset for “desert”")


def test_an_earlier_answer_never_replaces_a_later_one(site: str, page: Page) -> None:
    page.goto(site)
    held: list[Route] = []
    page.route("**/?q=des", lambda route: held.append(route))
    aborted: list[str] = []
    page.on("requestfailed", lambda request: aborted.append(request.url))
    expect(page.locator("#q")).to_be_focused()
    with page.expect_request("**/?q=des"):
        page.keyboard.type("des")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("reef")
    expect(page.locator("#total")).to_have_text("59 datasets for “reef”")
    assert aborted == [f"{site}/?q=des"]
    assert page.url == f"{site}/?q=reef"


def test_what_is_typed_keeps_the_filters_and_begins_at_the_first_page(
    site: str, page: Page
) -> None:
    page.goto(f"{site}/?tags=odd&sort=name")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("article.card")).to_have_count(4)
    page.locator("#q").press_sequentially("reef")
    expect(page.locator("#total")).to_have_text("29 datasets for “reef”")
    expect(page.locator("article.card")).to_have_count(25)
    assert page.url == f"{site}/?q=reef&tags=odd&sort=name"


def test_a_search_that_fails_says_so_and_enter_still_works(site: str, browser: Browser) -> None:
    context = browser.new_context()  # where a failure is what happens
    page = context.new_page()
    page.goto(site)
    page.route("**/?q=reef", lambda route: route.fulfill(status=503))
    page.locator("#q").press_sequentially("reef")
    expect(page.locator("#total")).to_contain_text("Press Enter to try again")
    page.unroute("**/?q=reef")
    page.keyboard.press("Enter")
    expect(page.locator("#total")).to_have_text("59 datasets for “reef”")
    context.close()


# --- filters --------------------------------------------------------------------------------------


def test_a_filter_is_chosen_in_place_with_the_focus_kept_and_a_way_back(
    site: str, page: Page
) -> None:
    page.goto(f"{site}/?q=reef")
    page.evaluate("window.same = true")
    odd = page.locator(".facet").get_by_role("link", name="odd")
    odd.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#total")).to_have_text("29 datasets for “reef”")
    assert page.url == f"{site}/?q=reef&tags=odd"
    expect(odd).to_be_focused()
    expect(odd).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="any of these").click()
    expect(page).to_have_url(f"{site}/?q=reef&tagsAny=odd")
    page.locator(".facet").get_by_role("link", name="even").click()
    expect(page.locator("#total")).to_have_text("59 datasets for “reef”")
    for total in ("29", "29", "59"):
        page.go_back()
        expect(page.locator("#total")).to_have_text(f"{total} datasets for “reef”")
    assert page.url == f"{site}/?q=reef"
    assert page.evaluate("window.same")


def test_what_is_typed_goes_along_with_a_filter_that_is_chosen_at_once(
    site: str, page: Page
) -> None:
    page.goto(site)
    page.route("**/?q=*", lambda route: route.continue_())
    # The click comes before the search for what is typed has been asked for.
    page.evaluate(
        "() => { q.value = 'reef'; q.dispatchEvent(new InputEvent('input', {bubbles: true}));"
        " document.querySelector('[data-key=\"tags odd\"]').click() }"
    )
    expect(page.locator("#total")).to_have_text("29 datasets for “reef”")
    assert page.url == f"{site}/?q=reef&tags=odd"
    expect(page.locator("#q")).to_have_value("reef")
    page.evaluate("q.value = 'reef 5'; document.querySelector('.bounds').open = true")
    page.get_by_role("spinbutton", name="From").fill("1")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#q")).to_have_value("reef 5")


def test_on_a_phone_the_facets_stay_unfolded_while_one_chooses(site: str, browser: Browser) -> None:
    with watched(browser, viewport={"width": 360, "height": 740}, has_touch=True) as page:
        page.goto(site)
        odd = page.locator(".facet").get_by_role("link", name="odd")
        expect(odd).to_be_hidden()
        page.get_by_text("Narrow down").tap()
        odd.tap()
        expect(page.locator("#total")).to_have_text("29 datasets")
        expect(odd).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_on_a_phone_the_results_are_one_tap_from_the_filters(
    site: str, browser: Browser, scripts: bool
) -> None:
    size = {"width": 390, "height": 740}
    settings = {"viewport": size, "has_touch": True, "java_script_enabled": scripts}
    with watched(browser, **settings) as page:
        page.goto(site)
        page.get_by_text("Narrow down").tap()
        page.locator(".facet").get_by_role("link", name="odd").tap()
        expect(page.locator("#total")).to_have_text("29 datasets")
        if not scripts:  # the filters are folded on a page that is loaded anew
            page.get_by_text("Narrow down").tap()
        way = page.get_by_role("link", name="Show 29 datasets")
        expect(way).to_be_in_viewport()
        expect(page.locator("#total")).not_to_be_in_viewport()
        way.tap()
        expect(page.locator("#total")).to_be_in_viewport()
        expect(page.locator("article.card").first).to_be_in_viewport()
        expect(page.locator("#narrow > .facet").first).to_be_visible(visible=not scripts)


def test_what_has_the_focus_is_not_behind_the_way_to_the_results(
    site: str, browser: Browser
) -> None:
    with watched(browser, viewport={"width": 390, "height": 500}) as page:
        page.goto(site)
        page.locator("summary", has_text="Narrow down").click()
        way = page.locator(".shown")
        for link in page.locator(".facet a").all():
            page.keyboard.press("Tab")
            expect(link).to_be_focused()
            box, bar = link.bounding_box(), way.bounding_box()
            assert box is not None
            assert bar is not None
            assert box["y"] + box["height"] <= bar["y"]


def test_bounds_are_a_plain_form(site: str, page: Page) -> None:
    page.goto(f"{site}/?tags=sand")
    page.get_by_text("Size and date").click()
    page.get_by_role("group", name="Samples").get_by_label("From").fill("101")
    page.get_by_role("group", name="Created").get_by_label("Before").fill("2030-01-31")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#total")).to_have_text("0 datasets")
    expect(page.locator(".chips")).to_contain_text("created before 31 Jan 2030")
    page.locator(".chips").get_by_role("link", name="samples from 101").click()
    expect(page.locator("#total")).to_have_text("1 dataset")
    expect(page.get_by_label("Before")).to_have_value("2030-01-31")


# --- without JavaScript, and with hostile names ---------------------------------------------------


def test_everything_can_be_done_without_javascript(site: str, browser: Browser) -> None:
    with watched(browser, java_script_enabled=False) as page:
        page.goto(site)
        page.locator("#q").fill("reef")
        page.get_by_role("button", name="Search").click()
        page.locator(".facet").get_by_role("link", name="odd").click()
        page.get_by_role("link", name="Name", exact=True).click()
        expect(page.locator("#total")).to_have_text("29 datasets for “reef”")
        seen = names(page)
        page.get_by_role("link", name="Next page").click()
        seen += names(page)
        assert len(seen) == len(set(seen)) == 29
        expect(page.get_by_role("link", name="Next page")).to_have_count(0)
        page.get_by_role("link", name=seen[-1], exact=True).click()
        expect(page.locator("#snippet")).to_contain_text("atdata.load_dataset(")
        page.get_by_role("link", name="@alice.test").first.click()
        expect(page.locator("h1")).to_have_text("@alice.test")
        for name in ("Tags", "Licences", "Schemas", "Lenses", "Status", "Datasets"):
            page.get_by_role("navigation", name="Site").get_by_role("link", name=name).click()
            expect(page.locator("h1")).to_be_visible()


def names(page: Page) -> list[str]:
    return page.locator("article.card h2").all_inner_texts()


def test_hostile_text_runs_nothing_also_when_it_comes_while_one_types(
    site: str, page: Page
) -> None:
    page.goto(site)
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("hostile")
    expect(page.locator("#total")).to_have_text("1 dataset for “hostile”")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(HOSTILE)
    expect(page.locator("#total")).to_contain_text(HOSTILE)
    page.locator(".facet").get_by_role("link", name=HOSTILE).click()
    expect(page.locator(".chips")).to_contain_text(HOSTILE)
    page.get_by_role("link", name=HOSTILE).and_(page.locator("h2 a")).click()
    expect(page.locator("h1")).to_have_text(HOSTILE)
    page.goto(f"{site}/tags")
    page.get_by_role("link", name=HOSTILE).last.click()
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("scripts", [True, False])
def test_on_a_phone_the_sections_take_one_line(site: str, browser: Browser, scripts: bool) -> None:
    size = {"width": 360, "height": 740}
    with watched(browser, viewport=size, java_script_enabled=scripts) as page:
        page.goto(f"{site}/status")
        header = page.locator("header.top").bounding_box()
        assert header is not None
        assert header["height"] < 64
        here = page.get_by_role("navigation", name="Site").get_by_role("link", name="Status")
        if scripts:
            expect(here).to_be_in_viewport(ratio=1)
        here.focus()
        expect(here).to_be_in_viewport(ratio=1)
        expect(page.get_by_role("link", name="atdata")).to_be_in_viewport()


def test_the_keyboard_reaches_the_search_box_and_skips_to_the_content(
    site: str, page: Page
) -> None:
    page.goto(f"{site}/status")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.goto(f"{site}/?q=reef")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"

"""Samples in the page: complete without JavaScript, gone at once when the dataset is, never a way
for what a shard holds to be anything but text and images."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from atdata import ndarray
from tests.network.local_server import LocalServer
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live
from tests.search_api.published import Shelf, samples
from tests.search_api.test_pages import HOSTILE, Page

IMAGE = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)


@pytest.fixture
def shelf(index: IndexBuilder) -> Iterator[Shelf]:
    with LocalServer({}) as server:
        yield Shelf(index, server)


@pytest.fixture
def site(index: IndexBuilder, tmp_path: Path) -> Iterator[httpx.Client]:
    html = {"Accept": "text/html"}
    with (
        live(index, tmp_path, dev=True) as origin,
        httpx.Client(base_url=origin, headers=html, timeout=30) as client,
    ):
        yield client


def thing(**more: Any) -> dict[str, Any]:
    return {"image": ndarray.encode(IMAGE), "label": "fish", **more}


def published(shelf: Shelf, *values: dict[str, Any]) -> str:
    return shelf.dataset(shelf.put("/shard.tar", samples(*values)))


def images(html: str) -> list[str]:
    return [attrs["src"] or "" for tag, attrs in Page(html).elements if tag == "img"]


def test_without_javascript_a_link_leads_to_the_page_with_samples(
    shelf: Shelf, site: httpx.Client
) -> None:
    uri = published(shelf, thing(), thing(label="crab"))
    plain = site.get("/dataset", params={"uri": uri}).text
    assert shelf.server.seen == []
    assert "fish" not in Page(plain).text
    shown = site.get(Page(plain).link("Show samples", plain).partition("#")[0]).text
    text = Page(shown).text
    for said in ("000000", "000001", "fish", "crab", "uint8", "[12, 10, 3]"):
        assert said in text
    first, _ = images(shown)
    answer = site.get(first)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), IMAGE)
    again = site.get(first, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert shelf.server.paths() == ["/shard.tar"], "read once"


def test_a_script_gets_the_table_alone(shelf: Shelf, site: httpx.Client) -> None:
    answer = site.get("/preview", params={"uri": published(shelf, thing())})
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "fish" in Page(answer.text).text


def test_a_dataset_that_is_hidden_takes_its_samples_with_it_at_once(
    shelf: Shelf, site: httpx.Client
) -> None:
    uri = published(shelf, thing())
    image = images(site.get("/dataset", params={"uri": uri, "samples": "1"}).text)[0]
    assert site.get(image).status_code == 200
    shelf.index.set_active(shelf.did, False)
    for path in (image, f"/preview?uri={uri}", f"/dataset?uri={uri}&samples=1"):
        answer = site.get(path)
        assert answer.status_code == 404
        assert "fish" not in answer.text
    shelf.index.set_active(shelf.did, True)
    assert site.get(image).status_code == 200
    shelf.index.delete(uri)
    assert site.get(image).status_code == 404


def test_a_new_version_shows_its_own_samples(shelf: Shelf, site: httpx.Client) -> None:
    uri = published(shelf, thing())
    assert "fish" in site.get("/preview", params={"uri": uri}).text
    shelf.put("/shard.tar", samples(thing(label="whale")))
    shelf.revise(uri)
    assert "whale" in site.get("/preview", params={"uri": uri}).text


def test_there_are_reasons_where_there_are_no_samples(shelf: Shelf, site: httpx.Client) -> None:
    broken = shelf.dataset(shelf.put("/broken.tar", b"no tar" * 500))
    page = Page(site.get("/dataset", params={"uri": broken, "samples": "1"}).text)
    assert "Its first shard can’t be read." in page.text
    assert "Try again" not in page.text
    away = shelf.dataset(shelf.server.url + "/nowhere.tar")
    page = Page(site.get("/dataset", params={"uri": away, "samples": "1"}).text)
    assert "Its first shard can’t be fetched." in page.text
    assert "Try again" in page.text
    inside = shelf.dataset("https://10.1.2.3/shard.tar")
    page = Page(site.get("/preview", params={"uri": inside}).text)
    assert "not fetched from here" in page.text
    assert "10.1.2.3" not in page.text


def test_what_samples_say_is_harmless(shelf: Shelf, site: httpx.Client) -> None:
    uri = published(shelf, {HOSTILE: HOSTILE, "map": {HOSTILE: [HOSTILE]}, "raw": HOSTILE.encode()})
    html = site.get("/dataset", params={"uri": uri, "samples": "1"}).text
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"b", "i", "iframe", "style", "img"})
    scripts = [attrs for tag, attrs in page.elements if tag == "script"]
    assert {attrs["src"] for attrs in scripts} == {"/static/page.js", "/static/detail.js"}
    assert "\u202e" not in html
    assert "\x1b" not in html


@pytest.mark.parametrize(
    "query", ["", "&sample=0", "&sample=9&field=0", "&sample=-1&field=0", "&sample=x&field=0"]
)
def test_images_that_are_not_there(shelf: Shelf, site: httpx.Client, query: str) -> None:
    uri = published(shelf, thing())
    assert site.get(f"/preview/image?uri={uri}&field=1{query}").status_code == 404


def test_where_previews_are_off_nothing_is_fetched(
    shelf: Shelf, index: IndexBuilder, tmp_path: Path
) -> None:
    uri = published(shelf, thing())
    with live(index, tmp_path, dev=True, previews=False) as origin:
        page = httpx.get(f"{origin}/dataset", params={"uri": uri, "samples": "1"})
        assert page.status_code == 200
        assert "First samples" not in page.text
        assert httpx.get(f"{origin}/preview", params={"uri": uri}).status_code == 200
        assert httpx.get(f"{origin}/preview/image?uri={uri}&sample=0&field=0").status_code == 404
    assert shelf.server.seen == []

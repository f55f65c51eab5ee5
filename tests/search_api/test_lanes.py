"""Lanes: so many requests are worked on and so many wait; who has left is not worked for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from search_api.lanes import Lane
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import listening, live


@dataclass
class Workshop:
    """Answers that wait until they are told to go on; ``begun`` are those that were worked on."""

    lane: Lane
    go_on: threading.Event = field(default_factory=threading.Event)
    begun: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        self.begun.append(request.path_params["name"])
        self.go_on.wait(20)
        return Response(request.path_params["name"])

    @contextmanager
    def open(self) -> Iterator[str]:
        app = FastAPI()
        app.add_api_route("/{name}", self.lane.endpoint(self.answer))
        with listening(app) as origin:
            try:
                yield origin
            finally:
                self.go_on.set()


def until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.005)  # the test's own time limit ends this


def test_so_many_are_worked_on_so_many_wait_and_the_others_come_again() -> None:
    shop = Workshop(Lane(places=1, waiting=1))
    with shop.open() as origin, ThreadPoolExecutor() as clients:
        first = clients.submit(httpx.get, f"{origin}/first", timeout=20)
        until(lambda: shop.begun == ["first"])
        second = clients.submit(httpx.get, f"{origin}/second", timeout=20)
        until(lambda: shop.lane._waiting == 1)
        refused = httpx.get(f"{origin}/third")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert shop.begun == ["first"]
        shop.go_on.set()
        assert [first.result().text, second.result().text] == ["first", "second"]
        assert httpx.get(f"{origin}/fourth").text == "fourth"


def test_who_has_left_is_not_worked_for_and_keeps_no_place() -> None:
    shop = Workshop(Lane(places=1, waiting=9))
    with shop.open() as origin, ThreadPoolExecutor() as clients:
        host, port = origin.removeprefix("http://").split(":")
        first = clients.submit(httpx.get, f"{origin}/first", timeout=20)
        until(lambda: shop.begun == ["first"])
        with closing(socket.create_connection((host, int(port)))) as leaving:
            leaving.sendall(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: shop.lane._waiting == 1)
        until(lambda: shop.lane._waiting == 0)
        shop.go_on.set()
        assert first.result().text == "first"
        assert httpx.get(f"{origin}/after").text == "after"
        assert shop.begun == ["first", "after"]


def test_an_error_gives_its_place_back() -> None:
    lane = Lane(places=1, waiting=0)

    def fails(_: Request) -> Response:
        raise ValueError("on purpose")

    app = FastAPI()
    app.add_api_route("/", lane.endpoint(fails))
    with listening(app) as origin:
        assert [httpx.get(origin).status_code for _ in range(3)] == [500, 500, 500]


def test_a_browser_is_told_in_a_page_and_searches_go_on(
    index: IndexBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that never ends stands in for what takes long."""
    index.connection.execute("DROP TABLE drops")
    index.connection.execute(
        "CREATE VIEW drops AS SELECT 'x' AS reason, sum(hash(a.range * b.range))::BIGINT AS count "
        "FROM range(1000000) a, range(1000000) b"
    )
    monkeypatch.setattr("search_api.app.LONG_WAITING", 0)
    with live(index, tmp_path, long_threads=1) as origin, ThreadPoolExecutor() as clients:
        slow = clients.submit(httpx.get, f"{origin}/status", timeout=20)
        html = {"Accept": "text/html"}
        time.sleep(1)  # it holds the one place for five
        page, data = (httpx.get(f"{origin}/tags", headers=accept) for accept in (html, {}))
        assert [page.status_code, data.status_code] == [503, 503]
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert data.json()["error"] == "NotEnoughResources"
        for answer in (page, data):
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["cache-control"] == "no-store"
        assert httpx.get(f"{origin}/?q=x").status_code == 200
        assert httpx.get(f"{origin}/xrpc/ac.foundation.dataset.searchDatasets").status_code == 200
        assert slow.result().status_code == 503
        assert httpx.get(f"{origin}/tags").status_code == 200

"""Connections: how many there may be, of whom, and how long one may say nothing."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from search_api.config import SearchConfig
from search_api.connections import FILES_KEPT, Door, within_files
from search_api.limits import client_at
from tests.flow.node import node
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live

ROBOTS = b"GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n"
SUBSCRIBE = "/xrpc/ac.foundation.dataset.subscribeChanges"


def opened(origin: str) -> socket.socket:
    host, port = origin.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def rest(connection: socket.socket) -> bytes:
    """Everything that comes until the other side ends the connection."""
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def seconds_open(connection: socket.socket) -> float:
    began = time.monotonic()
    rest(connection)
    return time.monotonic() - began


def test_a_door_lets_in_so_many_of_all_and_so_many_of_one() -> None:
    door = Door(most=3, most_of_one=2)
    assert [door.enter("a") for _ in range(3)] == [True, True, False]
    assert [door.enter("b"), door.enter("c"), door.enter(None)] == [True, False, False]
    door.leave("a")
    assert [door.enter("c"), door.enter("a")] == [True, False]
    for client in ("a", "b", "c"):
        door.leave(client)
    assert (door.count, len(door._open)) == (0, 0)
    assert [door.enter(None) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("files", "connections", "subscribers"),
    [(65_536, 4_000, 2_000), (1_024, 512, 384), (300, 150, 112)],
)
def test_the_files_of_the_process_bound_both(
    files: int, connections: int, subscribers: int
) -> None:
    fitted = within_files(SearchConfig(), files)
    assert (fitted.max_connections, fitted.max_subscribers) == (connections, subscribers)
    assert fitted.max_connections + min(FILES_KEPT, files // 2) <= files


@pytest.mark.parametrize(
    ("host", "settings", "client"),
    [
        ("203.0.113.7", {}, "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", {}, "2001:db8:1:2::/64"),
        ("127.0.0.1", {}, None),
        ("127.0.0.1", {"rate_loopback": True}, "127.0.0.1"),
        ("127.0.0.1", {"rate_loopback": True, "trusted_proxy": True}, None),
        ("203.0.113.7", {"trusted_proxy": True}, "203.0.113.7"),
    ],
)
def test_of_whom_a_connection_is(host: str, settings: dict[str, bool], client: str | None) -> None:
    assert client_at(host, SearchConfig.model_validate(settings)) == client


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
def test_who_brings_no_request_is_shown_out(
    index: IndexBuilder, tmp_path: Path, said: bytes
) -> None:
    with live(index, tmp_path, request_seconds=0.5) as origin, closing(opened(origin)) as idle:
        idle.sendall(said)
        assert 0.2 < seconds_open(idle) < 5


def test_each_further_request_and_its_body_have_the_same_time(
    index: IndexBuilder, tmp_path: Path
) -> None:
    with live(index, tmp_path, request_seconds=0.5) as origin:
        for said in (
            b"\r\n",
            b"GET / HT",
            b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
        ):
            with closing(opened(origin)) as connection:
                connection.sendall(ROBOTS)
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
                connection.sendall(said)
                assert 0.2 < seconds_open(connection) < 3, said


def test_a_request_that_came_in_pieces_is_answered_and_an_open_socket_stays(
    index: IndexBuilder, tmp_path: Path
) -> None:
    with live(index, tmp_path, request_seconds=0.5) as origin:
        url = origin.replace("http", "ws", 1) + SUBSCRIBE
        with closing(opened(origin)) as slow, connect(url) as subscriber:
            for piece in (ROBOTS[:9], ROBOTS[9:]):
                slow.sendall(piece)
                time.sleep(0.1)
            assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
            subscriber.recv(timeout=20)
            time.sleep(1)
            index.schema(index.account("alice"))
            assert subscriber.recv(timeout=20)


def test_beyond_the_last_place_one_is_told_to_come_again(
    index: IndexBuilder, tmp_path: Path
) -> None:
    with live(index, tmp_path, max_connections=3) as origin, ExitStack() as stack:
        url = origin.replace("http", "ws", 1) + SUBSCRIBE
        subscriber = stack.enter_context(connect(url))
        subscriber.recv(timeout=20)
        others = [stack.enter_context(closing(opened(origin))) for _ in range(2)]
        for connection in others:
            connection.sendall(ROBOTS)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        refused = stack.enter_context(closing(opened(origin)))
        answer = rest(refused)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: " in answer
        subscriber.close()
        while httpx.get(f"{origin}/robots.txt").status_code == 503:
            time.sleep(0.02)  # the test's own time limit ends this


def test_one_client_takes_only_its_own_places(index: IndexBuilder, tmp_path: Path) -> None:
    settings = {"client_connections": 2, "rate_loopback": True}
    with live(index, tmp_path, **settings) as origin, ExitStack() as stack:
        for _ in range(2):
            mine = stack.enter_context(closing(opened(origin)))
            mine.sendall(ROBOTS)
            assert mine.recv(65_536).startswith(b"HTTP/1.1 200")
        third = stack.enter_context(closing(opened(origin)))
        assert rest(third).startswith(b"HTTP/1.1 503")
        elsewhere = socket.socket()
        stack.enter_context(closing(elsewhere))
        elsewhere.bind(("127.0.0.2", 0))
        elsewhere.connect(mine.getpeername())
        elsewhere.sendall(ROBOTS)
        assert elsewhere.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_subscriber_says_little_and_nothing_is_packed_for_it(
    index: IndexBuilder, tmp_path: Path
) -> None:
    with live(index, tmp_path) as origin:
        url = origin.replace("http", "ws", 1) + SUBSCRIBE
        with connect(url) as talker:  # offers to compress
            assert talker.response is not None
            assert "sec-websocket-extensions" not in talker.response.headers
            talker.recv(timeout=20)
            talker.send(b"x" * 5_000)
            with pytest.raises(ConnectionClosed) as closed:
                talker.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_idle_connections_leave_the_node_files_to_work_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATDATA_SEARCH_REQUEST_SECONDS", "6")
    with node(tmp_path, files=(200, 1_024)) as running, ExitStack() as stack:
        idle = [stack.enter_context(closing(opened(running.url))) for _ in range(1_100)]
        said = [rest(connection) for connection in idle]  # until the last has had its time
        assert said.count(b"") >= 1_024 - FILES_KEPT  # more than the 200 files it began with
        assert any(text.startswith(b"HTTP/1.1 503") for text in said)
        assert running.answers()
        assert "Too many open files" not in running.log.read_text()

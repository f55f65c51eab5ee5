"""Shards at addresses survive broken connections, as one version from first to last byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from atdata import BlobSource, Dataset
from atdata import settings as settings_module
from atdata.network.http import HttpClient, Policy
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import FetchFailed
from atdata.settings import Settings
from atdata.url_stream import ATTEMPTS, UrlStream
from tests.library.shards import Feature, features, shard
from tests.network.local_server import Answer, LocalServer, content, in_turn, raw

DATA = bytes(range(256)) * 4000
CUT = 300_001
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


def broken_off(data: bytes = DATA, at: int = CUT, **headers: str) -> Answer:
    """The beginning of an answer, and then the end of the connection."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(data)}\r\n\r\n"
    return raw(head.encode() + data[:at])


def by_range(data: bytes = DATA, total: int | None = None, **headers: str) -> Answer:
    """What a host answers that honours Range."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"])
        assert found is not None
        start, end = int(found[1]), total or len(data)
        span = f"bytes {start}-{end - 1}/{end}"
        content(data[start:], 206, content_range=span, **headers)(request)

    return answer


@pytest.fixture
def client() -> HttpClient:
    return HttpClient(Policy(dev=True), sleep=lambda _: None)


def read(
    client: HttpClient, *answers: Answer, waits: Callable[[float], None] = lambda _: None
) -> tuple[bytes, LocalServer]:
    server = LocalServer({"/a": in_turn(*answers)})
    with server, UrlStream(f"{server.url}/a", client, sleep=waits) as stream:
        return stream.read(), server


def test_the_rest_is_asked_for_by_range_if_nothing_has_changed(client: HttpClient) -> None:
    same = {"etag": '"one"'}
    data, server = read(client, broken_off(**same), by_range(**same))
    assert data == DATA
    assert [seen.headers.get("Range") for seen in server.seen] == [None, f"bytes={CUT}-"]
    assert server.seen[1].headers["If-Range"] == '"one"'


def test_a_host_that_knows_no_ranges_sends_all_of_it_again(client: HttpClient) -> None:
    for headers in ({}, {"etag": '"one"'}, {"last_modified": "Sun, 01 Nov 2026 00:00:00 GMT"}):
        data, server = read(client, broken_off(**headers), content(DATA, **headers))
        assert data == DATA
        assert len(server.seen) == 2


def test_it_may_break_off_again_and_again_as_long_as_something_comes(client: HttpClient) -> None:
    cuts = [broken_off(at=step * 100_000) for step in range(1, 3 * ATTEMPTS)]
    waits: list[float] = []
    data, _ = read(client, *cuts[:10], content(DATA), waits=waits.append)
    assert data == DATA
    assert len(waits) == 10
    assert waits[0] > 0


@pytest.mark.parametrize(
    "later",
    [
        by_range(etag='"two"'),
        by_range(total=len(DATA) + 1, etag='"one"'),
        content(DATA, etag='"two"'),
        content(DATA + b"x", etag='"one"'),
        content(b"", 206, content_range="bytes 0-9/10"),
        content(b"", 206),
        content(b"", 404),
        content(b"", 416),
    ],
)
def test_two_versions_are_never_sewn_together(client: HttpClient, later: Answer) -> None:
    seen = bytearray()
    with LocalServer({"/a": in_turn(broken_off(etag='"one"'), later)}) as server:
        stream = UrlStream(f"{server.url}/a?secret=1", client, sleep=lambda _: None)
        with stream, pytest.raises(FetchFailed) as caught:
            seen.extend(byte for piece in iter(lambda: stream.read(1 << 16), b"") for byte in piece)
    assert seen == DATA[: len(seen)]
    assert "secret" not in str(caught.value)


def test_without_length_and_version_nobody_can_say_what_the_rest_is(client: HttpClient) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + bytes(1000)
    with pytest.raises(FetchFailed, match="may have changed"):
        read(client, raw(chunked), content(DATA))


def test_a_host_that_sends_nothing_more_is_given_up(client: HttpClient) -> None:
    waits: list[float] = []
    with pytest.raises(FetchFailed):
        read(client, broken_off(), raw(), waits=waits.append)
    assert len(waits) == ATTEMPTS
    assert waits == sorted(waits)


# --- as sources ----------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> object:
    with LocalServer({}) as running:
        monkeypatch.setattr(settings_module._Holder, "current", Settings(dev=True))
        yield running


def test_a_dataset_does_not_notice_a_connection_that_breaks(server: LocalServer) -> None:
    data = shard(features(0, 2000))
    server.routes["/a.tar"] = in_turn(broken_off(data, len(data) // 2), by_range(data))
    assert list(Dataset[Feature](f"{server.url}/a.tar")) == features(0, 2000)


def test_a_blob_that_breaks_off_is_fetched_anew_and_still_checked(server: LocalServer) -> None:
    data = shard(features(0, 3))
    source = BlobSource.from_refs(
        [{"did": DID, "cid": str(Cid.of(data, RAW))}], pds_endpoint=server.url
    )
    get_blob = "/xrpc/com.atproto.sync.getBlob"
    server.routes[get_blob] = in_turn(broken_off(data, 3000), content(data))
    assert list(Dataset[Feature](source)) == features(0, 3)
    assert [seen.headers.get("Range") for seen in server.seen] == [None, None]

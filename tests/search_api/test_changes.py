"""subscribeChanges: a durable cursor, the truth of now, bounds for who is slow, or are many."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cbor2
import httpx
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from atdata.protocol.keys import key_of
from atdata.protocol.lexicon import builtin_catalog
from search_api.feeds.changes import BATCH, MAX_RECORD, MAX_RECORD_DEPTH
from tests.search_api.index_builder import FOUNDATION, IndexBuilder
from tests.search_api.live import live

NSID = "ac.foundation.dataset.subscribeChanges"


@pytest.fixture
def origin(index: IndexBuilder, tmp_path: Path) -> Iterator[str]:
    index.connection.execute("INSERT INTO meta VALUES ('file_id', 'this-one')")
    with live(index, tmp_path) as found:
        yield found


@contextmanager
def subscribed(origin: str, query: str = "") -> Iterator[ClientConnection]:
    url = origin.replace("http", "ws", 1) + f"/xrpc/{NSID}{query}"
    with connect(url, max_size=None, compression=None) as client:
        yield client


def message(client: ClientConnection) -> tuple[str, Any]:
    """The next message, valid under the lexicon: its type and body."""
    frame = client.recv(timeout=20)
    assert isinstance(frame, bytes)
    stream = io.BytesIO(frame)
    header = cbor2.load(stream)
    body = cbor.decode(frame[stream.tell() :])
    if header == {"op": -1}:
        assert isinstance(body, dict)
        return "error", body["error"]
    assert header["op"] == 1
    builtin_catalog().validate(NSID + header["t"], body)
    return header["t"], body


def changes(client: ClientConnection, up_to: int) -> list[Any]:
    """All changes up to that seq."""
    found: list[Any] = []
    while not found or found[-1]["seq"] < up_to:
        kind, body = message(client)
        assert kind == "#changes"
        assert body["seq"] == body["changes"][-1]["seq"]
        found += body["changes"]
    return found


def test_a_subscription_says_which_index_it_is_and_then_what_changes(
    index: IndexBuilder, origin: str
) -> None:
    did = index.account("alice")
    index.schema(did)
    with subscribed(origin) as client:
        assert message(client) == ("#index", {"id": "this-one", "seq": index.seq})
        uri = index.dataset(did, "Corals", "at://x/y/z", body={"name": "Corals", "size": {"n": 1}})
        (change,) = changes(client, index.seq)
    assert (change["action"], change["seq"]) == ("put", index.seq)
    assert (change["uri"], change["did"], change["kind"]) == (uri, did, "dataset")
    assert change["record"]["size"] == {"n": 1}
    assert change["key"] == f"{key_of(uri):016x}"


def test_the_cursor_goes_on_after_it_and_from_the_beginning(
    index: IndexBuilder, origin: str
) -> None:
    did = index.account("alice")
    uris = [index.dataset(did, f"Set {n}", "at://x/y/z") for n in range(2 * BATCH + 50)]
    with subscribed(origin, "?cursor=0") as client:
        message(client)
        found = changes(client, index.seq)
    assert [change["seq"] for change in found] == list(range(1, index.seq + 1))
    assert [change["uri"] for change in found] == uris
    with subscribed(origin, "?cursor=77") as client:
        message(client)
        assert [c["seq"] for c in changes(client, index.seq)] == list(range(78, index.seq + 1))


def test_hiding_an_account_removes_its_records_and_old_cursors_do_not_show_them(
    index: IndexBuilder, origin: str
) -> None:
    did = index.account("alice")
    uri = index.dataset(did, "Corals", "at://x/y/z", body={"name": "Secret"})
    with subscribed(origin) as client:
        message(client)
        index.set_active(did, False)
        (hidden,) = changes(client, index.seq)
        assert hidden == {"seq": index.seq, "action": "remove", "key": f"{key_of(uri):016x}"}
        with subscribed(origin, "?cursor=0") as late:
            message(late)
            assert {change["action"] for change in changes(late, index.seq)} == {"remove"}
        index.set_active(did, True)
        (shown,) = changes(client, index.seq)
        assert (shown["action"], shown["uri"]) == ("put", uri)
        index.delete(uri)
        (deleted,) = changes(client, index.seq)
        assert deleted["action"] == "remove"


def test_a_record_that_is_very_large_is_named_and_left_out(
    index: IndexBuilder, origin: str
) -> None:
    did = index.account("alice")
    index.dataset(did, "Large", "at://x/y/z", body={"name": "x" * MAX_RECORD})
    with subscribed(origin, "?cursor=0") as client:
        message(client)
        (change,) = changes(client, index.seq)
    assert change["action"] == "put"
    assert "record" not in change


BLOB = {"$type": "blob", "ref": Cid.of(b""), "mimeType": "application/x-tar", "size": 1}


@pytest.mark.parametrize(
    "member",
    [
        {"$link": "nope"},
        {"$bytes": 5},
        {"$type": ""},
        {**BLOB, "size": -1},
        {**BLOB, "mimeType": ""},
        {**BLOB, "mimeType": None},
    ],
)
def test_a_record_is_sent_as_published_whatever_it_claims(
    index: IndexBuilder, origin: str, member: cbor.Data
) -> None:
    did = index.account("mallory")
    body: Any = cbor.to_json({"name": "Odd", "x": member})
    index.dataset(did, "Odd", "at://x/y/z", body=body)
    index.dataset(did, "Behind it", "at://x/y/z")
    with subscribed(origin, "?cursor=0") as client:
        message(client)
        odd, behind = changes(client, index.seq)
    assert odd["record"] == {"$type": f"{FOUNDATION}.record", "name": "Odd", "x": member}
    assert behind["record"]["name"] == "Behind it"


def test_a_record_that_is_too_deep_for_a_message_is_named_and_left_out(
    index: IndexBuilder, origin: str
) -> None:
    def nested(levels: int) -> Any:
        return {} if levels == 1 else {"x": nested(levels - 1)}

    did = index.account("mallory")
    for levels in (MAX_RECORD_DEPTH, MAX_RECORD_DEPTH + 1, cbor.MAX_DEPTH):
        index.dataset(did, "Deep", "at://x/y/z", body=nested(levels))
    with subscribed(origin, "?cursor=0") as client:
        message(client)
        found = changes(client, index.seq)
    assert [(c["action"], "record" in c) for c in found] == [
        ("put", True),
        ("put", False),
        ("put", False),
    ]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?cursor=1", "FutureCursor"),
        ("?cursor=x", "InvalidRequest"),
        ("?cursor=-1", "InvalidRequest"),
        ("?cursor=", "InvalidRequest"),
        ("?cursor=99999999999999999999", "InvalidRequest"),
        ("?cursor=0&cursor=0", "InvalidRequest"),
    ],
)
def test_a_wrong_cursor_ends_with_its_name(origin: str, query: str, error: str) -> None:
    with subscribed(origin, query) as client:
        assert message(client) == ("error", error)
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, error)


def test_who_talks_is_shown_out(origin: str) -> None:
    with subscribed(origin) as client:
        message(client)
        client.send("hello")
        assert message(client) == ("error", "InvalidRequest")
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=20)


def test_without_a_websocket_the_answer_says_that_one_is_needed(origin: str) -> None:
    answer = httpx.get(f"{origin}/xrpc/{NSID}")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"


def drain(client: ClientConnection) -> None:
    while True:
        client.recv(timeout=20)


def test_who_does_not_read_is_dropped_by_name(index: IndexBuilder, tmp_path: Path) -> None:
    did = index.account("alice")
    for number in range(400):
        body = {"name": "x" * (MAX_RECORD - 100)}
        index.dataset(did, f"Large {number}", "at://x/y/z", body=body)
    with live(index, tmp_path, subscriber_seconds=0.3) as origin:
        host, port = origin.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            url = f"ws://{host}:{port}/xrpc/{NSID}?cursor=0"
            with connect(url, sock=raw, max_size=None, max_queue=1, compression=None) as client:
                time.sleep(2)  # longer than a subscriber may take nothing
                with pytest.raises(ConnectionClosedError) as closed:
                    drain(client)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "ConsumerTooSlow")


def test_there_are_never_more_than_allowed(
    origin: str, index: IndexBuilder, tmp_path: Path
) -> None:
    with live(index, tmp_path / "few", max_subscribers=1) as few:
        with subscribed(few) as first:
            message(first)
            with subscribed(few) as second:
                assert message(second) == ("error", "TooManySubscribers")
        # The place is free again.
        while True:
            with subscribed(few) as third:
                if message(third)[0] == "#index":
                    break


def test_connecting_counts_as_a_request(index: IndexBuilder, tmp_path: Path) -> None:
    settings = {"rate_per_second": 0.001, "rate_burst": 1, "rate_loopback": True}
    with live(index, tmp_path, **settings) as origin:
        with subscribed(origin) as client:
            message(client)
        with pytest.raises(InvalidStatus) as refused, subscribed(origin):
            pass
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["Retry-After"]) > 0

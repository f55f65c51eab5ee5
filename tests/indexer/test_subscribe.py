"""One source's connection: where it may lead, where it starts, and when it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.utils import accept_key

from atdata.protocol.errors import BlockedAddress
from indexer.frame_queue import FrameQueue, Received
from indexer.subscribe import Link, Patience, Subscription, source_url
from tests.indexer.network import Firehose, until
from tests.indexer.repo_builder import account

IMPATIENT = Patience(ping=0.1, backoff=0.01, backoff_max=0.05)
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("wss://bsky.network", "wss://bsky.network"),
        ("wss://bsky.network/", "wss://bsky.network"),
        ("WSS://bsky.network:443", "wss://bsky.network"),
        ("https://bsky.network", "wss://bsky.network"),
        ("http://127.0.0.1:2583", "ws://127.0.0.1:2583"),
        ("ws://localhost:2583/pds0/", "ws://localhost:2583/pds0"),
        (
            "wss://bsky.network/xrpc/com.atproto.sync.subscribeRepos?cursor=3",
            "wss://bsky.network",
        ),
    ],
)
def test_a_source_has_one_spelling(given: str, normal: str) -> None:
    assert source_url(given) == normal
    assert source_url(normal) == normal


@pytest.mark.parametrize(
    "url", ["", "bsky.network", "ftp://x", "wss://", "wss://u:p@x", "wss://a b"]
)
def test_what_is_no_source_is_refused(url: str) -> None:
    with pytest.raises(BlockedAddress):
        source_url(url)


def subscription(
    url: str, queue: FrameQueue, *, cursor: int | None = 0, dev: bool = True
) -> Subscription:
    return Subscription(
        url, queue, cursor=lambda: cursor, clock=lambda: 7, dev=dev, patience=IMPATIENT
    )


def queue() -> FrameQueue:
    return FrameQueue(max_frames=100, max_bytes=1_000_000)


def test_plain_ws_is_for_development_only() -> None:
    with pytest.raises(BlockedAddress, match="https"):
        subscription("ws://relay.example", queue(), dev=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "[::1]", "169.254.169.254"])
def test_addresses_that_are_not_public_are_not_connected_to(host: str) -> None:
    async def main() -> tuple[int, list[bytes]]:
        asked: list[bytes] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.read(1))
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        following = subscription(f"wss://{host}:{port}", queue(), dev=False)
        task = asyncio.create_task(following.run())
        await until(lambda: following.link is Link.WAITING, lambda: "refused")
        task.cancel()
        server.close()
        return following.connections, asked

    assert asyncio.run(main()) == (0, [])


def test_redirects_are_not_followed() -> None:
    async def main() -> tuple[int, int]:
        async with Firehose() as elsewhere:
            target = f"{elsewhere.plc}/xrpc/com.atproto.sync.subscribeRepos?cursor=0"
            requests = 0

            async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal requests
                requests += 1
                await reader.readuntil(b"\r\n\r\n")
                head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
                writer.write(head.encode())
                writer.close()

            server = await asyncio.start_server(redirect, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            task = asyncio.create_task(subscription(f"ws://127.0.0.1:{port}", queue()).run())
            await until(lambda: requests > 2, lambda: "asked again")
            task.cancel()
            server.close()
            return len(elsewhere.seen), requests

    followed, requests = asyncio.run(main())
    assert (followed, requests > 2) == (0, True)


# --- connections ------------------------------------------------------------------------------


@asynccontextmanager
async def following(
    net: Firehose, **options: int | None
) -> AsyncIterator[tuple[Subscription, FrameQueue]]:
    waiting = queue()
    subject = subscription(net.url, waiting, **options)  # type: ignore[arg-type]
    task = asyncio.create_task(subject.run())
    try:
        yield subject, waiting
    finally:
        task.cancel()
        await asyncio.wait((task,))


@pytest.mark.parametrize("cursor", [None, 0, 41])
def test_connects_with_the_cursor_that_was_reached(cursor: int | None) -> None:
    async def main() -> list[int | None]:
        async with Firehose() as net, following(net, cursor=cursor):
            await until(lambda: bool(net.seen), lambda: "connected")
            return net.seen

    assert asyncio.run(main()) == [cursor]


def test_frames_come_byte_for_byte_with_their_time_and_connection() -> None:
    async def main() -> tuple[list[Received], list[bytes], str]:
        async with Firehose() as net, following(net) as (subject, waiting):
            await until(lambda: subject.link is Link.CONNECTED, lambda: "connected")
            await net.send(account(DID), b"any bytes")
            await until(lambda: waiting.frames == 2, lambda: "both")
            return await waiting.take(10, 0), [frame for _, frame in net.sent], net.url

    received, sent, url = asyncio.run(main())
    assert received == [Received(url, 1, frame, 7) for frame in sent]


def test_the_next_connection_waits_until_every_frame_is_settled() -> None:
    async def main() -> tuple[int, int]:
        async with Firehose() as net, following(net) as (subject, waiting):
            await until(lambda: subject.link is Link.CONNECTED, lambda: "connected")
            await net.send(account(DID), account(DID))
            await until(lambda: waiting.frames == 2, lambda: "both")
            await subject.reconnect()
            await until(lambda: subject.link is Link.WAITING, lambda: "waiting")
            subject.settle(1)
            await asyncio.sleep(0.2)
            early = len(net.seen)
            subject.settle(1)
            await until(lambda: len(net.seen) == 2, lambda: "back")
            return early, len(net.seen)

    assert asyncio.run(main()) == (1, 2)


def test_a_source_that_is_gone_is_tried_again_until_it_is_back() -> None:
    async def main() -> int:
        net = Firehose()
        await net.start()
        await net.stop()
        async with following(net) as (subject, _):
            await until(lambda: subject.link is Link.WAITING, lambda: "refused")
            await net.start()
            await until(lambda: subject.link is Link.CONNECTED, lambda: "back")
            await net.stop()
            return subject.connections

    assert asyncio.run(main()) == 1


def test_a_halted_source_is_left_alone() -> None:
    async def main() -> tuple[Link, str | None, int]:
        async with Firehose() as net:
            subject = subscription(net.url, queue())
            task = asyncio.create_task(subject.run())
            await until(lambda: subject.link is Link.CONNECTED, lambda: "connected")
            await subject.halt("because")
            await task
            return subject.link, subject.halted_because, len(net.seen)

    assert asyncio.run(main()) == (Link.HALTED, "because", 1)


async def dead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A WebSocket handshake, and then neither data nor pong, as a host that lost power."""
    request = await reader.readuntil(b"\r\n\r\n")
    key = next(
        line.split(b": ")[1] for line in request.split(b"\r\n") if b"Sec-WebSocket-Key" in line
    )
    accept = accept_key(key.decode()).encode()
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    await asyncio.sleep(60)


def test_a_dead_connection_is_given_up_and_an_idle_one_is_not() -> None:
    async def main() -> tuple[int, int]:
        async with Firehose() as idle:
            server = await asyncio.start_server(dead, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            mute = subscription(f"ws://127.0.0.1:{port}", queue())
            quiet = subscription(idle.url, queue())
            tasks = [asyncio.create_task(mute.run()), asyncio.create_task(quiet.run())]
            await until(lambda: mute.connections > 2, lambda: "given up, twice")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            server.close()
            return mute.connections, quiet.connections

    given_up, kept = asyncio.run(main())
    assert (given_up > 2, kept) == (True, 1)


def test_a_source_is_not_read_faster_than_frames_are_taken() -> None:
    sent = 0

    async def flood(client: ServerConnection) -> None:
        nonlocal sent
        while True:
            await client.send(b"x" * 100_000)
            sent += 1

    async def main() -> tuple[int, int]:
        async with serve(flood, "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            bounded = FrameQueue(max_frames=1_000, max_bytes=500_000)
            task = asyncio.create_task(subscription(f"ws://127.0.0.1:{port}", bounded).run())
            await until(lambda: bounded.frames == 5, lambda: "full")
            await asyncio.sleep(0.3)
            full = bounded.bytes
            task.cancel()
            await asyncio.wait((task,))
            return full, sent

    full, total = asyncio.run(main())
    assert full == 500_000
    assert total < 500


# --- the queue --------------------------------------------------------------------------------


def frame(size: int, source: str = "a") -> Received:
    return Received(source, 1, bytes(size), 0)


def test_the_queue_gives_what_waits_in_order_up_to_a_limit() -> None:
    async def main() -> list[list[int]]:
        waiting = queue()
        for size in (1, 2, 3):
            await waiting.put(frame(size))
        return [
            [len(item.frame) for item in await waiting.take(limit, 0.01)] for limit in (2, 5, 5)
        ]

    assert asyncio.run(main()) == [[1, 2], [3], []]


@pytest.mark.parametrize(("frames", "size"), [(2, 1), (100, 600_000)])
def test_the_queue_makes_writers_wait_for_room(frames: int, size: int) -> None:
    async def main() -> tuple[int, int, int]:
        waiting = FrameQueue(max_frames=frames, max_bytes=1_000_000)
        putting = [asyncio.create_task(waiting.put(frame(size))) for _ in range(3)]
        await asyncio.sleep(0.02)
        before = waiting.frames
        await waiting.take(1, 0)
        await asyncio.sleep(0.02)
        after = waiting.frames
        await waiting.take(10, 0)
        await asyncio.wait(putting, timeout=1)
        return before, after, waiting.bytes

    before, after, held = asyncio.run(main())
    limit = min(frames, 1_000_000 // size)
    assert (before, after) == (limit, limit)
    assert held in (0, size)


def test_a_frame_larger_than_the_queue_still_passes() -> None:
    async def main() -> int:
        small = FrameQueue(max_frames=10, max_bytes=10)
        await small.put(frame(100))
        return len(await small.take(10, 0))

    assert asyncio.run(main()) == 1

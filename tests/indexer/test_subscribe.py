"""One source's connection: where it may lead, where it starts, and when it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.utils import accept_key

from atdata.protocol.errors import BlockedAddress
from indexer.frame_queue import FrameQueue, Item, Received
from indexer.subscribe import Link, Patience, Receiver, Subscription, source_url
from tests.indexer.network import Firehose, until
from tests.indexer.repo_builder import account

IMPATIENT = Patience(ping=0.1, backoff=0.01, backoff_max=0.05)
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
RECEIVER = ContextVar("receiver", default=Receiver.AUTO)


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


@pytest.fixture(params=[Receiver.WEBSOCKETS, Receiver.BULK], autouse=True)
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    """Every test of this module, over both ways of reading a socket."""
    token = RECEIVER.set(request.param)
    yield request.param
    RECEIVER.reset(token)


def subscription(
    url: str,
    queue: FrameQueue,
    *,
    cursor: int | None = 0,
    dev: bool = True,
    patience: Patience = IMPATIENT,
) -> Subscription:
    return Subscription(
        url,
        queue,
        cursor=lambda: cursor,
        clock=lambda: 7,
        dev=dev,
        patience=patience,
        receiver=RECEIVER.get(),
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
    async def main() -> tuple[list[Item], list[bytes], str]:
        async with Firehose() as net, following(net) as (subject, waiting):
            await until(lambda: subject.link is Link.CONNECTED, lambda: "connected")
            await net.send(account(DID), b"any bytes")
            await until(lambda: waiting.frames == 2, lambda: "both")
            taken = await waiting.take(10, 0)
            return list(taken.items), [frame for _, frame in net.sent], net.url

    received, sent, url = asyncio.run(main())
    assert received == [Received(url, 1, frame, 7) for frame in sent]


def test_the_next_connection_waits_until_every_frame_is_settled() -> None:
    async def main() -> tuple[int, int]:
        async with Firehose() as net, following(net) as (subject, waiting):
            await until(lambda: subject.link is Link.CONNECTED, lambda: "connected")
            await net.send(account(DID), account(DID))
            await until(lambda: waiting.frames == 2, lambda: "both")
            subject.reconnect()
            await until(lambda: subject.link is Link.WAITING, lambda: "waiting")
            items = (await waiting.take(10, 0)).items
            subject.settle(items[:1])
            await asyncio.sleep(0.2)
            early = len(net.seen)
            subject.settle(items[1:])
            await until(lambda: len(net.seen) == 2, lambda: "back")
            return early, len(net.seen)

    assert asyncio.run(main()) == (1, 2)


def test_a_connection_that_we_give_up_is_followed_by_another_at_once_but_only_now_and_then() -> (
    None
):
    """Whoever sends rubbish again and again must not be able to keep us dialling. Here the source
    hears no goodbye, and nothing but our own word brings us back within the minute."""

    async def main() -> tuple[int, Link]:
        connections = 0

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            await shake_hands(reader, writer)
            connections += 1

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        subject = subscription(f"ws://127.0.0.1:{port}", queue(), patience=Patience(backoff=60))
        task = asyncio.create_task(subject.run())
        for count in (1, 2):
            await until(lambda: subject.connections == count, lambda: "connected")  # noqa: B023
            subject.reconnect()
        await until(lambda: subject.link is Link.WAITING, lambda: "given up")
        await asyncio.sleep(0.2)
        task.cancel()
        server.close()
        return connections, subject.link

    assert asyncio.run(main()) == (2, Link.WAITING)


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
            subject.halt("because")
            await task
            return subject.link, subject.halted_because, len(net.seen)

    assert asyncio.run(main()) == (Link.HALTED, "because", 1)


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    key = next(
        line.split(b": ")[1] for line in request.split(b"\r\n") if b"Sec-WebSocket-Key" in line
    )
    accept = accept_key(key.decode()).encode()
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


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


# --- messages as they come on the wire -----------------------------------------------------------


def frame_of(opcode: int, payload: bytes, *, fin: bool = True, first: int = 0) -> bytes:
    """One WebSocket frame; ``first`` adds bits to its first byte."""
    head = bytes(((0x80 if fin else 0) | first | opcode,))
    if len(payload) < 126:
        return head + bytes((len(payload),)) + payload
    if len(payload) < 65_536:
        return head + b"\x7e" + len(payload).to_bytes(2) + payload
    return head + b"\x7f" + len(payload).to_bytes(8) + payload


BINARY, CONTINUED, CLOSE, PING = 2, 0, 8, 9


def spoken(*chunks: bytes, answer: bytes = b"") -> tuple[list[bytes], bytes, int]:
    """What a subscription makes of these writes of a server, what it said, and how often it came.
    The server closes its side after the last one, once it has heard ``answer``."""

    async def main() -> tuple[list[bytes], bytes, int]:
        heard, handshakes = bytearray(), 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal handshakes
            handshakes += 1
            if handshakes > 1:
                return
            await shake_hands(reader, writer)
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0.01)
            while answer and answer not in heard:
                heard.extend(unmasked(await reader.read(1_000)))
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        waiting = FrameQueue(max_frames=100, max_bytes=20_000_000)
        subject = subscription(f"ws://127.0.0.1:{port}", waiting, patience=Patience(backoff=60))
        task = asyncio.create_task(subject.run())
        await until(lambda: subject.link is Link.WAITING, lambda: "the connection ended")
        task.cancel()
        server.close()
        items = (await waiting.take(100, 0)).items
        return (
            [i.frame for i in items if isinstance(i, Received)],
            bytes(heard),
            subject.connections,
        )

    return asyncio.run(main())


def unmasked(data: bytes) -> bytes:
    """The payloads of short masked frames, one after the other, each after its first byte."""
    out = bytearray()
    while len(data) >= 6:
        size, mask = data[1] & 0x7F, data[2:6]
        out += data[:1] + bytes(b ^ mask[i % 4] for i, b in enumerate(data[6 : 6 + size]))
        data = data[6 + size :]
    return bytes(out)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100_000])
def test_messages_of_all_sizes_arrive_however_they_are_cut(step: int) -> None:
    messages = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 300]
    if step == 100_000:
        messages += [b"e" * 65_535, b"f" * 65_536, b"g" * 3_000_000]
    stream = b"".join(frame_of(BINARY, message) for message in messages)
    chunks = [stream[i : i + step] for i in range(0, len(stream), step)]
    if step < 7:  # two dozen cuts are enough
        chunks = [*chunks[:24], b"".join(chunks[24:])]
    assert spoken(*chunks)[0] == messages


def test_fragments_pings_and_a_goodbye_between_messages() -> None:
    stream = (
        frame_of(BINARY, b"one")
        + frame_of(BINARY, b"tw", fin=False)
        + frame_of(PING, b"are you there")
        + frame_of(CONTINUED, b"", fin=False)
        + frame_of(CONTINUED, b"o")
        + frame_of(BINARY, b"three")
        + frame_of(CLOSE, b"\x03\xe8")
        + frame_of(BINARY, b"after the end")
    )
    found, heard, _ = spoken(stream, answer=b"\x88\x03\xe8")
    assert found == [b"one", b"two", b"three"]
    assert b"\x8aare you there" in heard


@pytest.mark.parametrize(
    "broken",
    [
        frame_of(BINARY, b"x", first=0x40),  # compressed, which nobody agreed to
        b"\x82\x81\x00\x00\x00\x00x",  # masked
        frame_of(CONTINUED, b"x"),  # of nothing
        frame_of(3, b"x"),
        frame_of(PING, b"x" * 126),
        frame_of(BINARY, b"x", fin=False) + frame_of(BINARY, b"y"),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(broken: bytes) -> None:
    found, heard, _ = spoken(
        frame_of(BINARY, b"good") + broken + frame_of(BINARY, b"bad"), answer=b"\x88\x03\xea"
    )
    assert found == [b"good"]
    assert b"\x88\x03\xea" in heard  # close, 1002


def test_after_a_broken_protocol_the_library_reads_for_itself() -> None:
    ways: list[type] = []

    async def main() -> None:
        looked: asyncio.Queue[None] = asyncio.Queue()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shake_hands(reader, writer)
            await looked.get()
            writer.write(frame_of(BINARY, b"x", first=0x40))
            await reader.read(1_000)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        subject = Subscription(
            f"ws://127.0.0.1:{port}", queue(), cursor=lambda: 0, clock=lambda: 7, dev=True,
            patience=IMPATIENT, receiver=Receiver.AUTO,
        )  # fmt: skip
        task = asyncio.create_task(subject.run())
        for goal in (1, 2):
            await until(lambda: subject.connections >= goal, lambda: "connected")  # noqa: B023
            ways.append(type(subject.reading))
            looked.put_nowait(None)
        task.cancel()
        server.close()

    asyncio.run(main())
    assert [way.__name__ for way in ways] == ["BulkConnection", "PlainConnection"]

"""Hosts and wires that go wrong on purpose, and count it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.indexer.network import Firehose, car_response


@dataclass
class RoughFirehose(Firehose):
    """A firehose that ends connections of its own accord. ``farewells`` holds one (number of
    frames, last frame) per connection, in order; None for one that is left alone."""

    farewells: list[tuple[int, bytes] | None] = field(default_factory=list)
    said: int = 0
    """Farewells."""
    delivered: int = 0
    """Frames in all."""

    async def _serve(self, client: ServerConnection) -> None:
        farewell = self.farewells.pop(0) if self.farewells else None
        if farewell is None:
            self.delivered += sum(seq > self._cursor(client) for seq, _ in self.sent)
            await super()._serve(client)
            return
        cursor = self._cursor(client)
        self.seen.append(cursor)
        frames, last = farewell
        with suppress(ConnectionClosed):
            for frame in [frame for seq, frame in self.sent if seq > cursor][:frames]:
                await client.send(frame)
                self.delivered += 1
            if last:
                await client.send(last)
            self.said += 1

    @staticmethod
    def _cursor(client: ServerConnection) -> int:
        assert client.request is not None
        query = parse_qs(urlsplit(client.request.path).query)
        return int(query.get("cursor", ["0"])[0])


def _did_in(request: Request) -> str:
    return parse_qs(urlsplit(request.path).query).get("did", [""])[0]


@dataclass
class HeldFirehose(Firehose):
    """As a PDS it answers getRepo with the repo as it is when it is asked, but only after
    ``release``; as a firehose it goes on meanwhile."""

    held: int = 0
    """How many answers are, or were, held back."""
    snapshots: dict[str, bytes] = field(default_factory=dict)
    """By DID: what is given instead, once."""
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Give the answers that are held back, and from now on at once."""
        self._released.set()

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        answer = await super()._answer(client, request)
        if "getRepo" in request.path and not self._released.is_set():
            self.held += 1
            await self._released.wait()
            if _did_in(request) in self.snapshots:
                return car_response(self.snapshots.pop(_did_in(request)))
        return answer


@dataclass
class ForgingFirehose(Firehose):
    """As a PDS it answers getRepo with what comes next in ``forged``, by DID, and truthfully where
    nothing does."""

    forged: dict[str, Iterator[bytes]] = field(default_factory=dict)
    served: Counter[str] = field(default_factory=Counter)
    """How many forgeries of an account were served."""

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        did = _did_in(request)
        forgery = next(self.forged.get(did, iter(())), None) if "getRepo" in request.path else None
        if forgery is None:
            return await super()._answer(client, request)
        self.served[did] += 1
        return car_response(forgery)


@dataclass
class Wire:
    """``async with Wire(port) as wire``: a TCP proxy before a host on loopback. After
    ``dies_after`` bytes of the host, per connection, it passes nothing more in either direction,
    and closes nothing, as when a host loses power; None for a connection that is left alone."""

    to: int
    dies_after: list[int | None] = field(default_factory=list)
    dead: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._ended.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        room = self.dies_after.pop(0) if self.dies_after else None
        from_host, to_host = await asyncio.open_connection("127.0.0.1", self.to)
        outward = asyncio.create_task(_pass_on(reader, to_host))
        inward = asyncio.create_task(self._inward(from_host, writer, room, outward, to_host))
        self._tasks |= {outward, inward}

    async def _inward(
        self,
        host: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        room: int | None,
        outward: asyncio.Task[None],
        to_host: asyncio.StreamWriter,
    ) -> None:
        while room is None or room > 0:
            data = await host.read(65_536 if room is None else room)
            if not data:
                break
            writer.write(data)
            room = None if room is None else room - len(data)
        else:
            self.dead += 1
            outward.cancel()
            await self._ended.wait()
        writer.close()
        to_host.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@dataclass
class WiredFirehose(Firehose):
    """A firehose that is followed through ``wire``, once there is one."""

    wire: Wire | None = None

    @property
    def url(self) -> str:
        return super().url if self.wire is None else self.wire.url

"""The connection of ``websockets`` itself, with its messages put where they are wanted.

Rule: the library receives, parses, answers and judges; only the last step is ours. A message
goes into the sink as soon as it is parsed, without the queue and the coroutine of ``recv``, which
cost as much as all the rest. Reading pauses while nobody takes what is here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State

from indexer.bulk import RUN_SECONDS
from indexer.screen import Everything, Sink

_CLOSE_SECONDS = 1.0

_BINARY = Opcode.BINARY
_DATA = frozenset({Opcode.BINARY, Opcode.TEXT, Opcode.CONT})


class PlainConnection:
    """``await PlainConnection.open(…)``, then ``receive`` until it raises ``ConnectionClosed``."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(
        cls,
        url: str,
        sock: socket.socket,
        sink: Sink,
        *,
        secure: ssl.SSLContext | None,
        host: str | None,
        max_size: int,
        user_agent: str,
        ping: float,
    ) -> PlainConnection:
        """Shakes hands over the connected ``sock``. Raises ``OSError``, ``WebSocketException``."""
        connection = await connect(
            url,
            sock=sock,
            ssl=secure,
            server_hostname=host,
            proxy=None,
            compression=None,
            user_agent_header=user_agent,
            ping_interval=ping,
            ping_timeout=ping,
            close_timeout=_CLOSE_SECONDS,
            max_size=max_size,
            create_connection=partial(_Connection, sink),  # type: ignore[arg-type]
        )
        assert isinstance(connection, _Connection)
        return cls(connection)

    async def receive(self) -> None:
        """Put the messages that are here into the sink; returns when there was something.

        Raises ``ConnectionClosed`` once there are none and none will come.
        """
        await self._connection.some()

    def hang_up(self) -> None:
        """Say goodbye, and do not wait: what is still on its way is not wanted."""
        self._connection.hang_up()

    async def close(self) -> None:
        """Say goodbye, and wait for the other side, but not for long."""
        await self._connection.close_unread()


class _Connection(ClientConnection):
    def __init__(self, sink: Sink, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        self._sink = sink
        self._fresh = self._held = self._gone = False
        self._life = 0
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._parts: bytearray | None = None  # of a message in fragments

    async def some(self) -> None:
        while not self._fresh:
            if self._gone:
                raise self.close_exc
            self._resume()
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._fresh = False

    def hang_up(self) -> None:
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self.send_data()
        self.transport.abort()

    async def close_unread(self) -> None:
        """What comes before their goodbye comes again."""
        self._sink = Everything("")
        self._resume()
        await self.close()

    def _resume(self) -> None:
        if self._held:
            self._held = False
            self.transport.resume_reading()

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- what the library calls -----------------------------------------------------------------

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and event.opcode is _BINARY and event.fin:
            self._fresh = True
            self._sink.take(event.data, 0, len(event.data))
        elif isinstance(event, Frame) and event.opcode in _DATA:
            self._collect(event)
        else:
            super().process_event(event)

    def _collect(self, event: Frame) -> None:
        parts = bytearray() if self._parts is None else self._parts
        parts += event.data
        self._parts = None if event.fin else parts
        if event.fin:
            self._fresh = True
            self._sink.take(parts, 0, len(parts))

    def data_received(self, data: bytes) -> None:
        self._life += 1
        super().data_received(data)
        if self._fresh and not self._sink.urgent:
            if self._alarm is None:  # runs of what does not matter are in no hurry
                self._alarm = self.loop.call_later(RUN_SECONDS, self._ring)
        elif self._fresh:
            if self._waiter is None and not self._held and not self.transport.is_closing():
                self._held = True  # nobody takes: enough is here
                self.transport.pause_reading()
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._gone = True
        self._wake()

    async def keepalive(self) -> None:
        """While nothing is read, for want of room, an answer can't be heard, and is not missed."""
        assert self.ping_interval is not None
        assert self.ping_timeout is not None
        with suppress(ConnectionClosed):  # which ends it, and whoever receives says why
            while True:
                await asyncio.sleep(self.ping_interval)
                before = self._life
                await self.ping()
                await asyncio.sleep(self.ping_timeout)
                if self._life == before and not self._held and self.protocol.state is State.OPEN:
                    self.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                    self.send_data()
                    self.transport.abort()

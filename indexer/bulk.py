"""Bulk reads under the protocol core of ``websockets``: a firehose at the speed of its socket.

Rule: only one kind of WebSocket frame is read here, the whole, binary, unmasked and uncompressed
message within the limit, whose head says all there is to know. The handshake and every other frame
(control, fragments, text, reserved bits, masks, too large) go byte for byte to the library's own
``ClientProtocol``, which answers and judges them. No extension is offered, so none can be in use.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidMessage, WebSocketException
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from indexer.screen import Everything, Sink

BUFFER = 1 << 19  # bytes: what one read can bring
RUN_SECONDS = 0.05  # what does not matter is handed on this late at most
_MAX_HEAD = 65_536  # bytes of a handshake's answer
_CLOSE_SECONDS = 1.0

_WHOLE_BINARY = 0x82
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_MASKED = 0x80
_DATA = frozenset({Opcode.BINARY, Opcode.TEXT, Opcode.CONT})


class BulkConnection(asyncio.BufferedProtocol):
    """``await BulkConnection.open(…)``, then ``receive`` until it raises ``ConnectionClosed``."""

    def __init__(self, url: str, sink: Sink, max_size: int, user_agent: str) -> None:
        self._core = ClientProtocol(parse_uri(url), max_size=max_size)
        self._sink = sink
        self._max_size, self._user_agent = max_size, user_agent
        self._buffer = bytearray(BUFFER)
        self._start = self._end = 0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost = asyncio.get_running_loop().create_future()
        self._paused = self._asked = self._fresh = False
        self._alarm: asyncio.TimerHandle | None = None
        self._parts: bytearray | None = None  # of a message in fragments
        self._life = 0
        self._pinging: asyncio.Task[None] | None = None

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
    ) -> BulkConnection:
        """Shakes hands over the connected ``sock``. Raises ``OSError``, ``WebSocketException``."""
        loop = asyncio.get_running_loop()
        make: Callable[[], BulkConnection] = lambda: cls(url, sink, max_size, user_agent)  # noqa: E731
        _, self = await loop.create_connection(make, sock=sock, ssl=secure, server_hostname=host)
        try:
            await self._shake_hands()
        except BaseException:
            self._abort()
            raise
        self._pinging = asyncio.create_task(self._keep_alive(ping))
        return self

    async def receive(self) -> None:
        """Put the messages that are here into the sink; returns when there was something.

        Raises ``ConnectionClosed`` once there are none and none will come.
        """
        self._asked = True
        while not (self._split(self._sink) or self._fresh):
            if self._lost.done():
                raise self._closed()
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            await self._more()
        self._fresh = False

    def hang_up(self) -> None:
        """Say goodbye, and do not wait: what is still on its way is not wanted."""
        if self._core.state is State.OPEN:
            self._core.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        self._abort()

    async def close(self) -> None:
        """Say goodbye, and wait for the other side, but not for long."""
        if self._core.state is State.OPEN:
            self._core.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        if self._paused and self._transport is not None and not self._lost.done():
            self._paused = False
            self._transport.resume_reading()
        await asyncio.wait((self._lost,), timeout=_CLOSE_SECONDS)
        self._abort()
        if self._pinging is not None:
            self._pinging.cancel()

    async def _keep_alive(self, seconds: float) -> None:
        """Ping every so often; who neither sends nor answers for as long again is given up."""
        while not self._lost.done():
            await asyncio.sleep(seconds)
            if self._core.state is not State.OPEN:
                return
            before = self._life
            self._core.send_ping(b"")
            self._flush()
            await asyncio.sleep(seconds)
            # While nothing is read, for want of room, an answer can't be heard.
            if self._life == before and not self._paused and self._core.state is State.OPEN:
                self._core.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                self._flush()
                self._abort()

    # --- what asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # TCP and TLS are
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room at the end; what waits is moved to the front when that is needed."""
        if self._end == len(self._buffer):
            self._renew(self._end - self._start + BUFFER)
        return memoryview(self._buffer)[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        self._life += 1
        if self._core.state is State.CLOSING:
            self._split(Everything(""))  # for their goodbye; what is before it comes again
            self._wake()
        elif self._core.state is not State.OPEN:
            self._wake()
        elif not self._asked or (self._waiter is None and self._sink.urgent):
            self._pause()  # nobody takes: enough is here
        elif self._split(self._sink):
            self._clear()
            self._fresh = True
            self._wake_soon()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._core.receive_eof()
        if not self._lost.done():
            self._lost.set_result(None)
        self._wake()

    # --- handshake ------------------------------------------------------------------------------

    async def _shake_hands(self) -> None:
        request = self._core.connect()
        request.headers["User-Agent"] = self._user_agent
        self._core.send_request(request)
        self._flush()
        while self._core.state is State.CONNECTING and self._core.handshake_exc is None:
            if self._lost.done():
                break
            await self._more()
            stop = self._buffer.find(b"\r\n\r\n", 0, self._end)
            if stop < 0 and self._end < _MAX_HEAD:
                continue
            # The head alone where it is complete: what follows an accepted one are frames.
            stop = self._end if stop < 0 or self._start else stop + 4
            self._core.receive_data(bytes(self._buffer[self._start : stop]))
            self._start = stop
            self._flush()
        failure = self._core.handshake_exc
        if isinstance(failure, WebSocketException):
            raise failure
        if self._core.state is not State.OPEN:
            raise InvalidMessage("did not receive a valid HTTP response") from failure
        self._core.events_received()

    # --- frames ---------------------------------------------------------------------------------

    def _split(self, sink: Sink) -> bool:
        """All messages that are whole, in order; ``_start`` is left after the last one."""
        if self._over():
            self._start = self._end  # nothing counts after the end
        before = self._start
        while not self._over():
            if self._parts is None:
                self._start = sink.skim(self._buffer, self._start, self._end)
            if not self._take_one(sink):
                break
        moved = self._start != before
        if self._over():
            self._start = self._end
        return moved

    def _over(self) -> bool:
        return self._core.close_rcvd is not None or self._core.parser_exc is not None

    def _take_one(self, sink: Sink) -> bool:
        """The WebSocket frame at ``_start``. False if it is not here as a whole."""
        at, have = self._start, self._end - self._start
        if have < 2:
            return False
        first, size = self._buffer[at], self._buffer[at + 1]
        masked, size = size & _MASKED, size & ~_MASKED
        head = 2 + {_TWO_BYTES: 2, _EIGHT_BYTES: 8}.get(size, 0)
        if have < head:
            return False
        if head > 2:
            size = int.from_bytes(self._buffer[at + 2 : at + head], "big")
        if size > self._max_size or masked:
            # The head alone tells the library enough to fail the connection.
            self._feed(bytes(self._buffer[at : at + head]), sink)
            return False
        if have < head + size:
            self._make_room(head + size)
            return False
        self._start = stop = at + head + size
        if first == _WHOLE_BINARY and self._parts is None:
            sink.take(self._buffer, at + head, stop)
        else:
            self._feed(bytes(self._buffer[at:stop]), sink)
        return True

    def _feed(self, data: bytes, sink: Sink) -> None:
        """What is not of the one kind goes to the library."""
        self._core.receive_data(data)
        for event in self._core.events_received():
            if isinstance(event, Frame) and event.opcode in _DATA:
                self._collect(event, sink)
        self._flush()
        if self._core.close_expected():
            asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._abort)

    def _collect(self, event: Frame, sink: Sink) -> None:
        parts = bytearray() if self._parts is None else self._parts
        parts += event.data
        self._parts = None if event.fin else parts
        if event.fin:
            sink.take(parts, 0, len(parts))

    # --- buffer and transport -------------------------------------------------------------------

    def _make_room(self, size: int) -> None:
        """For ``size`` bytes from ``_start`` on, once what is before it has been cleared away."""
        if size > len(self._buffer):
            self._renew(size)

    def _renew(self, size: int) -> None:
        have = self._end - self._start
        waiting = self._buffer[self._start : self._end]
        # A new one: what was read from the old one may still be looked at.
        self._buffer = bytearray(size)
        self._buffer[:have] = waiting
        self._start, self._end = 0, have

    def _clear(self) -> None:
        """What is left goes to the front: at most one message, cut short."""
        if self._start:
            have = self._end - self._start
            self._buffer[:have] = self._buffer[self._start : self._end]
            self._start, self._end = 0, have

    async def _more(self) -> None:
        """Until something was read, or the connection is lost."""
        self._clear()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _pause(self) -> None:
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _wake_soon(self) -> None:
        """At once for what matters; runs of what does not are in no hurry."""
        if self._sink.urgent:
            self._wake()
        elif self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(RUN_SECONDS, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _flush(self) -> None:
        for data in self._core.data_to_send():
            if self._transport is None or self._transport.is_closing():
                return
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _closed(self) -> ConnectionClosed:
        return self._core.close_exc

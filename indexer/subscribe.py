"""One firehose: connect, receive, connect again. The thin shell over ``websockets``.

Rules protected here: a connection starts at the cursor that the writer has reached, never beyond
it (invariant 1); addresses are checked where the connection is made (invariant 9); a source can be
slow, silent, hostile or gone without harm to the others.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode

import structlog
from websockets.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    WebSocketException,
)
from websockets.frames import CloseCode

from atdata.network.addresses import refusal, target_of
from atdata.protocol.errors import BlockedAddress, quote
from indexer.bulk import BulkConnection
from indexer.frame_queue import FrameQueue, Item, Received
from indexer.frames import MAX_FRAME
from indexer.plain import PlainConnection
from indexer.received import frames_of
from indexer.screen import Everything, Screen, Sink

METHOD = "/xrpc/com.atproto.sync.subscribeRepos"

_HTTP = {"wss": "https", "ws": "http", "https": "https", "http": "http"}
_CONNECT_SECONDS = 15.0
_USER_AGENT = "atdata-indexer"
_MAX_DOUBLINGS = 10
_SLOW_DOUBLINGS = 3
# A connection that we give up is followed by the next one at once, but not more often than this.
_AT_ONCE_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Link(StrEnum):
    """What a source's connection is doing."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: between pings, before the first new attempt, and at most before any."""

    ping: float = 20.0
    backoff: float = 0.5
    backoff_max: float = 60.0


PATIENT = Patience()


class Receiver(StrEnum):
    """How a source's socket is read. ``AUTO`` is bulk reads, and plain ``websockets`` for a source
    whose last bulk connection broke the protocol: a doubt about either keeps no source away."""

    AUTO = "auto"
    WEBSOCKETS = "websockets"
    BULK = "bulk"


Connection = BulkConnection | PlainConnection


def source_url(url: str) -> str:
    """One spelling of a source's base URL: ``wss://host[:port][/prefix]``, no slash at the end.

    Raises ``BlockedAddress`` for anything that is no ``ws``, ``wss``, ``http`` or ``https`` URL.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _HTTP:
        raise BlockedAddress(f"a source is a wss:// URL, not {quote(url)}")
    target = target_of(f"{_HTTP[scheme.lower()]}://{rest}", dev=True)
    base = target.url.partition("?")[0].rstrip("/").removesuffix(METHOD)
    return "ws" + base.removeprefix("http")


class Subscription:
    """Keeps one source connected and puts its frames into the queue.

    ``cursor`` tells how far the writer has come, None for a source that is new and shall start
    with live events. Every frame must be settled by the writer; only then is the next connection
    made, so that it starts exactly where the last one was left.
    """

    def __init__(
        self,
        url: str,
        queue: FrameQueue,
        *,
        cursor: Callable[[], int | None],
        clock: Callable[[], int],
        dev: bool = False,
        patience: Patience = PATIENT,
        receiver: Receiver = Receiver.AUTO,
        screen: Screen | None = None,
        numbered_from: int = 0,
    ) -> None:
        self.url = source_url(url)
        self.link = Link.CONNECTING
        self.halted_because: str | None = None
        self.connections = 0
        self._queue, self._cursor, self._clock = queue, cursor, clock
        self._dev, self._patience = dev, patience
        self._receiver, self._screen = receiver, screen
        self._numbered_from = numbered_from
        self._sink: Sink = screen or Everything(self.url)
        self._distrusts_bulk = False
        self._target = target_of("http" + self.url.removeprefix("ws"), dev=dev)
        self._socket: Connection | None = None
        self._unsettled = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._failures = 0
        self._given_up, self._returned = False, float("-inf")
        self._skip = 0
        self._skip_from: int | None = None

    async def run(self) -> None:
        """Until ``halt``, or cancelled."""
        while True:
            await self._settled.wait()
            if self.halted_because is not None:  # perhaps by the frames that were settled just now
                break
            try:
                await self._connection()
                why = "the source closed the connection"
            except BlockedAddress as error:
                why = str(error)
            except (OSError, WebSocketException, ValueError) as error:
                # ValueError: a redirect, which is not followed; TimeoutError is an OSError.
                why = f"{type(error).__name__}: {quote(str(error), 200)}"
            if self.halted_because is None and not self._may_return_at_once():
                await self._wait(why)
        self.link = Link.HALTED

    def settle(self, items: Sequence[Item]) -> None:
        """The writer is done with ``items`` of this source."""
        self._unsettled -= sum(map(frames_of, items))
        if self._screen is not None:
            self._screen.settle(items)
        if self._unsettled <= 0:
            self._settled.set()

    @property
    def unsettled(self) -> int:
        """How many frames are handed over, and the writer is not done with."""
        return self._unsettled

    @property
    def under_way(self) -> int:
        """Of how many repos a frame is handed over, and the writer is not done with it."""
        return 0 if self._screen is None else self._screen.under_way

    @property
    def _number(self) -> int:
        """The present connection's."""
        return self._numbered_from + self.connections

    @property
    def reading(self) -> Connection | None:
        """The present connection."""
        return self._socket

    def reconnect(self) -> None:
        """Give up the present connection; the next one starts at the cursor, and soon."""
        self._given_up |= self._socket is not None
        self._hang_up()

    def slow_down(self) -> None:
        """The source said that we are too slow: wait longer before coming back."""
        self._failures += _SLOW_DOUBLINGS
        self._hang_up()

    def halt(self, why: str) -> None:
        """Stop this source for good; its cursor stays where it is."""
        self.halted_because = why
        log.error("source halted", source=self.url, why=why)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.hang_up()

    async def _connection(self) -> None:
        self.link = Link.CONNECTING
        start = self._start()
        connection = await self._open(start)
        self._socket, self.link = connection, Link.CONNECTED
        self.connections += 1
        self._sink.begin(self._number)
        log.info("source connected", source=self.url, cursor=start)
        try:
            await self._receive(connection)
        finally:
            self._socket = None
            await connection.close()

    async def _receive(self, connection: Connection) -> None:
        """Until the connection ends; raises only if it was not closed properly."""
        try:
            while True:
                await connection.receive()
                self._failures = 0
                await self._enqueue(self._sink.items(self._clock()))
        except ConnectionClosedOK:
            return
        except ConnectionClosedError as error:
            code = None if error.sent is None else error.sent.code
            self._distrusts_bulk = code == CloseCode.PROTOCOL_ERROR
            if code != CloseCode.MESSAGE_TOO_BIG:
                raise
        await self._pass_oversized()

    async def _enqueue(self, items: list[Item]) -> None:
        if not items:
            return
        self._unsettled += sum(map(frames_of, items))
        self._settled.clear()
        await self._queue.put(*items)

    async def _pass_oversized(self) -> None:
        """Its seq is unknown, so the next connections start one further each, until it is passed:
        slow where seqs have gaps, but nothing else can be jumped over."""
        oversized = Received(self.url, self._number, b"", self._clock(), oversized=True)
        await self._enqueue([oversized])
        await self._settled.wait()
        reached = self._cursor()
        self._skip = self._skip + 1 if reached == self._skip_from else 1
        self._skip_from, self._failures = reached, 0

    def _start(self) -> int | None:
        """The cursor to connect with."""
        cursor = self._cursor()
        return cursor if cursor is None or cursor != self._skip_from else cursor + self._skip

    async def _open(self, cursor: int | None) -> Connection:
        query = "" if cursor is None else "?" + urlencode({"cursor": cursor})
        secure = self._target.scheme == "https"
        context = ssl.create_default_context() if secure else None
        host = self._target.host if secure else None
        bulk = self._receiver is Receiver.BULK or (
            self._receiver is Receiver.AUTO and not self._distrusts_bulk
        )
        way = BulkConnection if bulk else PlainConnection
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await way.open(
                self.url + METHOD + query,
                await self._dial(),
                self._sink,
                secure=context,
                host=host,
                max_size=MAX_FRAME,
                user_agent=_USER_AGENT,
                ping=self._patience.ping,
            )

    async def _dial(self) -> socket.socket:
        """A connection to an address that was checked. Raises ``BlockedAddress``, ``OSError``."""
        loop = asyncio.get_running_loop()
        host, port = self._target.host, self._target.port
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        allowed = [entry for entry in found if refusal(str(entry[4][0]), dev=self._dev) is None]
        if not allowed:
            raise BlockedAddress(f"{quote(host)} has no address that may be connected to")
        failure: OSError | None = None
        for family, kind, protocol, _, address in allowed:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure or OSError(f"cannot connect to {host}")

    def _may_return_at_once(self) -> bool:
        """The source did nothing to be left alone for, unless it makes us do this all the time."""
        given_up, self._given_up = self._given_up, False
        now = asyncio.get_running_loop().time()
        if not given_up or now - self._returned < _AT_ONCE_SECONDS:
            return False
        self._returned, self.link = now, Link.WAITING
        return True

    async def _wait(self, why: str) -> None:
        """Full jitter in the upper half, so that many clients do not come back at once."""
        longest = min(self._patience.backoff_max, self._patience.backoff * 2**self._failures)
        delay = longest * (0.5 + random.random() / 2)  # noqa: S311
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
        self.link = Link.WAITING
        log.warning("source lost", source=self.url, why=why, seconds=round(delay, 2))
        await asyncio.sleep(delay)

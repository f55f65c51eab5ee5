"""``subscribeChanges``: many WebSockets, one reader of the database, no queue for anyone.

Rule: what waits for a client is its own cursor and nothing else. All that go on from one cursor at
the same time share one read and one frame, and no frame is kept: it would show what was hidden
since. Whoever does not take a frame in time is dropped with ``ConsumerTooSlow``.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from atdata.protocol.errors import AtdataError, StoreError, XrpcError
from search_api.config import SearchConfig
from search_api.database import Database, Session
from search_api.feeds import changes
from search_api.feeds.changes import Batch, Position
from search_api.limits import client_of
from search_api.methods import SUBSCRIBE_CHANGES
from search_api.xrpc import as_xrpc, error_response, invalid

READERS = 2  # threads that read for all subscribers
PER_CLIENT = 50  # subscriptions
RETRY_SECONDS = 2.0
CLOSE_SECONDS = 20.0
# A thousand sends take some 30 ms of the event loop: with more subscribers they come less often.
SECONDS_PER_SUBSCRIBER = 0.0008
POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013

_CURSOR = re.compile(r"[0-9]{1,18}")
T = TypeVar("T")

log = structlog.get_logger(__name__)


def add_subscription(app: FastAPI, subscriptions: Subscriptions) -> None:
    """The WebSocket, and an answer for those who come without one."""
    path = f"/xrpc/{SUBSCRIBE_CHANGES}"

    def no_socket() -> Response:
        response = error_response(
            XrpcError(426, "InvalidRequest", "this is a subscription: connect with a WebSocket")
        )
        response.headers.update({"Upgrade": "websocket", "Connection": "Upgrade"})
        return response

    app.add_api_websocket_route(path, subscriptions.serve)
    app.add_api_route(path, no_socket, methods=["GET", "HEAD"])


class Subscriptions:
    """All subscriptions of one service. Runs on one event loop."""

    def __init__(self, database: Database, config: SearchConfig) -> None:
        self._database, self._config = database, config
        self._readers = CapacityLimiter(READERS)
        self._clients: Counter[str | None] = Counter()
        self._reading: dict[int, asyncio.Task[Batch | None]] = {}
        self._seq = 0  # every change up to it can be read
        self._changed = asyncio.Event()

    @property
    def count(self) -> int:
        """Open subscriptions."""
        return self._clients.total()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for changes while the block lasts."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def serve(self, socket: WebSocket) -> None:
        """One subscription, until either side ends it."""
        await socket.accept()
        client = client_of(socket.scope, self._config)
        try:
            self._enter(client)
        except XrpcError as error:
            await _refuse(socket, error, TRY_AGAIN_LATER)
            return
        try:
            await self._until_closed(socket)
        finally:
            self._clients -= Counter([client])

    def _enter(self, client: str | None) -> None:
        alone = client is not None and self._clients[client] >= PER_CLIENT
        if alone or self.count >= self._config.max_subscribers:
            raise XrpcError(429, "TooManySubscribers", "no more subscriptions now; try later")
        self._clients[client] += 1

    async def _until_closed(self, socket: WebSocket) -> None:
        sender = asyncio.create_task(self._send_all(socket))
        listener = asyncio.create_task(_listen(socket))
        done, pending = await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait({sender, listener})
        for task in done:
            task.result()

    # --- one subscriber ---------------------------------------------------------------------

    async def _send_all(self, socket: WebSocket) -> None:
        try:
            at = await self._begin(socket)
            while True:
                batch = await self._next(at)
                await self._send(socket, batch.frame)
                at = batch.seq
        except TimeoutError:
            await _drop(socket)
        except AtdataError as error:
            await _refuse(socket, as_xrpc(error), POLICY_VIOLATION)
        except (WebSocketDisconnect, OSError):
            return

    async def _begin(self, socket: WebSocket) -> int:
        """Say which index this is. Returns the cursor to begin after."""
        cursor = _cursor(socket)
        now: Position = await self._read(changes.position)
        if cursor is not None and cursor > now.seq:
            message = f"the cursor is above {now.seq}, the last change of this index"
            raise XrpcError(400, "FutureCursor", message)
        self._advance(now.seq)
        await self._send(socket, changes.first_frame(now))
        return now.seq if cursor is None else cursor

    async def _next(self, at: int) -> Batch:
        while True:
            changed = self._changed
            if at < self._seq:
                batch = await self._batch(at)
                if batch is not None:
                    return batch
            await changed.wait()

    async def _batch(self, after: int) -> Batch | None:
        """What follows ``after``, read once for all who ask meanwhile."""
        task = self._reading.get(after)
        if task is None:
            task = asyncio.create_task(self._read(lambda session: changes.read(session, after)))
            self._reading[after] = task
            task.add_done_callback(lambda _: self._reading.pop(after))
        return await asyncio.shield(task)

    async def _send(self, socket: WebSocket, frame: bytes) -> None:
        async with asyncio.timeout(self._config.subscriber_seconds):
            await socket.send_bytes(frame)

    # --- all of them ------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            pause = max(self._config.follow_seconds, self.count * SECONDS_PER_SUBSCRIBER)
            await asyncio.sleep(pause)
            if self.count > 0:
                try:
                    self._advance(await self._read(lambda s: changes.last(s, self._seq)))
                except StoreError as error:
                    log.error("subscriptions.behind", why=str(error))
                    await asyncio.sleep(RETRY_SECONDS)

    def _advance(self, seq: int) -> None:
        """Wake who waits for a change after ``seq`` was seen to be there."""
        if seq > self._seq:
            self._seq = seq
            self._changed.set()
            self._changed = asyncio.Event()

    async def _read(self, question: Callable[[Session], T]) -> T:
        def ask() -> T:
            with self._database.session() as session:
                return question(session)

        return await to_thread.run_sync(ask, limiter=self._readers)


def _cursor(socket: WebSocket) -> int | None:
    given = socket.query_params.getlist("cursor")
    if not given:
        return None
    if len(given) > 1 or _CURSOR.fullmatch(given[0]) is None:
        raise invalid("cursor: expected one number, 0 or more")
    return int(given[0])


async def _listen(socket: WebSocket) -> None:
    """Ends when the client does, or when it says anything: there is nothing to say."""
    message = await socket.receive()
    if message["type"] != "websocket.disconnect":
        await _refuse(socket, invalid("a subscription takes no messages"), POLICY_VIOLATION)


async def _drop(socket: WebSocket) -> None:
    """The name of the reason lies behind what the client has not read: it waits there for a while,
    and then the connection ends without it."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(POLICY_VIOLATION, "ConsumerTooSlow")
    except (TimeoutError, WebSocketDisconnect, OSError):
        log.info("subscriptions.dropped", why="ConsumerTooSlow")


async def _refuse(socket: WebSocket, error: XrpcError, code: int) -> None:
    try:
        await socket.send_bytes(changes.error_frame(error))
        await socket.close(code, error.error)
    except (WebSocketDisconnect, OSError, RuntimeError):
        return  # it is gone already

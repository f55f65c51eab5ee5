"""Those who must not disturb a search, in a process of their own: subscribers who only listen, and
slow clients of three kinds (a subscriber who never reads, one who reads an answer by the spoonful,
one who takes his time with a request).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from search_api.methods import SEARCH_DATASETS, SUBSCRIBE_CHANGES

SLOW = 20  # of each kind
_AT_ONCE = 50  # connections that are opened at a time
_SPOON, _PAUSE = 256, 0.5  # bytes and seconds
_ROOM = 4_096  # bytes that a slow reader's kernel takes for it
_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class State:
    """Who is there, and how many frames those who listen have taken."""

    subscribed: int
    frames: int
    slow: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """A connected one; its process answers at ``end``."""

    subscribers: int
    slow: int
    end: Connection

    def state(self) -> State:
        """How it is now."""
        self.end.send("state")
        state: State = self.end.recv()
        return state


@contextmanager
def crowd(port: int, subscribers: int) -> Iterator[Crowd]:
    """``subscribers`` who listen, and three times ``SLOW`` slow clients, while the block lasts."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(port, subscribers, theirs)
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(_READY_SECONDS):
            raise TimeoutError(f"{subscribers} subscribers: not there in {_READY_SECONDS:g} s")
        ours.recv()
        yield Crowd(subscribers, 3 * SLOW, ours)
    finally:
        with suppress(BrokenPipeError):  # it has ended by itself, and said why
            ours.send("end")
        process.join()


def _run(port: int, subscribers: int, end: Connection) -> None:
    asyncio.run(_People(port).until_ended(subscribers, end))


class _People:
    """All of them on one loop."""

    def __init__(self, port: int) -> None:
        self._port, self._url = port, f"ws://127.0.0.1:{port}/xrpc/{SUBSCRIBE_CHANGES}"
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._subscribed, self._slow, self._frames = 0, 0, 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def until_ended(self, subscribers: int, end: Connection) -> None:
        for _ in range(subscribers):
            self._start(self._listen())
        for _ in range(SLOW):
            self._start(self._slowly(self._subscribe_and_sleep()))
            self._start(self._slowly(self._sip()))
            self._start(self._slowly(self._stammer()))
        while self._subscribed < subscribers or self._slow < 3 * SLOW:
            await asyncio.sleep(0.05)  # whoever waits for us has a time limit
        end.send("ready")
        while await asyncio.to_thread(end.recv) != "end":
            end.send(State(self._subscribed, self._frames, self._slow))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, task: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(task))

    async def _connected(self, query: str) -> ClientConnection:
        async with self._gate:
            return await connect(self._url + query, compression=None, open_timeout=None)

    async def _listen(self) -> None:
        socket = await self._connected("")
        await socket.recv()  # says which index this is
        self._subscribed += 1
        try:
            async for _ in socket:
                self._frames += 1
        finally:
            self._subscribed -= 1

    async def _slowly(self, task: Coroutine[Any, Any, None]) -> None:
        self._slow += 1
        try:
            await task
        except (OSError, ConnectionClosed):
            return
        finally:
            self._slow -= 1

    async def _subscribe_and_sleep(self) -> None:
        """From the first change on, of which there are more than fit in between."""
        socket = await self._connected("?cursor=0")
        await socket.wait_closed()

    async def _sip(self) -> None:
        loop, request = asyncio.get_running_loop(), self._request("limit=100")
        while True:
            with self._socket() as client:
                await loop.sock_connect(client, ("127.0.0.1", self._port))
                await loop.sock_sendall(client, request)
                while await loop.sock_recv(client, _SPOON):
                    await asyncio.sleep(_PAUSE)

    async def _stammer(self) -> None:
        loop, request = asyncio.get_running_loop(), self._request("limit=1")
        while True:
            with self._socket() as client:
                await loop.sock_connect(client, ("127.0.0.1", self._port))
                for at in range(len(request)):
                    await loop.sock_sendall(client, request[at : at + 1])
                    await asyncio.sleep(_PAUSE)

    def _request(self, query: str) -> bytes:
        path = f"/xrpc/{SEARCH_DATASETS}?{query}"
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    def _socket(self) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        client.setblocking(False)
        return client

"""The intake in a process of its own: receiving and screening take no time from the writer.

Rule: the child owns sockets, screens and queue, and nothing that lasts. What it is told goes over
one private pair of sockets, in order: cursors and new repos always before what they are needed for.
If the child ends, another one begins at the cursors; what was under way comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import structlog

from indexer import intake_wire as wire
from indexer.intake import Cursor, IntakeSettings, Orders, SourceLink, Waiting
from indexer.received import Item, Taken, frames_of
from indexer.subscribe import Link
from indexer.tracked import Tracked

_AGAIN_SECONDS = 1.0
_END_SECONDS = 3.0
_CONNECTIONS = 1_000_000  # no child makes so many

log = structlog.get_logger(__name__)


class IsolatedIntake:
    """As ``LocalIntake``, with the system's clock."""

    def __init__(self, settings: IntakeSettings, cursor: Cursor, tracked: Tracked) -> None:
        self._settings, self._cursor, self._tracked = settings, cursor, tracked
        self._children = 0
        self._told = 0  # how many of the tracked repos the child knows
        self._channel: wire.Channel | None = None
        self._connected = asyncio.Event()
        self._answers: asyncio.Queue[tuple[int, wire.Answer] | None] = asyncio.Queue()
        self._asked = False
        self._links: Sequence[SourceLink] = [
            SourceLink(url, Link.CONNECTING, 0, 0, None) for url in settings.sources
        ]
        self._halted: dict[str, str] = {}
        self._waiting = Waiting()
        self._taken: Sequence[Item] = ()

    @property
    def links(self) -> Sequence[SourceLink]:
        return self._links

    @property
    def waiting(self) -> Waiting:
        return self._waiting

    async def run(self) -> None:
        """Until cancelled: one child after the other."""
        while True:
            child, channel = await self._start()
            try:
                while (answer := await channel.receive()) is not None:
                    self._answers.put_nowait((self._children, wire.answer_of(answer)))
            finally:
                self._connected.clear()
                self._channel = None
                channel.close()
                await _end(child)
            if self._asked and self._answers.empty():
                self._answers.put_nowait(None)  # nobody else will answer
            log.error("the receiving process ended", status=child.returncode)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def take(self, rest: float, timeout: float) -> Taken:
        await self._connected.wait()
        if not self._asked:
            self._tell(wire.Take(rest, timeout))
            self._asked = True
        answer = await self._answers.get()
        self._asked = False
        if answer is None:  # the child is gone
            return Taken((), {})
        generation, given = answer
        self._links, self._waiting = given.links, given.waiting
        self._taken = given.taken.items
        return replace(given.taken, generation=generation)

    def obey(self, orders: Orders) -> None:
        self._halted.update(orders.halt)
        self._tell(wire.Obey(orders))

    def settle(self) -> None:
        taken, self._taken = self._taken, ()
        done = Counter[str]()
        for item in taken:
            done[item.source] += frames_of(item)
        self._links = [
            replace(link, unsettled=max(0, link.unsettled - done[link.url])) for link in self._links
        ]
        self.refresh()
        self._tell(wire.Settle(self._cursors()))

    def refresh(self) -> None:
        if len(self._tracked) > self._told:
            added = self._tracked.since(self._told)
            self._told += len(added)
            self._tell(wire.Track(list(added)))

    def _cursors(self) -> dict[str, int | None]:
        return {url: self._cursor(url) for url in self._settings.sources}

    def _tell(self, message: wire.Order) -> None:
        """A child that is not there will be told all that counts when it starts."""
        if self._channel is not None:
            self._channel.send(wire.packed(message))

    async def _start(self) -> tuple[Process, wire.Channel]:
        ours, theirs = socket.socketpair()
        with theirs:
            command = (sys.executable, "-m", "indexer.intake_process", str(theirs.fileno()))
            child = await create_subprocess_exec(
                *command, stdin=DEVNULL, pass_fds=(theirs.fileno(),)
            )
        channel = await wire.Channel.over(ours)
        known = self._tracked.since(0)
        self._told = len(known)
        number = self._children * _CONNECTIONS
        self._children += 1
        start = wire.Start(self._settings, number, self._cursors(), list(known))
        channel.send(wire.packed(start))
        channel.send(wire.packed(wire.Obey(Orders(self._halted, frozenset(), frozenset()))))
        self._channel = channel
        self._connected.set()
        return child, channel


async def _end(child: Process) -> None:
    """It ends by itself when its socket is closed; one that does not is killed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await child.wait()
    if child.returncode is None:
        child.kill()
        await child.wait()

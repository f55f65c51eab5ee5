"""All that is before the writer: sockets, screens, and the queue, in one event loop.

Rule: the writer takes a run of items, and settles it when all of it is durable or known not to
matter. Until then nothing of it is forgotten, and no source is connected to anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from indexer.frame_queue import FrameQueue
from indexer.queues import Depths, Queue
from indexer.received import Item, Taken
from indexer.screen import Screen
from indexer.subscribe import Link, Patience, Receiver, Subscription
from indexer.tracked import Tracked

Cursor = Callable[[str], int | None]


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """The part of the configuration that the intake needs; see ``indexer/config``."""

    sources: tuple[str, ...]
    from_oldest: bool
    dev: bool
    receiver: str
    batch_events: int
    queue_frames: int
    queue_bytes: int
    spill_bytes: int
    spill_folder: str
    spare_bytes: int
    ping_seconds: float
    backoff_seconds: float
    backoff_max_seconds: float


@dataclass(frozen=True, slots=True)
class SourceLink:
    """The connection to one source. ``unsettled`` counts the frames that were handed over and are
    not settled; ``halted_because`` is None while it is followed."""

    url: str
    link: Link
    connections: int
    unsettled: int
    halted_because: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is before the writer: items, bytes in memory; of the items those in the file for repos
    that flood, and its bytes; of how many repos; and repos with something under way."""

    items: int = 0
    bytes: int = 0
    spilled: int = 0
    spilled_bytes: int = 0
    lanes: int = 0
    under_way: int = 0

    @property
    def depths(self) -> Depths:
        return {
            Queue.FRAMES: self.items - self.spilled,
            Queue.FRAME_BYTES: self.bytes,
            Queue.SPILLED_FRAMES: self.spilled,
            Queue.SPILL_BYTES: self.spilled_bytes,
            Queue.LANES: self.lanes,
            Queue.UNDER_WAY: self.under_way,
        }


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to become of connections, by URL; ``halt`` says why."""

    halt: Mapping[str, str]
    slow_down: frozenset[str]
    reconnect: frozenset[str]


class Intake(Protocol):
    """One reader at a time: ``take``, ``obey`` what follows from it, ``settle``."""

    async def run(self) -> None:
        """Follow the sources, until cancelled."""

    async def take(self, rest: float, timeout: float) -> Taken:
        """A run of items. Waits ``rest`` seconds for a full one, then up to ``timeout`` for any."""

    def obey(self, orders: Orders) -> None:
        """Change connections."""

    def settle(self) -> None:
        """What was taken last is done with."""

    def refresh(self) -> None:
        """More repos may be tracked now."""

    @property
    def links(self) -> Sequence[SourceLink]: ...

    @property
    def waiting(self) -> Waiting: ...


class LocalIntake:
    """In the process that runs it. ``cursor`` tells how far a source is processed, ``tracked``
    which repos are followed; ``clock`` gives microseconds since 1970. Connections are numbered
    above ``numbered_from``."""

    def __init__(
        self,
        settings: IntakeSettings,
        cursor: Cursor,
        tracked: Tracked,
        clock: Callable[[], int],
        *,
        numbered_from: int = 0,
    ) -> None:
        self._settings, self._cursor, self._clock = settings, cursor, clock
        self._tracked, self._numbered_from = tracked, numbered_from
        self._queue = FrameQueue(
            max_frames=settings.queue_frames,
            max_bytes=settings.queue_bytes,
            spill_bytes=settings.spill_bytes,
            spare_bytes=settings.spare_bytes,
            folder=Path(settings.spill_folder),
        )
        self._subscriptions = {url: self._subscription(url) for url in settings.sources}
        self._taken: Sequence[Item] = ()

    async def run(self) -> None:
        """Until cancelled. Sources that are halted end quietly."""
        tasks = [asyncio.create_task(s.run()) for s in self._subscriptions.values()]
        try:
            await asyncio.gather(*tasks)
            await asyncio.get_running_loop().create_future()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._queue.close()

    async def take(self, rest: float, timeout: float) -> Taken:
        await self._queue.gather(self._settings.batch_events, rest)
        taken = await self._queue.take(self._settings.batch_events, timeout)
        self._taken = taken.items
        return taken

    def obey(self, orders: Orders) -> None:
        for url, why in orders.halt.items():
            self._subscriptions[url].halt(why)
        for url in orders.slow_down:
            self._subscriptions[url].slow_down()
        for url in orders.reconnect:
            self._subscriptions[url].reconnect()

    def settle(self) -> None:
        taken, self._taken = self._taken, ()
        for url, subscription in self._subscriptions.items():
            subscription.settle([item for item in taken if item.source == url])

    def refresh(self) -> None:
        """The screens ask ``tracked`` itself."""

    @property
    def links(self) -> Sequence[SourceLink]:
        return [
            SourceLink(s.url, s.link, s.connections, s.unsettled, s.halted_because)
            for s in self._subscriptions.values()
        ]

    @property
    def waiting(self) -> Waiting:
        queue = self._queue
        return Waiting(
            items=queue.frames,
            bytes=queue.bytes,
            spilled=queue.spilled,
            spilled_bytes=queue.spilled_bytes,
            lanes=queue.lanes,
            under_way=sum(source.under_way for source in self._subscriptions.values()),
        )

    def _subscription(self, url: str) -> Subscription:
        settings = self._settings
        first = 0 if settings.from_oldest else None

        def cursor() -> int | None:
            reached = self._cursor(url)
            return first if reached is None else reached

        return Subscription(
            url,
            self._queue,
            cursor=cursor,
            clock=self._clock,
            dev=settings.dev,
            patience=Patience(
                ping=settings.ping_seconds,
                backoff=settings.backoff_seconds,
                backoff_max=settings.backoff_max_seconds,
            ),
            receiver=Receiver(settings.receiver),
            screen=Screen(url, self._tracked),
            numbered_from=self._numbered_from,
        )

"""Which repo is fetched when: the queue of those that are not synced.

The queue is durable: it is ``sync_state`` in the database, and only the order and the pauses are
kept here. Rules protected here: a few fetches at once in total and per host, so that one slow host
delays nobody else; a host that asks to be left alone is; a failure doubles the pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from atdata.network.identity import Identity
from indexer.queues import Depths, Queue
from indexer.repos import Failed, RepoClient
from indexer.threads import in_thread
from indexer.turns import Answer, Result, Turns

T = TypeVar("T")

_MAX_DOUBLINGS = 20


class InWriter(Protocol):
    """Runs work in the writer's thread."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class ResyncLimits:
    """Fetches at once, in total and per host; seconds before the second attempt, and at most
    before any."""

    total: int = 8
    per_host: int = 2
    backoff: float = 1.0
    backoff_max: float = 900.0


@dataclass(slots=True)
class _Host:
    """A PDS: fetches under way, those that wait for their place, and until when it wants none."""

    running: int = 0
    waiting: deque[str] = field(default_factory=deque)
    closed_until: float = 0.0


class Resyncer:
    """Of one event loop. ``clock`` gives microseconds since 1970."""

    def __init__(
        self,
        client: RepoClient,
        turns: Turns,
        in_writer: InWriter,
        clock: Callable[[], int],
        limits: ResyncLimits | None = None,
    ) -> None:
        self._client, self._turns, self._in_writer = client, turns, in_writer
        self._clock = clock
        self._limits = limits or ResyncLimits()
        self._due: list[tuple[float, str]] = []
        self._queued: dict[str, float] = {}
        self._attempts: Counter[str] = Counter()
        self._hosts: dict[str, _Host] = {}
        self._host_of: dict[str, str] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._repeat: set[str] = set()
        self._changed = asyncio.Event()
        self.synced = 0
        """How many repos were fetched and synced since the start."""

    @property
    def pending(self) -> int:
        """How many repos wait to be fetched, or are being fetched."""
        return len(self._queued) + len(self._running)

    @property
    def depths(self) -> Depths:
        """What is to be fetched, and what is being fetched. From any thread."""
        return {
            Queue.RESYNC: len(self._queued),
            Queue.HOSTS: sum(len(host.waiting) for host in tuple(self._hosts.values())),
            Queue.FETCHES: len(self._running),
            Queue.AGAIN: len(self._repeat),
        }

    def queue(self, dids: Iterable[str]) -> None:
        """Fetch ``dids`` soon, whatever was tried before, and from wherever they live by now."""
        for did in dids:
            self._host_of.pop(did, None)
            if did in self._running:
                self._repeat.add(did)
            else:
                self._attempts.pop(did, None)
                self._schedule(did, 0.0)

    async def run(self) -> None:
        """Until cancelled. Raises ``StoreError``."""
        try:
            while True:
                self._reap()
                pause = self._start_due()
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _reap(self) -> None:
        for did in [did for did, task in self._running.items() if task.done()]:
            self._running.pop(did).result()
            if did in self._repeat:
                self._repeat.discard(did)
                self.queue([did])

    # --- order ----------------------------------------------------------------------------------

    def _schedule(self, did: str, pause: float) -> None:
        at = asyncio.get_running_loop().time() + pause
        if at < self._queued.get(did, float("inf")):
            self._queued[did] = at
            heapq.heappush(self._due, (at, did))
            self._changed.set()

    def _start_due(self) -> float | None:
        """Start what is due and has a place. Returns seconds until the next is due, None if
        nothing is, or no place is free."""
        now = asyncio.get_running_loop().time()
        while self._due and len(self._running) < self._limits.total:
            at, did = self._due[0]
            if self._queued.get(did) != at:
                heapq.heappop(self._due)  # it was scheduled anew
            elif at > now:
                return at - now
            else:
                heapq.heappop(self._due)
                del self._queued[did]
                self._place(did, now)
        return None

    def _place(self, did: str, now: float) -> None:
        """Start ``did``, or let it wait for its host."""
        name = self._host_of.get(did, "")
        host = self._hosts.setdefault(name, _Host())
        if host.closed_until > now:
            self._schedule(did, host.closed_until - now)
        elif name and host.running >= self._limits.per_host:
            self._queued[did] = float("inf")
            host.waiting.append(did)
        else:
            host.running += 1
            task = asyncio.create_task(self._fetch(did, name))
            self._running[did] = task
            task.add_done_callback(lambda _: self._changed.set())

    def _leave(self, name: str) -> None:
        """A place of the host is free again."""
        host = self._hosts[name]
        host.running -= 1
        while host.waiting:
            did = host.waiting.popleft()
            if self._queued.get(did) == float("inf"):
                self._schedule(did, 0.0)
                return
        if not host.running and host.closed_until <= asyncio.get_running_loop().time():
            del self._hosts[name]

    # --- one repo -------------------------------------------------------------------------------

    async def _fetch(self, did: str, name: str) -> None:
        try:
            state = await self._in_writer(lambda: self._turns.begin(did))
            if state is None:
                self._forget(did)
                return
            answer = await self._answer(did, name)
            if answer is None:
                await self._in_writer(lambda: self._turns.abandon(did))
                self._schedule(did, 0.0)
                return
            result = await self._in_writer(lambda: self._turns.end(did, answer, self._clock()))
            self._after(did, result)
        finally:
            self._leave(name)

    async def _answer(self, did: str, name: str) -> Answer | None:
        """None if the repo turns out to be at a host that has no place for it now."""
        identity = await in_thread(lambda: self._client.locate(did))
        if isinstance(identity, Failed):
            return identity
        host = str(identity.pds)
        if host == name:
            return await self._ask(identity, host)
        self._host_of[did] = host
        if name or self._is_full(host):
            return None
        self._hosts.setdefault(host, _Host()).running += 1
        try:
            return await self._ask(identity, host)
        finally:
            self._leave(host)

    async def _ask(self, identity: Identity, name: str) -> Answer:
        """A host that wants to be left alone is, from its answer on: before its place is free."""
        answer: Answer = await in_thread(lambda: self._client.fetch(identity))
        if isinstance(answer, Failed) and answer.retry_after is not None:
            host, now = self._hosts[name], asyncio.get_running_loop().time()
            host.closed_until = max(host.closed_until, now + answer.retry_after)
        return answer

    def _is_full(self, name: str) -> bool:
        host = self._hosts.get(name)
        now = asyncio.get_running_loop().time()
        return host is not None and (
            host.running >= self._limits.per_host or host.closed_until > now
        )

    def _after(self, did: str, result: Result) -> None:
        if result in (Result.SYNCED, Result.SETTLED):
            self.synced += result is Result.SYNCED
            self._forget(did)
            return
        attempts = min(self._attempts[did], _MAX_DOUBLINGS)
        self._attempts[did] += 1
        pause = min(self._limits.backoff_max, self._limits.backoff * 2**attempts)
        if result is Result.AGAIN and attempts < 3:
            pause = 0.0
        self._schedule(did, pause * (0.5 + random.random() / 2))  # noqa: S311

    def _forget(self, did: str) -> None:
        self._attempts.pop(did, None)
        self._host_of.pop(did, None)

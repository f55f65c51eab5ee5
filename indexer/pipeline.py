"""The indexer: sources, queue, and the one writer, run until told to stop.

Rules protected here: everything in flight is either durable or will be sent again; the writer works
in its own thread, so that sockets are answered while it verifies and writes; our own corruption
ends the run with ``StoreError``, bad upstream data never does (invariant 7).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import duckdb
import structlog
from prometheus_client import CollectorRegistry

from atdata.network.identity import Resolver
from indexer.batch import Position
from indexer.config import IndexerConfig
from indexer.intake import Cursor, Intake, LocalIntake, Orders, SourceLink
from indexer.isolated import IsolatedIntake
from indexer.keeper import Keeper
from indexer.lag import Lags
from indexer.listing import Lister
from indexer.machine import microseconds
from indexer.metrics import Metrics
from indexer.parked import Parked
from indexer.processor import Outcome, Processor
from indexer.proofs import Prover
from indexer.quarantine import QuarantineLimits
from indexer.queues import Depths, Queue
from indexer.received import Taken
from indexer.repos import RepoClient
from indexer.resync import Resyncer
from indexer.snapshots import folder_of
from indexer.store import Store
from indexer.subscribe import Link
from indexer.sweep import Sweeper, SweepState
from indexer.tracked import Tracked
from indexer.turns import Turns

Result = TypeVar("Result")
MakeIntake = Callable[[Cursor, Tracked], Intake]

_QUIET_US = 5_000_000  # a source that sent nothing for so long has sent what it had
_LATE_US = 300_000_000  # a source whose events are older than this is being caught up with

_NOTHING = Taken((), {})

# How long the writer rests: so many times what the last transaction took, at most these seconds.
_REST = 3.0, 0.1
_REST_BEHIND = 20.0, 1.0  # while old events are caught up with, nobody waits for a row

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SourceState:
    """One firehose as it is now. ``cursor`` is durable; times are microseconds since 1970;
    ``halted_because`` is None while it is followed."""

    url: str
    link: Link
    connections: int
    cursor: int | None
    event_time: int | None
    seen_at: int | None
    halted_because: str | None


@dataclass(frozen=True, slots=True)
class IndexerStatus:
    """What the indexer is doing: sources, the queue before the writer, and what is stored.
    ``resyncing`` counts the repos that wait to be fetched, or are being fetched,
    ``resynced`` those that were, since the start; ``sweep`` is the last one that ended."""

    sources: tuple[SourceState, ...]
    queue_frames: int
    queue_bytes: int
    repos: int
    resyncing: int
    resynced: int
    sweep: SweepState
    changes: int
    quarantined: int
    drops: dict[str, int]


class Indexer:
    """Give it a connection that nothing else writes through; ``run`` it in an event loop.

    ``clock`` gives microseconds since 1970. ``registry`` is where its metrics appear. ``intake``
    makes what frames come from, where that is not the sockets of ``config.sources``.
    """

    def __init__(
        self,
        config: IndexerConfig,
        connection: duckdb.DuckDBPyConnection,
        resolver: Resolver,
        *,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], int] = microseconds,
        intake: MakeIntake | None = None,
    ) -> None:
        self._config, self._clock = config, clock
        self._metrics = Metrics(CollectorRegistry() if registry is None else registry)
        limits = QuarantineLimits(
            config.quarantine_rows, config.quarantine_bytes, config.invalid_bytes
        )
        self._store = Store(
            connection,
            limits=limits,
            free_bytes=config.free_bytes,
            changes_kept=config.changes_kept,
            on_applied=self._metrics.applied,
        )
        self._provers = ThreadPoolExecutor(config.identity_threads, "prove")
        self._writer = ThreadPoolExecutor(1, "write")
        prover = Prover(resolver, clock)
        self._turns = turns = Turns(self._store)
        self._processor = Processor(
            self._store,
            prover,
            self._provers,
            self._metrics,
            turns,
            longest_pause=int(config.gap_seconds * 1e6),
        )
        client = RepoClient(resolver.http, resolver, clock, config.repo_limits)
        self._resyncer = Resyncer(client, turns, self._in_writer, clock, config.resync_limits)
        make = self._default_intake if intake is None else intake
        self._intake = make(self._processor.cursor, self._store.tracked)
        self._sweeper = Sweeper(
            config.sources,
            Lister(resolver.http, config.list_repos),
            client,
            turns,
            self._resyncer,
            self._in_writer,
            is_connected=self._is_connected,
            is_current=self._is_current,
            on_done=self._processor.swept,
            clock=clock,
            limits=config.sweep_limits,
        )
        self._parked = Parked(
            self._store,
            self._processor,
            resolver,
            self._in_writer,
            self._follow,
            config.parked_seconds,
        )
        self._keeper = Keeper(
            connection,
            folder_of(config.db),
            turns,
            self._in_writer,
            clock,
            seconds=config.snapshot_seconds,
            keep=config.snapshots,
            spare=config.spare_bytes,
        )
        self._jobs = 0
        self._lags = Lags()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch()

    def _watch(self) -> None:
        """What the metrics ask for when they are read."""
        metrics, store = self._metrics, self._store
        metrics.repos.set_function(lambda: store.repo_count)
        metrics.resyncing.set_function(lambda: self._resyncer.pending)
        limits = self._config.queue_limits
        metrics.watch(self._depths, limits, lambda: store.quarantine.reasons)
        metrics.watch_sources(self._seconds_behind, self._connected)

    async def run(self) -> None:
        """Follow all sources until ``stop``. Once only. Raises ``StoreError`` when the database
        fails; what was not written by then is sent again at the next start."""
        self._loop = asyncio.get_running_loop()
        receivers = [asyncio.create_task(self._intake.run())]
        self._resyncer.queue(s.did for s in self._store.repos() if s.wants_resync)
        receivers.append(asyncio.create_task(self._resyncer.run()))
        receivers.append(asyncio.create_task(self._parked.run()))
        receivers.append(asyncio.create_task(self._keeper.run()))
        if self._config.sweep:
            if self._processor.has_gaps:
                self._sweeper.request()
            receivers.append(asyncio.create_task(self._sweeper.run()))
        for receiver in receivers:
            receiver.add_done_callback(self._on_receiver_done)
        try:
            await self._write_until_stopped()
            await self._in_writer(self._processor.flush)
        finally:
            for receiver in receivers:
                receiver.cancel()
            ended = await asyncio.gather(*receivers, return_exceptions=True)
            self._writer.shutdown()
            self._provers.shutdown(cancel_futures=True)
            self._store.close()
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure

    def stop(self) -> None:
        """End ``run`` soon and cleanly. From any thread, any number of times."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        else:
            self._stopping.set()

    def status(self) -> IndexerStatus:
        """A snapshot. From any thread."""
        return IndexerStatus(
            sources=tuple(map(self._state, self._intake.links)),
            queue_frames=self._intake.waiting.items,
            queue_bytes=self._intake.waiting.bytes,
            repos=self._store.repo_count,
            resyncing=self._resyncer.pending,
            resynced=self._resyncer.synced,
            sweep=self._sweeper.state,
            changes=self._store.change,
            quarantined=self._store.quarantined,
            drops=self._store.drops,
        )

    def _default_intake(self, cursor: Cursor, tracked: Tracked) -> Intake:
        settings = self._config.intake
        if self._config.isolate:
            return IsolatedIntake(settings, cursor, tracked)
        return LocalIntake(settings, cursor, tracked, self._clock)

    # --- the writer -----------------------------------------------------------------------------

    async def _write_until_stopped(self) -> None:
        flushed, pause = time.monotonic(), 0.0
        while not self._stopping.is_set():
            # A transaction costs the same for one commit as for many: under load the writer rests
            # between two of them, in proportion to what the last one took.
            taken, started = await self._next(pause), time.monotonic()
            if taken.items:
                await self._process(taken)
            times, longest = _REST_BEHIND if self._is_behind() else _REST
            pause = min(times * (time.monotonic() - started), longest)
            if not taken.items or time.monotonic() - flushed >= self._config.flush_seconds:
                await self._in_writer(self._processor.flush)
                flushed = time.monotonic()
            self._measure()

    async def _next(self, rest: float) -> Taken:
        """What waits after a ``rest``; nothing after ``flush_seconds``, or when told to stop."""
        taking = asyncio.create_task(self._intake.take(rest, self._config.flush_seconds))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((taking, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not taking.done():
                taking.cancel()
        return taking.result() if taking.done() else _NOTHING

    async def _process(self, taken: Taken) -> None:
        with self._metrics.batch_seconds.time():
            outcome: Outcome = await self._in_writer(
                lambda: self._processor.process(taken.items, taken.held, taken.generation)
            )
        await self._follow(outcome)
        self._intake.settle()

    async def _follow(self, outcome: Outcome) -> None:
        """Do what follows from a run of frames."""
        self._resyncer.queue(outcome.resync)
        if outcome.gap:
            self._sweeper.request()
        if outcome.halt or outcome.slow_down or outcome.reconnect:
            self._intake.obey(
                Orders(outcome.halt, frozenset(outcome.slow_down), frozenset(outcome.reconnect))
            )

    async def _in_writer(self, work: Callable[[], Result]) -> Result:
        self._jobs += 1
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._writer, work)
        finally:
            self._jobs -= 1
        self._intake.refresh()
        return result

    # --- sources --------------------------------------------------------------------------------

    def _on_receiver_done(self, receiver: asyncio.Task[None]) -> None:
        """A halted source ends quietly; anything else is a fault of ours and ends the run."""
        if not receiver.cancelled() and receiver.exception() is not None:
            self._stopping.set()

    def _is_connected(self, url: str) -> bool:
        return any(link.url == url and link.link is Link.CONNECTED for link in self._intake.links)

    def _state(self, link: SourceLink) -> SourceState:
        position = self._store.position(link.url)
        return SourceState(
            url=link.url,
            link=link.link,
            connections=link.connections,
            cursor=None if position is None else position.cursor,
            event_time=None if position is None else position.event_time,
            seen_at=None if position is None else position.seen_at,
            halted_because=link.halted_because,
        )

    def _is_current(self) -> bool:
        """Whether what the sources sent is processed, and what came last was not old."""
        positions = [self._store.position(url) for url in self._config.sources]
        return self._intake.waiting.items == 0 and all(
            position is None
            or position.seen_at is None
            or self._clock() - position.seen_at > _QUIET_US
            or position.seen_at - (position.event_time or 0) < _LATE_US
            for position in positions
        )

    def _is_behind(self) -> bool:
        """Whether what came last from some source is old."""
        positions = [self._store.position(url) for url in self._config.sources]
        return any(
            position is not None and (position.seen_at or 0) - (position.event_time or 0) > _LATE_US
            for position in positions
        )

    def _depths(self) -> Depths:
        """What waits now. From any thread."""
        return {
            **self._intake.waiting.depths,
            **self._turns.depths,
            **self._resyncer.depths,
            **self._parked.depths,
            **self._store.depths,
            Queue.SWEEP: self._sweeper.asking,
            Queue.WRITER: self._jobs,
            Queue.PROVING: self._processor.proving,
        }

    def _measure(self) -> None:
        for link in self._intake.links:
            state = self._state(link)
            self._metrics.unsettled.labels(state.url).set(link.unsettled)
            self._metrics.cursor.labels(state.url).set(state.cursor or 0)
        self._seconds_behind()  # so that the last time when a source was level is known

    def _seconds_behind(self) -> dict[str, float]:
        """By source, where it is known. From any thread."""
        found: dict[str, float] = {}
        for link in self._intake.links:
            position = self._store.position(link.url) or Position(link.url, 0)
            level = link.link is Link.CONNECTED and not link.unsettled
            seconds = self._lags.of(position, self._clock(), level=level)
            if seconds is not None:
                found[link.url] = seconds
        return found

    def _connected(self) -> dict[str, bool]:
        return {link.url: link.link is Link.CONNECTED for link in self._intake.links}

"""From a run of frames to one transaction: read, screen, prove, decide, write.

Rules protected here: every frame ends as effects, as a named drop, or as noise that moves the
cursor (invariants 1 and 6); repos are proved side by side, but decided in the order of arrival; the
last word on a record belongs to the highest rev, whichever source brought it (invariant 3).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import structlog

from atdata.protocol.namespaces import kind_of
from indexer import events, frames
from indexer.batch import DETAIL_CHARS, Batch, Position, SyncState
from indexer.decide import Origin, Profile, Proof, on_account, on_commit, on_identity, on_sync
from indexer.drops import Drop, DropReason, InvalidEvent
from indexer.gaps import healed, outdated, with_gap
from indexer.metrics import Metrics
from indexer.proofs import Evidence, Provable, Prover, Said
from indexer.quarantine import Kept, id_of
from indexer.received import Item, Passed, Received
from indexer.store import Store
from indexer.stream import Stream
from indexer.turns import Turns
from indexer.verify import Rejected, VerifiedCommit
from indexer.watermark import Watermark

_REMEMBERED_FRAMES = 1_000

_MESSAGE = 1
_NOTHING: Mapping[str, int] = MappingProxyType({})
_REPO_TYPES = frozenset({"#commit", "#sync", "#identity", "#account"})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Outcome:
    """What the sources are to be told after a run of frames, by URL."""

    reconnect: set[str] = field(default_factory=set)
    slow_down: set[str] = field(default_factory=set)
    halt: dict[str, str] = field(default_factory=dict)
    resync: set[str] = field(default_factory=set)
    """DIDs of repos that have to be fetched since this run."""
    gap: bool = False
    """A source did not replay all that was missed."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The evidence on one repo, its proofs to be taken in the order of its events; ``whole``:
    everybody who had to be asked did answer."""

    proofs: Iterator[Proof]
    profile: Profile | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that has to be decided, and the frame that it came in."""

    received: Received
    event: events.Event


class Processor:
    """Synchronous: runs in the writer's thread. ``pool`` is for proving repos side by side."""

    def __init__(
        self,
        store: Store,
        prover: Prover,
        pool: Executor,
        metrics: Metrics,
        turns: Turns,
        longest_pause: int,
    ) -> None:
        """``longest_pause`` between two events is no gap; in microseconds."""
        self._store, self._prover, self._pool, self._metrics = store, prover, pool, metrics
        self._turns, self._longest_pause = turns, longest_pause
        self._streams: dict[str, Stream] = {}
        self._generation = 0
        self._bad_frames: OrderedDict[bytes, None] = OrderedDict()
        self.proving = 0
        """How many repos are being proved by the pool."""

    def cursor(self, url: str) -> int | None:
        """How far ``url`` is processed; None if nothing of it ever was."""
        return self._stream(url).watermark.value or None

    def process(
        self, received: Sequence[Item], held: Mapping[str, int] = _NOTHING, generation: int = 0
    ) -> Outcome:
        """Take ``received``, in order, to the end: durable when this returns, unless all of it was
        noise (then ``flush`` writes the cursor). ``held``: the lowest seq that still waits, by
        source. Nothing of a ``generation`` before waits any more. Raises ``StoreError``."""
        if generation != self._generation:
            self._generation = generation
            for stream in self._streams.values():
                stream.restart()
        outcome, batch = Outcome(), self._store.batch()
        with self._metrics.stage("decode"):
            arrivals = self._read(received, batch, outcome)
        with self._metrics.prove_seconds.time(), self._metrics.stage("verify"):
            evidence = self._prove(arrivals)
        with self._metrics.stage("decide"):
            for arrival in arrivals:
                self._decide(arrival, batch, evidence, outcome)
        for url, stream in self._streams.items():
            stream.settle(held.get(url))
        outcome.resync |= self._newly_wanting(batch)
        if batch.has_effects:
            self._write(batch)
        return outcome

    def reexamine(self, kept: Sequence[Kept]) -> Outcome:
        """Judge events of the quarantine again, as if they came now, in the order in which they
        did: commits, syncs and those of accounts. What is dropped for the same reason stays, and so
        does all of a repo while something of it can't be judged. A repo of which nothing was known
        is to be fetched: what came meanwhile was not kept. Raises ``StoreError``."""
        outcome, batch = Outcome(), self._store.batch()
        arrivals: dict[int, Arrival] = {}
        dids: dict[int, str] = {}
        for item in sorted(kept, key=lambda item: (item.kept_at, item.seq or 0, item.id)):
            try:
                event = frames.parse(item.frame)
            except InvalidEvent:
                continue  # as unreadable as before
            if isinstance(event, events.Commit | events.Sync | events.Account):
                received = Received(item.source, 0, item.frame, item.kept_at)
                arrivals[item.id], dids[item.id] = Arrival(received, event), event.did
        findings = self._prove(tuple(arrivals.values()))
        for row, arrival in arrivals.items():
            if findings[dids[row]].whole:
                batch.release(row)
                self._decide(arrival, batch, findings, outcome)
        batch.keep_released(id_of)
        for did, state in tuple(batch.repos.items()):
            before = self._store.repo(did)
            if state.sync_state is SyncState.SYNCED and (before is None or before.rev is None):
                batch.set_repo(replace(state, sync_state=SyncState.NEW))
        outcome.resync |= self._newly_wanting(batch)
        if batch.has_effects:
            self._write(batch)
        return outcome

    def swept(self, listed: Collection[str], started: int, at: int) -> None:
        """All that the sources in ``listed`` list was compared, beginning at ``started``; both in
        microseconds since 1970. Raises ``StoreError``."""
        for url in listed:
            stream = self._stream(url)
            stream.last = healed(stream.last, started, at)
        self.flush()

    @property
    def has_gaps(self) -> bool:
        """Whether some source once missed events, and no sweep was made since."""
        positions = self._store.positions
        return any(gap.healed_at is None for position in positions for gap in position.gaps)

    def flush(self) -> None:
        """Write how far every source is processed. Raises ``StoreError``."""
        self._write(self._store.batch())

    def _newly_wanting(self, batch: Batch) -> set[str]:
        before = {did: self._store.repo(did) for did in batch.repos}
        return {
            did
            for did, state in batch.repos.items()
            if state.wants_resync and not ((old := before[did]) is not None and old.wants_resync)
        }

    def _write(self, batch: Batch) -> None:
        for stream in self._streams.values():
            position = stream.position()
            if position.cursor and position != self._store.position(stream.url):
                batch.advance(position)
        if not batch.has_effects and not batch.positions:
            return
        with self._metrics.write_seconds.time(), self._metrics.stage("write"):
            self._store.apply(batch)
        for drop, _ in batch.quarantine:
            if drop.reason is DropReason.FORKED_REV:
                log.error("one rev, two trees", did=drop.did, source=drop.source, why=drop.detail)

    def _stream(self, url: str) -> Stream:
        if url not in self._streams:
            position = self._store.position(url) or Position(url, 0)
            position = replace(position, halted_because=None)  # it is tried again
            self._streams[url] = Stream(url, Watermark(position.cursor), position)
        return self._streams[url]

    # --- read and screen ------------------------------------------------------------------------

    def _read(self, received: Sequence[Item], batch: Batch, outcome: Outcome) -> list[Arrival]:
        """The events that may matter. All other frames are only noted in their stream."""
        arrivals: list[Arrival] = []
        candidates: set[str] = set()
        for item in received:
            stream = self._stream(item.source)
            count = item.frames if isinstance(item, Passed) else 1
            self._metrics.frames.labels(item.source).inc(count)
            if item.connection <= stream.distrusted:
                stream.skip(item.seq)
                continue
            if isinstance(item, Passed):
                self._note(stream, item, item.seq, item.time, outcome)
                self._metrics.screened.inc(item.frames)
                self._metrics.regressed.labels(item.source).inc(item.regressed)
                continue
            if item.oversized:
                detail = f"a message of more than {frames.MAX_FRAME} bytes"
                drop = Drop(DropReason.OVERSIZED_FRAME, detail, item.source, None, None, b"")
                batch.drop(drop, item.at, keep=False)
                continue
            try:
                event = self._screen(item, stream, candidates, outcome)
            except InvalidEvent as error:
                self._on_bad_frame(item, stream, error, batch, outcome)
                continue
            if event is not None:
                arrivals.append(Arrival(item, event))
        return arrivals

    def _note(
        self, stream: Stream, item: Item, seq: int, time: str | None, outcome: Outcome
    ) -> None:
        gap = stream.connected(item.connection, seq, time, self._longest_pause, item.at)
        outcome.gap = outcome.gap or gap
        stream.note(seq, time, item.at)

    def _screen(
        self, item: Received, stream: Stream, candidates: set[str], outcome: Outcome
    ) -> events.Event | None:
        """The event, or None for one that neither has an op in a collection of ours nor belongs to
        a tracked repo (or to one that may become tracked earlier in this run). Where a repo's first
        commit is parked, what is said of the account counts already."""
        if not frames.mentions_collection(item.frame):
            peek = frames.peek(item.frame)
            ours = peek.did is not None and (
                self._is_ours(peek.did, candidates)
                or (peek.t == "#account" and peek.did.encode() in self._store.tracked)
            )
            noise = peek.op == _MESSAGE and peek.t in _REPO_TYPES and not ours
            if noise and peek.seq is not None:
                self._note(stream, item, peek.seq, peek.time, outcome)
                self._metrics.screened.inc()
                return None
        event = frames.parse(item.frame)
        self._metrics.events.labels(type(event).__name__).inc()
        seq, time = getattr(event, "seq", None), getattr(event, "time", None)
        if seq is not None:
            self._note(stream, item, seq, time, outcome)
        if isinstance(event, events.Commit):
            if not (_touches_ours(event) or self._is_ours(event.did, candidates)):
                self._metrics.screened.inc()
                return None
            candidates.add(event.did)
        return event

    def _is_ours(self, did: str, candidates: set[str]) -> bool:
        return self._store.is_tracked(did) or did in candidates

    def _on_bad_frame(
        self, item: Received, stream: Stream, error: InvalidEvent, batch: Batch, outcome: Outcome
    ) -> None:
        """Keep the bytes. Where the stream's framing is in doubt, connect anew and read the same
        place again; the very same frame a second time is the source's own, and passed over."""
        drop = Drop(error.reason, error.detail, item.source, error.seq, error.did, item.frame)
        batch.drop(drop, item.at, keep=True)
        if error.seq is not None:
            stream.note(error.seq, None, item.at)
        elif not self._seen_before(item):
            stream.distrust(item.connection, item.seq)
            outcome.reconnect.add(item.source)

    def _seen_before(self, item: Received) -> bool:
        digest = hashlib.sha256(item.source.encode() + b"\0" + item.frame).digest()
        if digest in self._bad_frames:
            return True
        self._bad_frames[digest] = None
        if len(self._bad_frames) > _REMEMBERED_FRAMES:
            self._bad_frames.popitem(last=False)
        return False

    # --- prove and decide -----------------------------------------------------------------------

    def _prove(self, arrivals: Sequence[Arrival]) -> dict[str, Findings]:
        """Evidence for every repo that has something to prove. Where somebody must be asked it is
        gathered side by side."""
        by_repo: dict[str, list[Provable]] = {}
        for arrival in arrivals:
            if isinstance(arrival.event, events.Commit | events.Sync | events.Identity):
                by_repo.setdefault(arrival.event.did, []).append(arrival.event)
            elif isinstance(arrival.event, events.Account):
                said = Said(arrival.event, arrival.received.source)
                by_repo.setdefault(arrival.event.did, []).append(said)
        evidence: dict[str, Evidence] = {}
        asked: dict[str, Future[Evidence]] = {}
        for did, provable in by_repo.items():
            known = self._store.is_tracked(did)
            found = self._prover.prove_at_hand(did, provable, known=known)
            if found is not None:
                evidence[did] = found
            else:
                asked[did] = self._pool.submit(self._prover.prove, did, provable, known=known)
        self.proving = len(asked)
        for did, future in asked.items():
            evidence[did] = future.result()
            self.proving -= 1
        return {did: _findings(found) for did, found in evidence.items()}

    def _decide(
        self, arrival: Arrival, batch: Batch, findings: dict[str, Findings], outcome: Outcome
    ) -> None:
        event, item = arrival.event, arrival.received
        origin = Origin(item.source, getattr(event, "seq", None), item.frame, item.at)
        match event:
            case events.Commit():
                found = findings[event.did]
                proof = next(found.proofs)
                self._metrics.verified.inc(isinstance(proof, VerifiedCommit))
                on_commit(batch, event, proof, found.profile, origin)
                self._turns.note(event, proof)
            case events.Sync():
                proof = next(findings[event.did].proofs)
                on_sync(batch, event, proof, origin)
                self._turns.note(event, proof)
            case events.Identity():
                on_identity(batch, event, findings[event.did].profile)
                self._on_moved(event, batch, outcome)
            case events.Account():
                proof = next(findings[event.did].proofs)
                parked = self._is_parked(event.did, batch)
                on_account(batch, event, proof, origin, parked=parked)
                self._on_moved(event, batch, outcome)
            case events.Info():
                self._on_info(event, item, outcome)
            case events.StreamError():
                self._on_stream_error(event, item, batch, outcome)
            case events.Unknown():
                known = event.op == _MESSAGE
                reason = DropReason.UNKNOWN_TYPE if known else DropReason.UNKNOWN_OP
                detail = f"op {event.op}, t {event.t}"
                batch.drop(
                    Drop(reason, detail, item.source, event.seq, None, item.frame),
                    item.at,
                    keep=False,
                )

    def _is_parked(self, did: str, batch: Batch) -> bool:
        """Whether events of a repo that is not known wait until the directory can be asked."""
        if batch.repo(did) is not None:
            return False
        return did in batch.parked() or did in self._store.quarantine.parked(did)

    def _on_moved(
        self, event: events.Identity | events.Account, batch: Batch, outcome: Outcome
    ) -> None:
        """Another PDS or key may serve now what could not be fetched before."""
        self._turns.note(event, None)
        state = batch.repo(event.did)
        if state is not None and state.wants_resync:
            outcome.resync.add(event.did)

    def _on_info(self, event: events.Info, item: Received, outcome: Outcome) -> None:
        log.warning("source says", source=item.source, name=event.name, message=event.message)
        if event.name == "OutdatedCursor":
            stream = self._stream(item.source)
            position = stream.position()
            stream.last = with_gap(position, outdated(position, item.at))
            outcome.gap = True

    def _on_stream_error(
        self, event: events.StreamError, item: Received, batch: Batch, outcome: Outcome
    ) -> None:
        detail = f"{event.error}: {event.message}"
        drop = Drop(DropReason.STREAM_ERROR, detail, item.source, None, None, item.frame)
        batch.drop(drop, item.at, keep=True)
        if event.error == "FutureCursor":
            outcome.halt[item.source] = detail
            stream = self._stream(item.source)
            stream.last = replace(stream.last, halted_because=detail[:DETAIL_CHARS])
        elif event.error == "ConsumerTooSlow":
            outcome.slow_down.add(item.source)


def _findings(evidence: Evidence) -> Findings:
    missing = DropReason.IDENTITY_UNAVAILABLE
    whole = not any(isinstance(p, Rejected) and p.reason is missing for p in evidence.proofs)
    return Findings(iter(evidence.proofs), evidence.profile, whole)


def _touches_ours(commit: events.Commit) -> bool:
    """Whether an op is in a collection of ours. A text that quotes one's name is none, and must not
    make us fetch anything; what a commit that was too big did is not told."""
    return commit.too_big or any(kind_of(op.collection) for op in commit.ops)

"""What the indexer is told: parsed once, at the composition root, into one frozen object.

Every value can come from the environment (``ATDATA_INDEXER_…``) or from the caller. Nothing in the
indexer reads the environment later. Every limit of invariant 8 that can sensibly be set is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from atdata.protocol.errors import BlockedAddress, quote
from indexer import change_log, room
from indexer.heads import HeadLimits
from indexer.intake import IntakeSettings
from indexer.queues import Depths, Queue
from indexer.repos import RepoLimits
from indexer.resync import ResyncLimits
from indexer.subscribe import Receiver, source_url
from indexer.sweep import SweepLimits
from indexer.waiting import MAX_BYTES, MAX_COMMITS

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class IndexerConfig(BaseSettings):
    """Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(env_prefix="ATDATA_INDEXER_", frozen=True, extra="forbid")

    sources: tuple[str, ...] = ()
    """Firehoses: ``wss://host[/prefix]``, without the path of the method."""

    db: Path = Path("index.duckdb")
    """The DuckDB file; its directory must exist."""

    plc: str = "https://plc.directory"
    """The PLC directory that did:plc is resolved through."""

    dev: bool = False
    """Allow http, ws and loopback addresses, for a network on one's own machine."""

    start: Literal["oldest", "live"] = "oldest"
    """Where a source that is new begins: with the oldest event that it keeps, or with the next."""

    receiver: Receiver = Receiver.AUTO
    """How sockets are read: ``auto``, ``bulk`` or ``websockets`` (see ``indexer/subscribe``)."""

    batch_events: Positive = 1_000
    """At most this many frames in one transaction."""

    queue_frames: Positive = 10_000
    """At most this many frames wait; then the sources are not read."""

    queue_bytes: Positive = 64_000_000
    """At most this many bytes of frames wait."""

    spill_bytes: Positive = 1_000_000_000
    """Frames of a repo that floods wait in a file of at most this size, beside the database; then
    its source is not read."""

    free_bytes: Annotated[int, Field(ge=0)] = room.LEAST
    """Where less of the database's disk is free, the indexer ends. Snapshots and the file for
    floods leave four times as much. 0: nobody looks."""

    isolate: bool | None = None
    """Receive and screen in a process of its own, so that catching up slows nothing else. None: the
    commands do where there is a second core."""

    flush_seconds: Seconds = 1.0
    """The cursor is written at least this often while only noise passes."""

    identity_threads: Positive = 8
    """Identities are resolved, and commits verified, in this many threads."""

    quarantine_rows: Positive = 10_000
    quarantine_bytes: Positive = 256_000_000
    """What was dropped is kept within these bounds, the oldest goes first."""

    invalid_bytes: Positive = 256_000_000
    """Of the bytes of invalid records. Of more than that it is only known that they are there."""

    changes_kept: Positive = change_log.KEPT
    """All of so many changes, the newest, are kept for whoever follows them; of those before, the
    last of each record."""

    memory_limit: str | None = None
    """DuckDB's, in its own spelling. None: see ``indexer/memory``."""

    threads: Positive = 2
    """DuckDB's."""

    ping_seconds: Seconds = 20.0
    """A source that neither sends nor answers a ping for twice this long is connected to anew."""

    backoff_seconds: Seconds = 0.5
    """The first delay before connecting again; it doubles up to ``backoff_max_seconds``."""

    backoff_max_seconds: Seconds = 60.0

    fetches: Positive = 8
    """Repos are fetched by this many threads."""

    fetches_per_host: Positive = 2
    """At most this many fetches at once from one PDS."""

    repo_bytes: Positive = 128_000_000
    """A repo larger than this is not fetched; its live commits are indexed."""

    repo_seconds: Seconds = 120.0
    """A repo that takes longer than this is given up, and tried again later."""

    resync_backoff_seconds: Seconds = 1.0
    """The pause after the first failed fetch of a repo; it doubles up to the maximum."""

    resync_backoff_max_seconds: Seconds = 900.0

    parked_seconds: Seconds = 30.0
    """Commits whose author's directory could not be asked are looked at again this often."""

    sweep: bool = True
    """List what the sources know, at once where they are new and then again and again, and compare
    the newest revs."""

    sweep_seconds: Seconds = 3_600.0
    """The pause between two sweeps."""

    sweep_per_second: Seconds = 10.0
    """At most this many requests per second to one host in a sweep."""

    sweep_patience_seconds: Seconds = 30.0
    """A source that is not connected is left out of a sweep after so long, and tried later."""

    sweep_grace_seconds: Seconds = 10.0
    """What a PDS has and the firehose did not bring within this time was missed."""

    list_repos: Positive = 1_000_000
    """At most this many repos are taken from one list of a source."""

    gap_seconds: Seconds = 3_600.0
    """If a source goes on this much later than where it was left, a sweep is made."""

    snapshot_seconds: Seconds = 21_600.0
    """The pause between two snapshots (``<db>.snapshots``)."""

    snapshots: Positive = 3
    """So many are kept, the newest."""

    def on(self, cores: int) -> Self:
        """With what is left to the machine decided."""
        isolate = cores > 1 if self.isolate is None else self.isolate
        return self.model_copy(update={"isolate": isolate})

    @property
    def spare_bytes(self) -> int:
        """What is left free of the disk by all that can be done without."""
        return self.free_bytes * room.SPARED

    @property
    def intake(self) -> IntakeSettings:
        return IntakeSettings(
            sources=self.sources,
            from_oldest=self.start == "oldest",
            dev=self.dev,
            receiver=self.receiver,
            batch_events=self.batch_events,
            queue_frames=self.queue_frames,
            queue_bytes=self.queue_bytes,
            spill_bytes=self.spill_bytes,
            spill_folder=str(self.db.parent),
            spare_bytes=self.spare_bytes,
            ping_seconds=self.ping_seconds,
            backoff_seconds=self.backoff_seconds,
            backoff_max_seconds=self.backoff_max_seconds,
        )

    @property
    def queue_limits(self) -> Depths:
        """How much may wait, where that is bounded by more than what is tracked."""
        return {
            Queue.FRAMES: self.queue_frames,
            Queue.FRAME_BYTES: self.queue_bytes,
            Queue.SPILL_BYTES: self.spill_bytes,
            Queue.PROVING: self.batch_events,
            Queue.FETCHES: self.fetches,
            Queue.AGAIN: self.fetches,
            Queue.TURN_COMMITS: self.fetches * MAX_COMMITS,
            Queue.TURN_BYTES: self.fetches * MAX_BYTES,
            Queue.PARKED: self.quarantine_rows,
            Queue.QUARANTINE: self.quarantine_rows,
            Queue.QUARANTINE_BYTES: self.quarantine_bytes,
            Queue.INVALID_BYTES: self.invalid_bytes,
        }

    @property
    def repo_limits(self) -> RepoLimits:
        return RepoLimits(self.repo_bytes, self.repo_seconds)

    @property
    def resync_limits(self) -> ResyncLimits:
        return ResyncLimits(
            total=self.fetches,
            per_host=self.fetches_per_host,
            backoff=self.resync_backoff_seconds,
            backoff_max=self.resync_backoff_max_seconds,
        )

    @property
    def sweep_limits(self) -> SweepLimits:
        return SweepLimits(
            seconds=self.sweep_seconds,
            grace=self.sweep_grace_seconds,
            patience=self.sweep_patience_seconds,
            heads=HeadLimits(per_second=self.sweep_per_second),
        )

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        open_ones = [url for url in self.sources if url.startswith("ws:")]
        if open_ones and not self.dev:
            raise BlockedAddress(
                f"a source is wss://host, not {quote(open_ones[0])} (--dev allows ws, on a network "
                "of one's own)"
            )
        return self

    @field_validator("sources")
    @classmethod
    def _normal(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        """One spelling per source, since the URL is its key."""
        return tuple(dict.fromkeys(source_url(url) for url in sources))

"""What ``getIndexStatus`` answers: sources, counts, drops, and what happened to the index.

As in ``views``, whose codec reads and writes these too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One firehose. ``last_seen_at`` is when something was last received; ``lag_seconds`` how old
    the last event was then: a source that fell silent shows in the former alone.
    ``unhealed_gaps`` are those since which not everything was compared."""

    url: str
    cursor: int
    last_event_at: str | None = None
    last_seen_at: str | None = None
    lag_seconds: int | None = None
    halted_because: str | None = None
    gaps: int | None = None
    unhealed_gaps: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What is visible now: rows of active accounts."""

    datasets: int
    schemas: int
    lenses: int
    labels: int
    repos: int


@dataclass(frozen=True, slots=True)
class DropCount:
    """How often one reason kept something out of the index."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """The last comparison of everything that the sources list; all counts are of repos, but
    ``unlisted``: the sources that were not connected, or whose list broke off."""

    finished_at: str
    checked: int
    healed: int
    unreachable: int
    period_seconds: int | None = None
    unlisted: int | None = None


@dataclass(frozen=True, slots=True)
class Restoration:
    """The file was replaced: by a snapshot, or, where ``snapshot_at`` is None, by an empty one."""

    at: str
    snapshot_at: str | None = None


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """``changes`` is the last change seq of the database, ``text_changes`` that of the text
    index; ``failing_repos`` are those of the ``unsynced_repos`` that could not be fetched."""

    sources: tuple[SourceStatus, ...]
    counts: Counts
    drops: tuple[DropCount, ...]
    quarantined: int
    changes: int
    text_changes: int
    unsynced_repos: int | None = None
    failing_repos: int | None = None
    sweep: SweepStatus | None = None
    snapshot_at: str | None = None
    restored: Restoration | None = None

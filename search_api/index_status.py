"""What the index says of itself: where its sources stand, what it holds, whether it is well.

Rule: everything is read from the database, so that a copy of it tells the same. What the indexer
notes in ``meta`` is read here, and nowhere else in this package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from atdata.protocol.status_views import (
    Counts,
    DropCount,
    IndexStatus,
    Restoration,
    SourceStatus,
    SweepStatus,
)
from search_api.database import Row, Session
from search_api.views import timestamp

_HEALED = ("adopted", "differing", "gone")


@dataclass(frozen=True, slots=True)
class Health:
    """Which of the ``sources`` (their number) are halted, by URL."""

    sources: int
    halted: tuple[str, ...]

    @property
    def is_dead(self) -> bool:
        """Nothing is followed any more."""
        return 0 < self.sources == len(self.halted)


def health(session: Session) -> Health:
    """Whether the index goes on."""
    rows = session.rows("SELECT url, halted_because IS NOT NULL FROM sources ORDER BY url")
    return Health(len(rows), tuple(url for url, halted in rows if halted))


def status(session: Session, text_changes: int) -> IndexStatus:
    """What the index holds and where its sources stand."""
    counted: dict[str, int] = dict(
        session.rows(
            "SELECT r.kind, count(*) FROM records r JOIN repos p ON p.repo = r.repo AND p.active "
            "GROUP BY r.kind"
        )
    )
    sources = session.rows(
        "SELECT url, cursor, epoch_us(event_time), epoch_us(seen_at), gaps, halted_because "
        "FROM sources ORDER BY url"
    )
    drops = session.rows("SELECT reason, count FROM drops ORDER BY count DESC, reason")
    ((repos, unsynced, failing),) = session.rows(
        "SELECT count(*), count(*) FILTER (sync_state <> 'synced'), "
        "count(*) FILTER (sync_state <> 'synced' AND sync_error IS NOT NULL) "
        "FROM repos WHERE active"
    )
    snapshot = _noted(session, "snapshot")
    return IndexStatus(
        sources=tuple(_source(row) for row in sources),
        counts=Counts(
            datasets=counted.get("dataset", 0),
            schemas=counted.get("schema", 0),
            lenses=counted.get("lens", 0),
            labels=counted.get("label", 0),
            repos=repos,
        ),
        drops=tuple(DropCount(reason, count) for reason, count in drops),
        quarantined=session.value(
            "SELECT (SELECT count(*) FROM quarantine) + (SELECT count(*) FROM invalid_records)"
        ),
        changes=session.value("SELECT coalesce(max(seq), 0) FROM changes"),
        text_changes=max(0, text_changes),
        unsynced_repos=unsynced,
        failing_repos=failing,
        sweep=_sweep(_noted(session, "sweep")),
        snapshot_at=None if snapshot is None else timestamp(snapshot["taken_at"]),
        restored=_restored(_noted(session, "restored")),
    )


def _noted(session: Session, key: str) -> dict[str, Any] | None:
    row = session.row("SELECT value FROM meta WHERE key = ?", [key])
    return None if row is None else json.loads(row[0])


def _source(row: Row) -> SourceStatus:
    url, cursor, event_us, seen_us, gaps, halted_because = row
    lag = None if event_us is None or seen_us is None else max(0, seen_us - event_us) // 1_000_000
    noted = json.loads(gaps)
    return SourceStatus(
        url=url,
        cursor=cursor,
        last_event_at=None if event_us is None else timestamp(event_us),
        last_seen_at=None if seen_us is None else timestamp(seen_us),
        lag_seconds=lag,
        halted_because=halted_because,
        gaps=len(noted),
        unhealed_gaps=sum(gap["healed_at"] is None for gap in noted),
    )


def _sweep(noted: dict[str, Any] | None) -> SweepStatus | None:
    if noted is None or noted["finished_at"] is None:
        return None
    return SweepStatus(
        finished_at=timestamp(noted["finished_at"]),
        checked=noted["checked"],
        healed=sum(noted[name] for name in _HEALED),
        unreachable=noted["unreachable"],
        period_seconds=noted.get("period"),
        unlisted=noted.get("unlisted"),
    )


def _restored(noted: dict[str, Any] | None) -> Restoration | None:
    if noted is None:
        return None
    taken = noted["snapshot_at"]
    return Restoration(timestamp(noted["at"]), None if taken is None else timestamp(taken))

"""How far what is durable of a source is behind what happens there.

Pure. Rule: a source that is lost, or whose events wait, falls behind with the clock; one that has
nothing to tell does not, however long its last event is past.
"""

from __future__ import annotations

from indexer.batch import Position


class Lags:
    """Of all sources, by URL; asked again and again."""

    def __init__(self) -> None:
        self._level_at: dict[str, int] = {}

    def of(self, position: Position, now: int, *, level: bool) -> float | None:
        """Seconds, None while no event said when it was. ``level``: the source is connected, and
        all that it sent is durable. ``now`` is the time in microseconds since 1970."""
        if level:
            self._level_at[position.url] = now
        if position.event_time is None or position.seen_at is None:
            return None
        on_the_way = max(0, position.seen_at - position.event_time)
        covered = self._level_at.get(position.url, 0) - on_the_way
        return max(0, now - max(position.event_time, covered)) / 1_000_000

"""What a source did not replay: seen only from where it goes on.

Pure. The rule protected here: relays say neither that a cursor is too old nor that they were reset.
So the first event after connecting is held against the last one before it. A false alarm (a source
that was quiet) costs one sweep; a gap that goes unnoticed would cost records.
"""

from __future__ import annotations

from dataclasses import replace

from indexer.batch import Gap, Position

MAX_GAPS = 100  # kept per source, the newest

OUTDATED = "OutdatedCursor: events before it are no longer kept"
JUMPED = "the first event after connecting is much later than the last one before"
RESET = "the first event after connecting has a lower seq than the last one before"


def gap_between(
    before: Position, seq: int, time: int | None, *, longest: int, at: int
) -> Gap | None:
    """The gap, if there seems to be one, between the position ``before`` connecting and the first
    event after it. Times and ``longest`` (a pause that is not suspicious) are in microseconds."""
    if before.cursor == 0 or seq in (before.cursor, before.cursor + 1):
        return None
    if seq < before.cursor:
        return _gap(before, seq, time, RESET, at)
    if time is None or before.event_time is None or time - before.event_time <= longest:
        return None
    return _gap(before, seq, time, JUMPED, at)


def outdated(before: Position, at: int) -> Gap:
    """The source itself says that it can't replay from our cursor."""
    return _gap(before, None, None, OUTDATED, at)


def with_gap(position: Position, gap: Gap) -> Position:
    """``position`` with ``gap`` remembered, and the oldest forgotten."""
    return replace(position, gaps=(*position.gaps, gap)[-MAX_GAPS:])


def healed(position: Position, noted_before: int, at: int) -> Position:
    """``position`` after all that its source lists was compared, beginning at ``noted_before``."""
    return replace(
        position,
        gaps=tuple(
            replace(gap, healed_at=at)
            if gap.healed_at is None and gap.noted_at <= noted_before
            else gap
            for gap in position.gaps
        ),
    )


def _gap(before: Position, seq: int | None, time: int | None, why: str, at: int) -> Gap:
    return Gap(before.cursor, seq, before.event_time, time, why, at)

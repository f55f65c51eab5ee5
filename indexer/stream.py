"""Where one source stands: what arrived, what is done, and where it went on after a pause.

The rule protected here is invariant 1: the position that is stored is the low watermark, and what
was missed before it is kept with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog

from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.syntax import parse_datetime
from indexer.batch import Position
from indexer.events import MAX_SEQ
from indexer.gaps import gap_between, with_gap
from indexer.rows import micros
from indexer.watermark import Watermark

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Stream:
    """Where one source stands. Frames of connections up to ``distrusted`` are not read."""

    url: str
    watermark: Watermark
    last: Position
    distrusted: int = 0
    connection: int = 0
    _noted: list[int] = field(default_factory=list)
    _time: str | None = None
    _skipped: int | None = None

    def note(self, seq: int, time: str | None, at: int) -> None:
        """An event arrived at ``at`` (microseconds since 1970); ``time`` is the source's word."""
        self.watermark.begin(seq)
        self._noted.append(seq)
        self._time = time or self._time
        self.last = replace(self.last, seen_at=at)

    def connected(self, connection: int, seq: int, time: str | None, longest: int, at: int) -> bool:
        """Whether ``seq`` is the first of a connection and shows a gap, which is then kept."""
        if connection == self.connection:
            return False
        self.connection = connection
        before = self.position()
        gap = gap_between(before, seq, _micros(time or ""), longest=longest, at=at)
        if gap is not None:
            self.last = with_gap(before, gap)
            log.warning("events missed", source=self.url, why=gap.why, after=gap.from_seq, at=seq)
        return gap is not None

    def restart(self) -> None:
        """What is not settled is lost on its way, or not to be trusted, and comes again."""
        self.watermark.restart()
        self._noted.clear()

    def distrust(self, connection: int, seq: int | None) -> None:
        """Nothing more of that connection is read, from the message on that claimed ``seq``."""
        self.distrusted = connection
        self._skipped = seq or MAX_SEQ

    def skip(self, seq: int | None) -> None:
        """A message of a distrusted connection, which claims ``seq``, comes again."""
        if self._skipped is not None and seq is not None:
            self._skipped = min(self._skipped, seq)

    def settle(self, held: int | None) -> None:
        """Everything that was noted is in the batch that is written next. ``held`` is the lowest
        seq that waits for its turn, None if nothing does."""
        bounds = [seq for seq in (held, self._skipped) if seq is not None]
        self.watermark.hold(min(bounds, default=None))
        for seq in self._noted:
            self.watermark.done(seq)
        self._noted.clear()
        if self._skipped is not None:
            self._skipped = None
            self.restart()

    def position(self) -> Position:
        """The position to store."""
        if self._time is not None:
            self.last, self._time = replace(self.last, event_time=_micros(self._time)), None
        self.last = replace(self.last, cursor=self.watermark.value)
        return self.last


def _micros(time: str) -> int | None:
    try:
        return micros(parse_datetime(time))
    except InvalidSyntax:
        return None

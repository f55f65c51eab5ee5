"""The low watermark of one source: the highest seq below which nothing is outstanding.

The rule protected here is invariant 1: the cursor that is written with the rows never passes an
event whose effects are still on their way. Gaps in seq are legal; duplicates and regressions
(a relay that replays, or was reset) never move the watermark back.
"""

from __future__ import annotations


class Watermark:
    """Feed it ``begin(seq)`` as events arrive and ``done(seq)`` as their effects become durable."""

    __slots__ = ("_finished", "_held", "_outstanding", "_value")

    def __init__(self, value: int = 0) -> None:
        self._value = value
        self._finished = value
        self._outstanding: dict[int, int] = {}
        self._held: int | None = None

    @property
    def value(self) -> int:
        """Every event that arrived with a seq at or below this one is done."""
        below = min(self._outstanding) - 1 if self._outstanding else self._finished
        if self._held is not None:
            below = min(below, self._held - 1)
        self._value = max(self._value, min(self._finished, below))
        return self._value

    @property
    def outstanding(self) -> int:
        """How many events are begun and not done."""
        return sum(self._outstanding.values())

    def begin(self, seq: int) -> None:
        """An event arrived. The same seq may be outstanding more than once."""
        if seq <= self._finished:
            self._value = self.value  # a regression: what was reached stays reached
        self._outstanding[seq] = self._outstanding.get(seq, 0) + 1

    def hold(self, seq: int | None) -> None:
        """Events arrived that were not begun, since others had their turn before: none is below
        ``seq``. None: there are no such events."""
        self._held = seq

    def restart(self) -> None:
        """What arrived, and is not below the watermark, will come again: only that counts."""
        self._finished = self.value
        self._outstanding.clear()
        self._held = None

    def done(self, seq: int) -> None:
        """An event's effects are durable, in quarantine, or none. Unknown seqs are harmless."""
        count = self._outstanding.get(seq, 0)
        if count > 1:
            self._outstanding[seq] = count - 1
        elif count == 1:
            del self._outstanding[seq]
            self._finished = max(self._finished, seq)

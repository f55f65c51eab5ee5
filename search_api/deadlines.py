"""Time bounds of many short pieces of work, watched by one thread.

A ``threading.Timer`` starts a thread for each, which at hundreds of requests a second costs more
than they do. Rule: what has ended in time is never interrupted.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Interrupt = Callable[[], None]


@dataclass(order=True, slots=True)
class _Watched:
    """``interrupt`` is None once the work has ended."""

    deadline: float
    number: int
    interrupt: Interrupt | None = field(compare=False)


class Deadlines:
    """Interrupts work that takes too long. Any number of threads; its own ends with the process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: list[_Watched] = []
        self._count = 0

    @contextmanager
    def within(self, seconds: float, interrupt: Interrupt) -> Iterator[None]:
        """Call ``interrupt``, from another thread, if the block takes longer than ``seconds``."""
        watched = self._add(time.monotonic() + seconds, interrupt)
        try:
            yield
        finally:
            with self._changed:  # not while it is being interrupted
                watched.interrupt = None

    def _add(self, deadline: float, interrupt: Interrupt) -> _Watched:
        with self._changed:
            self._count += 1
            watched = _Watched(deadline, self._count, interrupt)
            heapq.heappush(self._watched, watched)
            if self._count == 1:
                threading.Thread(target=self._run, name="deadlines", daemon=True).start()
            elif self._watched[0] is watched:
                self._changed.notify()
        return watched

    def _run(self) -> None:
        with self._changed:
            while True:
                while self._watched and self._is_over(self._watched[0]):
                    heapq.heappop(self._watched)
                first = self._watched[0].deadline if self._watched else None
                self._changed.wait(None if first is None else first - time.monotonic())

    def _is_over(self, watched: _Watched) -> bool:
        """Whether nothing remains to be done about ``watched``; interrupts it if it is late."""
        if watched.interrupt is not None and time.monotonic() < watched.deadline:
            return False
        if watched.interrupt is not None:
            watched.interrupt()
        return True

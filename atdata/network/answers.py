"""Answers that are remembered for a while: bounded, thread-safe, each question asked by one thread.

"No such thing" is an answer too and is remembered, briefly; so is "could not be asked", very
briefly, so that an outage is not met with a storm of questions. What is forgotten while a question
is under way is not remembered from its old answer.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from atdata.protocol.errors import IdentityNotFound, IdentityUnavailable

NOT_FOUND_SECONDS = 30.0
UNAVAILABLE_SECONDS = 2.0
RENEW_SECONDS = 2.0  # an answer as young as this is not asked for again

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    """A value, or the error that there was instead (``kind``, ``message``)."""

    value: T | None
    kind: type[IdentityNotFound | IdentityUnavailable] | None
    message: str
    at: float

    def expires(self, ttl: float) -> float:
        """On the same clock as ``at``."""
        if self.kind is IdentityNotFound:
            return self.at + min(ttl, NOT_FOUND_SECONDS)
        if self.kind is IdentityUnavailable:
            return self.at + min(ttl, UNAVAILABLE_SECONDS)
        return self.at + ttl

    def get(self) -> T:
        """The value, or the error raised anew (an exception must not be shared by threads)."""
        if self.kind is not None:
            raise self.kind(self.message)
        assert self.value is not None
        return self.value


class Answers(Generic[T]):
    """A cache of at most ``max_entries``, the longest unused one dropped first."""

    def __init__(self, *, ttl: float, max_entries: int, clock: Callable[[], float]) -> None:
        self._ttl, self._max, self._clock = ttl, max_entries, clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Outcome[T]] = OrderedDict()
        self._asking: dict[str, Future[_Outcome[T]]] = {}

    def get(self, key: str, ask: Callable[[], T], *, max_age: float | None = None) -> T:
        """The answer to ``key``: remembered (and at most ``max_age`` s old), or from ``ask``, which
        raises ``IdentityNotFound`` or ``IdentityUnavailable`` if there is none."""
        with self._lock:
            known = self._recall(key, max_age)
            if known is not None:
                return known.get()
            flight = self._asking.get(key)
            mine = flight is None
            if flight is None:
                flight = self._asking[key] = Future()
        if mine:
            self._ask(key, ask, flight)
        return flight.result().get()

    def at_hand(self, key: str) -> T | None:
        """The answer that is remembered; None if there is none, or none that is good."""
        with self._lock:
            known = self._recall(key, None)
        return None if known is None else known.value

    def renew(self, key: str, ask: Callable[[], T]) -> T:
        """A fresh answer, unless the remembered one is less than ``RENEW_SECONDS`` old."""
        return self.get(key, ask, max_age=RENEW_SECONDS)

    def forget(self, key: str) -> None:
        """Remember nothing about ``key``, not even what is being asked right now."""
        with self._lock:
            self._known.pop(key, None)
            self._asking.pop(key, None)

    def _recall(self, key: str, max_age: float | None) -> _Outcome[T] | None:
        known, now = self._known.get(key), self._clock()
        if known is None or now >= known.expires(self._ttl):
            return None
        if max_age is not None and now >= known.at + max_age:
            return None
        self._known.move_to_end(key)
        return known

    def _ask(self, key: str, ask: Callable[[], T], flight: Future[_Outcome[T]]) -> None:
        outcome: _Outcome[T] | None = None
        try:
            outcome = self._outcome(ask)
            flight.set_result(outcome)
        except BaseException as error:
            flight.set_exception(error)  # the others who wait must not wait for ever
            raise
        finally:
            with self._lock:
                if self._asking.get(key) is flight:
                    del self._asking[key]
                    if outcome is not None:
                        self._remember(key, outcome)

    def _outcome(self, ask: Callable[[], T]) -> _Outcome[T]:
        try:
            value = ask()
        except (IdentityNotFound, IdentityUnavailable) as error:
            return _Outcome(None, type(error), str(error), self._clock())
        return _Outcome(value, None, "", self._clock())

    def _remember(self, key: str, outcome: _Outcome[T]) -> None:
        self._known[key] = outcome
        self._known.move_to_end(key)
        while len(self._known) > self._max:
            self._known.popitem(last=False)

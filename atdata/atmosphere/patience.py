"""Which calls to a PDS are worth another try, and when.

Rule: what a host asks for goes before what we would like. A PDS that limits its clients is left
alone, by all threads of a client, for as long as it says; and what may already have been done is
not done twice.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from atdata.protocol.errors import FetchFailed, FetchTimeout, XrpcError

ATTEMPTS = 5
FIRST_DELAY = 0.5  # seconds; doubles
MAX_REST = 3_600.0  # seconds; a PDS counts writes by the hour

LIMITED = 429
BROKEN = frozenset({500, 502, 503, 504})

T = TypeVar("T")
Failure = XrpcError | FetchFailed | FetchTimeout

log = logging.getLogger(__name__)

_JITTER = random.SystemRandom()


class Patience:
    """Tries again, for all threads of one client. ``sleep`` waits for so many seconds, ``clock`` is
    a monotonic one."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep, self._clock = sleep, clock
        self._lock = threading.Lock()
        self._resting_until = clock()

    def call(self, act: Callable[[], T], *, repeatable: bool) -> T:
        """What ``act`` gives, at the first attempt that succeeds; raises what the last one raised.

        ``repeatable``: doing it twice is doing it once, so that it may be tried again when nobody
        knows whether it was done.
        """
        attempt = 0
        while True:
            self._rest()
            try:
                return act()
            except (XrpcError, FetchFailed, FetchTimeout) as error:
                delay = delay_before_retry(error, attempt, repeatable=repeatable)
                if delay is None:
                    raise
                limited = _status(error) == LIMITED
            if limited:
                self._leave_alone(delay)
            else:
                self._sleep(delay)
            attempt += 1

    def _leave_alone(self, seconds: float) -> None:
        log.warning("the PDS limits how often it is asked: waiting for %.0f s", seconds)
        with self._lock:
            self._resting_until = max(self._resting_until, self._clock() + seconds)

    def _rest(self) -> None:
        with self._lock:
            left = self._resting_until - self._clock()
        if left > 0:
            self._sleep(left)


def delay_before_retry(error: Failure, attempt: int, *, repeatable: bool) -> float | None:
    """Seconds to wait after the failure of ``attempt`` (counted from 0), or None to give up."""
    if attempt + 1 >= ATTEMPTS:
        return None
    status = _status(error)
    # A request above the limit was not carried out; of any other failure nobody knows.
    if status != LIMITED and not (repeatable and (status is None or status in BROKEN)):
        return None
    asked = None if isinstance(error, FetchTimeout) else error.retry_after
    if asked is not None:
        return asked if asked <= MAX_REST else None
    return FIRST_DELAY * (1 << attempt) * _JITTER.uniform(0.5, 1.5)


def _status(error: Failure) -> int | None:
    return None if isinstance(error, FetchTimeout) else error.status

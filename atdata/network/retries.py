"""Which failures are worth another try, and after how long: decisions only, nothing waits here.

Only GETs are made, so a request may always be repeated. What the host asks for with Retry-After
goes before our own back-off; the caller's time limit goes before both.
"""

from __future__ import annotations

import http.client
import random
import socket
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from atdata.protocol.errors import FetchFailed

RETRIES = 3
FIRST_DELAY = 0.2
RETRY_STATUSES = frozenset({429, 502, 503, 504})
MAX_RETRY_AFTER = 86_400.0

_JITTER = random.SystemRandom()


def delay_before_retry(error: FetchFailed, attempt: int) -> float | None:
    """Seconds to wait after the failure of ``attempt`` (counted from 0), or None to give up."""
    if attempt >= RETRIES or not (error.status in RETRY_STATUSES or is_broken(error)):
        return None
    if error.retry_after is not None:
        return error.retry_after
    return FIRST_DELAY * (1 << attempt) * _JITTER.uniform(0.5, 1.5)


def is_broken(error: FetchFailed) -> bool:
    """Whether the connection broke, or could not be made just now."""
    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    return isinstance(cause, ConnectionError | http.client.IncompleteRead)


def retry_after(header: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for (a number, or a date), 0 … one day; None if
    there is none that can be read."""
    if header is None or len(header) > 64:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000": RFC 9110 dates are GMT
        date = date.replace(tzinfo=UTC)
    return min(max((date - now).total_seconds(), 0.0), MAX_RETRY_AFTER)

"""Which failures are worth another try, and when."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from http.client import IncompleteRead

import pytest

from atdata.network.retries import RETRIES, delay_before_retry, retry_after
from atdata.protocol.errors import FetchFailed

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def caused_by(cause: Exception | None) -> FetchFailed:
    error = FetchFailed("it broke")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        FetchFailed("x", 429),
        FetchFailed("x", 502),
        FetchFailed("x", 503),
        FetchFailed("x", 504),
        caused_by(ConnectionResetError()),
        caused_by(ConnectionRefusedError()),
        caused_by(IncompleteRead(b"cut")),
        caused_by(socket.gaierror(socket.EAI_AGAIN, "later")),
    ],
)
def test_passing_trouble(error: FetchFailed) -> None:
    delays = [delay_before_retry(error, attempt) for attempt in range(RETRIES)]
    assert all(d is not None and 0.1 <= d <= 1.2 for d in delays)
    assert delay_before_retry(error, RETRIES) is None


@pytest.mark.parametrize(
    "error",
    [
        *(FetchFailed("x", code) for code in (301, 400, 401, 403, 404, 410, 416, 500, 501)),
        caused_by(None),
        caused_by(socket.gaierror(socket.EAI_NONAME, "never heard")),
        caused_by(OSError("no route")),
    ],
)
def test_trouble_that_stays(error: FetchFailed) -> None:
    assert delay_before_retry(error, 0) is None


def test_what_the_host_asks_for_goes_first() -> None:
    assert delay_before_retry(FetchFailed("x", 429, retry_after=12.0), 0) == 12.0
    assert delay_before_retry(FetchFailed("x", 400, retry_after=12.0), 0) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("99999999999999999999", 86_400.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 86_400.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("9" * 100, None),
        ("Thu, 99 Jan 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds

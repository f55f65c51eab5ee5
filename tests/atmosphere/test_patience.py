"""Which failures are worth another try, and how long a PDS is left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from atdata.atmosphere.patience import ATTEMPTS, MAX_REST, Failure, Patience, delay_before_retry
from atdata.atmosphere.sdk import rest_asked_for
from atdata.protocol.errors import CidMismatch, FetchFailed, FetchTimeout, XrpcError

LIMITED = XrpcError(429, "RateLimitExceeded", "slow down")
BUSY = FetchFailed("busy", 503)
CUT = FetchFailed("cut")
REFUSED = XrpcError(400, "InvalidRequest", "no")


@pytest.mark.parametrize(
    ("error", "repeatable", "again"),
    [
        (LIMITED, False, True),
        (BUSY, False, False),
        (BUSY, True, True),
        (CUT, False, False),
        (CUT, True, True),
        (FetchTimeout("slow"), True, True),
        (FetchTimeout("slow"), False, False),
        (REFUSED, True, False),
        (FetchFailed("no json", 200), True, False),
    ],
)
def test_what_is_worth_another_try(error: Failure, repeatable: bool, again: bool) -> None:
    assert (delay_before_retry(error, 0, repeatable=repeatable) is not None) == again
    assert delay_before_retry(error, ATTEMPTS - 1, repeatable=repeatable) is None


def test_what_the_pds_asks_for_goes_first() -> None:
    asked = XrpcError(429, "RateLimitExceeded", "", retry_after=17.0)
    assert delay_before_retry(asked, 3, repeatable=True) == 17.0
    too_long = XrpcError(429, "RateLimitExceeded", "", retry_after=MAX_REST + 1)
    assert delay_before_retry(too_long, 0, repeatable=True) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:17:00 GMT"}, 20.0),
        ({"ratelimit-reset": "1005"}, 5.0),
        ({"ratelimit-reset": "900"}, 0.0),
        ({"retry-after": "3", "ratelimit-reset": "1005"}, 3.0),
        ({"ratelimit-reset": "9" * 15}, 86_400.0),
        ({"ratelimit-reset": "soon"}, None),
        ({"ratelimit-reset": "9" * 5_000}, None),
        ({}, None),
    ],
)
def test_how_long_a_host_asks_to_be_left_alone(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert rest_asked_for(headers, 1_000.0) == seconds


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now)


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def act() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return act


def test_calls_wait_as_long_as_asked_and_then_succeed() -> None:
    time = Time()
    asked = [XrpcError(429, "RateLimitExceeded", "", retry_after=n) for n in (2.0, 5.0)]
    assert time.patience().call(failing(*asked), repeatable=False) == "done"
    assert time.slept == [2.0, 5.0]


def test_the_last_error_is_raised_and_others_at_once() -> None:
    time = Time()
    with pytest.raises(FetchFailed, match="cut"):
        time.patience().call(failing(*[CUT] * ATTEMPTS), repeatable=True)
    assert len(time.slept) == ATTEMPTS - 1
    assert sorted(time.slept) == time.slept or min(time.slept) > 0
    for error in (REFUSED, CidMismatch("a", "b"), CUT):
        with pytest.raises(type(error)):
            time.patience().call(failing(error), repeatable=False)
    assert len(time.slept) == ATTEMPTS - 1


def test_while_one_thread_is_asked_to_wait_the_others_do_too() -> None:
    time = Time()
    patience, seen = time.patience(), list[float]()

    def another() -> None:
        patience.call(lambda: seen.append(time.now), repeatable=False)

    def limited_once() -> str:
        if time.now == 0.0 and not waiting:
            waiting.append(True)
            raise XrpcError(429, "RateLimitExceeded", "", retry_after=30.0)
        return "done"

    waiting: list[bool] = []
    assert patience.call(limited_once, repeatable=False) == "done"
    thread = threading.Thread(target=another)
    thread.start()
    thread.join()
    assert seen == [30.0]

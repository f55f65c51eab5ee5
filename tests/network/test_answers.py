"""Remembered answers: how long, how many, and who asks when many want to know."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from atdata.network.answers import (
    NOT_FOUND_SECONDS,
    RENEW_SECONDS,
    UNAVAILABLE_SECONDS,
    Answers,
)
from atdata.protocol.errors import IdentityNotFound, IdentityUnavailable


class Source:
    """Answers with how often it was asked, or with an error; the clock is moved by hand."""

    def __init__(self, ttl: float = 100.0, max_entries: int = 10) -> None:
        self.now, self.asked = 0.0, 0
        self.error: Exception | None = None
        self.answers: Answers[int] = Answers(
            ttl=ttl, max_entries=max_entries, clock=lambda: self.now
        )

    def ask(self) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.asked

    def get(self, key: str = "a") -> int:
        return self.answers.get(key, self.ask)

    def renew(self, key: str = "a") -> int:
        return self.answers.renew(key, self.ask)


def test_an_answer_is_remembered_for_its_time() -> None:
    source = Source(ttl=100.0)
    assert [source.get(), source.get()] == [1, 1]
    source.now = 99.9
    assert source.get() == 1
    source.now = 100.0
    assert source.get() == 2


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [(IdentityNotFound, NOT_FOUND_SECONDS), (IdentityUnavailable, UNAVAILABLE_SECONDS)],
)
def test_a_failure_is_remembered_for_a_shorter_time(kind: type[Exception], seconds: float) -> None:
    source = Source(ttl=1000.0)
    source.error = kind("no")
    errors = []
    for _ in range(3):
        with pytest.raises(kind, match="no") as failed:
            source.get()
        errors.append(failed.value)
    assert source.asked == 1
    assert errors[1] is not errors[2]
    source.error, source.now = None, seconds
    assert source.get() == 2


def test_other_errors_are_not_remembered() -> None:
    source = Source()
    source.error = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        source.get()
    source.error = None
    assert source.get() == 2


def test_the_longest_unused_answer_makes_room() -> None:
    source = Source(max_entries=2)
    source.get("a"), source.get("b"), source.get("a"), source.get("c")
    assert source.asked == 3
    source.get("a"), source.get("c")
    assert source.asked == 3
    source.get("b")
    assert source.asked == 4


def test_a_renewal_asks_again_but_not_at_once() -> None:
    source = Source()
    assert [source.renew(), source.renew()] == [1, 1]
    source.now = RENEW_SECONDS
    assert [source.renew(), source.get()] == [2, 2]


def test_forgetting() -> None:
    source = Source()
    source.get()
    source.answers.forget("a")
    source.answers.forget("never known")
    assert source.get() == 2


class Gate:
    """A question that stays open until the test answers it."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()
        self.times = 0

    def ask(self) -> int:
        self.times += 1
        self.asked.set()
        assert self.answer.wait(10)
        return self.times


def waiting_on(answers: Answers[int], gate: Gate, count: int) -> list[Future[int]]:
    """``count`` threads that have all asked for the same key."""
    pool = ThreadPoolExecutor(count)
    started = threading.Barrier(count + 1)

    def want() -> int:
        started.wait(10)
        return answers.get("a", gate.ask)

    results = [pool.submit(want) for _ in range(count)]
    started.wait(10)
    pool.shutdown(wait=False)
    return results


def test_one_thread_asks_for_all() -> None:
    source, gate = Source(), Gate()
    results = waiting_on(source.answers, gate, 8)
    assert gate.asked.wait(10)
    gate.answer.set()
    assert [result.result(10) for result in results] == [1] * 8
    assert gate.times == 1


def test_what_is_forgotten_while_it_is_asked_is_not_remembered() -> None:
    source, gate = Source(), Gate()
    (result,) = waiting_on(source.answers, gate, 1)
    assert gate.asked.wait(10)
    source.answers.forget("a")
    gate.answer.set()
    assert result.result(10) == 1
    assert source.get() == 1
    assert source.asked == 1

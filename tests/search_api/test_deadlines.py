"""Work that takes too long is interrupted, and no other."""

from __future__ import annotations

import threading

from search_api.deadlines import Deadlines


def test_what_takes_too_long_is_interrupted_whatever_was_begun_before_it() -> None:
    deadlines, order = Deadlines(), list[str]()
    late, later = threading.Event(), threading.Event()

    def interrupted(name: str, event: threading.Event) -> None:
        order.append(name)
        event.set()

    with (
        deadlines.within(0.3, lambda: interrupted("later", later)),
        deadlines.within(0.05, lambda: interrupted("late", late)),
    ):
        assert late.wait(10)
        assert later.wait(10)
    assert order == ["late", "later"]


def test_what_ended_in_time_is_left_alone() -> None:
    deadlines, interrupted, over = Deadlines(), list[int](), threading.Event()
    for number in range(100):
        with deadlines.within(0.05, lambda: interrupted.append(number)):  # noqa: B023
            pass
    with deadlines.within(0.1, over.set):
        assert over.wait(10)
    assert interrupted == []

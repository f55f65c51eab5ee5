"""Previews in order: made once, kept within bounds, never more at a time than are allowed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from atdata.protocol.preview_views import (
    ImagePreview,
    Preview,
    PreviewAnswer,
    SamplePreview,
    ValuePreview,
)
from atdata.protocol.views import DatasetDetail, DatasetView
from search_api.web import previews
from search_api.web.previews import BUSY, Previews

WAIT = 20.0  # for what another thread does at once; far more than it takes


def detail(name: str, cid: str = "c1") -> DatasetDetail:
    view = DatasetView(f"at://{name}", cid, "did:plc:x", "t", name, "at://s", "blobs", "t")
    return DatasetDetail(view, {})


def made(name: str, size: int = 0) -> PreviewAnswer:
    image = ImagePreview("image/png", 8, 8, "A" * size)
    sample = SamplePreview("0", 1, (ValuePreview("x", "array", image=image),))
    return PreviewAnswer(Preview(f"at://{name}", "c1", "s", (sample,)))


class Maker:
    """Makes previews when it may; says what it was asked for, and how many at a time."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked: list[str] = []
        self.most, self._now, self._lock = 0, 0, threading.Lock()
        self.answer: Callable[[str], PreviewAnswer] = made

    def __call__(self, asked: DatasetDetail) -> PreviewAnswer:
        with self._lock:
            self.asked.append(asked.dataset.name)
            self._now += 1
            self.most = max(self.most, self._now)
        self.may.wait(WAIT)
        with self._lock:
            self._now -= 1
        return self.answer(asked.dataset.name)


@pytest.fixture
def maker() -> Iterator[Maker]:
    found = Maker()
    yield found
    found.may.set()


def test_it_is_made_once_and_given_out_to_all(maker: Maker) -> None:
    shelf = Previews(maker)
    assert shelf.get(detail("a"), 0.01) is None
    maker.may.set()
    assert shelf.get(detail("a"), WAIT) == made("a")
    assert shelf.get(detail("a"), 0) == made("a")
    assert maker.asked == ["a"]


def test_another_version_is_another_preview(maker: Maker) -> None:
    maker.may.set()
    shelf = Previews(maker)
    shelf.get(detail("a"), WAIT)
    shelf.get(detail("a", "c2"), WAIT)
    assert maker.asked == ["a", "a"]


def test_no_more_than_two_are_made_at_a_time_and_who_comes_too_late_is_told(maker: Maker) -> None:
    shelf = Previews(maker)
    names = [f"n{at}" for at in range(previews.WORKERS + previews.MAX_QUEUED)]
    for name in names[: previews.WORKERS]:
        assert shelf.get(detail(name), 0) is None
    while len(maker.asked) < previews.WORKERS:
        threading.Event().wait(0.01)
    for name in names[previews.WORKERS :]:
        assert shelf.get(detail(name), 0) is None
    assert shelf.get(detail("late"), 0) == BUSY
    maker.may.set()
    assert all(shelf.get(detail(name), WAIT) == made(name) for name in names)
    assert maker.most == previews.WORKERS
    assert shelf.get(detail("late"), WAIT) == made("late")


def test_only_a_few_requests_wait_the_others_come_again(maker: Maker) -> None:
    shelf = Previews(maker)
    answers: queue.Queue[PreviewAnswer | None] = queue.Queue()
    threads = [
        threading.Thread(target=lambda: answers.put(shelf.get(detail("a"), WAIT)))
        for _ in range(previews.MAX_WAITING + 1)
    ]
    for thread in threads:
        thread.start()
    assert answers.get(timeout=WAIT) is None
    assert answers.empty()
    maker.may.set()
    for thread in threads:
        thread.join()
    assert [answers.get() for _ in range(previews.MAX_WAITING)] == [
        made("a")
    ] * previews.MAX_WAITING


def test_a_failure_is_remembered_for_a_minute(maker: Maker) -> None:
    now = 0.0
    maker.may.set()
    maker.answer = lambda _: PreviewAnswer(reason="unreachable", message="no")
    shelf = Previews(maker, lambda: now)
    for moment, times in ((0, 1), (59, 1), (61, 2)):
        now = moment
        assert shelf.get(detail("a"), WAIT) == PreviewAnswer(reason="unreachable", message="no")
        assert len(maker.asked) == times


def test_a_maker_that_breaks_is_a_failure_and_the_next_is_made(maker: Maker) -> None:
    maker.may.set()

    def broken(name: str) -> PreviewAnswer:
        raise OSError(name)

    maker.answer = broken
    shelf = Previews(maker)
    answers = [shelf.get(detail(f"n{at}"), WAIT) for at in range(5)]
    assert {answer.reason for answer in answers if answer} == {"broken"}


def test_what_is_kept_is_bounded_in_number_and_in_bytes(maker: Maker) -> None:
    maker.may.set()
    shelf = Previews(maker)
    names = [f"n{at}" for at in range(previews.MAX_KEPT)]
    for name in (*names, names[0], "one more"):
        shelf.get(detail(name), WAIT)
    assert maker.asked == [*names, "one more"]
    shelf.get(detail(names[0]), WAIT)
    shelf.get(detail(names[1]), WAIT)  # the one that was longest not asked for
    assert maker.asked == [*names, "one more", names[1]]
    maker.answer = lambda name: made(name, previews.MAX_KEPT_BYTES // 2)
    for name in ("x", "y", "x"):
        shelf.get(detail(name), WAIT)
    assert maker.asked[-3:] == ["x", "y", "x"]


def test_what_is_forgotten_is_made_anew(maker: Maker) -> None:
    maker.may.set()
    shelf = Previews(maker)
    for name in ("a", "b"):
        shelf.get(detail(name), WAIT)
    shelf.forget("at://a")
    for name in ("a", "b"):
        shelf.get(detail(name), WAIT)
    assert maker.asked == ["a", "b", "a"]

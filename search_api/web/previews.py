"""Previews that are kept, being made, or waiting their turn.

Rule: everything is bounded: processes, queue, who waits, what is kept. Whoever asks for a preview
has just read the dataset in the database; nothing is given out for one that is not visible there.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from atdata.protocol.preview_views import PreviewAnswer
from atdata.protocol.views import DatasetDetail

WORKERS = 2
MAX_QUEUED = 16
MAX_WAITING = 8  # requests that wait for one at a time; others are told to come again
MAX_KEPT = 500
MAX_KEPT_BYTES = 64 << 20
FAILURE_SECONDS = 60.0  # for which a failure is remembered

BUSY = PreviewAnswer(reason="busy", message="others are being read")
OFF = PreviewAnswer(reason="off", message="this service shows no samples")

Key: TypeAlias = tuple[str, str, str]
_Job: TypeAlias = tuple[Key, DatasetDetail, "Future[PreviewAnswer]"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: PreviewAnswer
    size: int
    until: float  # of the clock


class Previews:
    """Gives out previews by dataset and version. Any number of threads."""

    def __init__(
        self,
        make: Callable[[DatasetDetail], PreviewAnswer],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``make`` makes one, in its own time; it is called by up to ``WORKERS`` threads."""
        self._make, self._clock = make, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._making: dict[Key, Future[PreviewAnswer]] = {}
        self._queue: queue.Queue[_Job] = queue.Queue(MAX_QUEUED)
        self._waiters = threading.Semaphore(MAX_WAITING)
        self._workers: list[threading.Thread] = []

    def get(self, detail: DatasetDetail, seconds: float) -> PreviewAnswer | None:
        """The preview of a dataset that is visible now, or why there is none; None if it is still
        being made after ``seconds``."""
        future = self._begun(_key(detail))
        if future is None:
            future = self._begin(_key(detail), detail)
        if future.done() or not self._waiters.acquire(blocking=False):
            return future.result() if future.done() else None
        try:
            return future.result(seconds)
        except NotYet:
            return None
        finally:
            self._waiters.release()

    def forget(self, uri: str) -> None:
        """Drop what is kept of a dataset that is visible no more."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == uri]:
                self._drop(key)

    def _begun(self, key: Key) -> Future[PreviewAnswer] | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.until >= self._clock():
                self._kept.move_to_end(key)
                return _done(kept.answer)
            return self._making.get(key)

    def _begin(self, key: Key, detail: DatasetDetail) -> Future[PreviewAnswer]:
        future: Future[PreviewAnswer] = Future()
        with self._lock:
            if key in self._making:
                return self._making[key]
            try:
                self._queue.put_nowait((key, detail, future))
            except queue.Full:
                return _done(BUSY)
            self._making[key] = future
            if len(self._workers) < WORKERS:
                worker = threading.Thread(target=self._work, name="previews", daemon=True)
                self._workers.append(worker)
                worker.start()
        return future

    def _work(self) -> None:
        while True:
            key, detail, future = self._queue.get()
            try:
                answer = self._make(detail)
            except Exception as error:
                log.exception("preview.crashed", uri=detail.dataset.uri, why=str(error))
                answer = PreviewAnswer(reason="broken", message="it could not be made")
            with self._lock:
                self._keep(key, answer)
                del self._making[key]
            future.set_result(answer)

    def _keep(self, key: Key, answer: PreviewAnswer) -> None:
        if key in self._kept:
            self._drop(key)
        until = float("inf") if answer.preview else self._clock() + FAILURE_SECONDS
        kept = self._kept[key] = _Kept(answer, _size(answer), until)
        self._kept_bytes += kept.size
        while len(self._kept) > MAX_KEPT or self._kept_bytes > MAX_KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        self._kept_bytes -= self._kept.pop(key).size


def _key(detail: DatasetDetail) -> Key:
    """What a preview depends on: the dataset, its version, and that of its schema."""
    schema = detail.schema.cid if detail.schema is not None else ""
    return detail.dataset.uri, detail.dataset.cid, schema


def _done(answer: PreviewAnswer) -> Future[PreviewAnswer]:
    future: Future[PreviewAnswer] = Future()
    future.set_result(answer)
    return future


def _size(answer: PreviewAnswer) -> int:
    """About how many bytes it takes."""
    samples = answer.preview.samples if answer.preview is not None else ()
    images = [value.image for sample in samples for value in sample.values if value.image]
    return 20_000 + sum(len(image.data) for image in images)

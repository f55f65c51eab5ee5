"""The real server in a process of its own, over a made index into which somebody publishes.

It says about itself how long each request took inside of the application, by the class of query
that the client named, and how much processor time it had.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from search_api.app import create_app
from search_api.config import SearchConfig
from tests.bench.search_clients import CLASS_HEADER
from tests.bench.search_index import FRESH, Made, Publisher, made
from tests.search_api.live import listening

Request = Literal["take", "newest", "end"]
_HEADER = CLASS_HEADER.encode()


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds inside of the application by class, in ``seconds`` in which the whole process
    took ``cpu_seconds``."""

    times: dict[str, list[float]]
    seconds: float
    cpu_seconds: float


class Stopwatch:
    """What was measured since somebody asked."""

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self._began = self._now()

    def take(self) -> Taken:
        times, self.times = self.times, defaultdict(list)
        (began, cpu), self._began = self._began, self._now()
        return Taken(dict(times), self._began[0] - began, self._began[1] - cpu)

    def _now(self) -> tuple[float, float]:
        return time.monotonic(), time.process_time()


class Timed:
    """ASGI middleware: how many milliseconds each request took that names its class."""

    def __init__(self, app: ASGIApp, stopwatch: Stopwatch) -> None:
        self._app, self._stopwatch = app, stopwatch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = dict(scope.get("headers", ())).get(_HEADER)
        started = time.perf_counter()
        await self._app(scope, receive, send)
        if kind is not None:
            self._stopwatch.times[kind.decode()].append((time.perf_counter() - started) * 1e3)


@dataclass(frozen=True, slots=True)
class Server:
    """A running one; its process answers at ``end``."""

    port: int
    end: Connection

    def take(self) -> Taken:
        """What was measured since the last call."""
        self.end.send("take")
        taken: Taken = self.end.recv()
        return taken

    def newest(self) -> int:
        """Number of the dataset that was published last."""
        self.end.send("newest")
        number: int = self.end.recv()
        return number


@contextmanager
def serving(datasets: int, folder: Path | None, rate: int) -> Iterator[Server]:
    """A server over an index of ``datasets`` made ones (kept in ``folder``), to which ``rate`` a
    second are added."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(datasets, folder, rate, theirs)
    )
    process.start()
    theirs.close()
    try:
        yield Server(ours.recv(), ours)
    finally:
        with suppress(BrokenPipeError):  # it has ended by itself, and said why
            ours.send("end")
        process.join()


def _run(datasets: int, folder: Path | None, rate: int, end: Connection) -> None:
    with ExitStack() as stack:
        index = stack.enter_context(made(datasets, folder))
        stopwatch = Stopwatch()
        app = create_app(index.database, index.text_index, SearchConfig())
        app.add_middleware(Timed, stopwatch=stopwatch)
        gc.freeze()  # as the node does
        origin = stack.enter_context(listening(app))
        if rate:
            stack.enter_context(Publisher(index.connection, rate))
        end.send(int(origin.rpartition(":")[2]))
        while (request := end.recv()) != "end":
            end.send(stopwatch.take() if request == "take" else _newest(index))


def _newest(index: Made) -> int:
    cursor = index.connection.cursor()
    found = cursor.execute(
        "SELECT max(name[length($1) + 1:]::BIGINT) FROM datasets WHERE starts_with(name, $1) "
        "AND regexp_full_match(name[length($1) + 1:], '[0-9]+')",
        [FRESH],
    ).fetchone()
    cursor.close()
    return int(found[0] or 0) if found else 0

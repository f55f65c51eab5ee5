"""Progress bars: one look for what is uploaded, pulled, or waited for before it can be read.

Rule: on stderr, where that is a terminal, and nowhere else; only from the main thread of the
program itself, since the bars of workers would run into each other.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

LARGE = 64 << 20  # bytes that are worth a bar before they can be read


class Readable(Protocol):
    """A stream that fills memory."""

    def readinto(self, buffer: memoryview, /) -> int: ...


def byte_bars(*more: ProgressColumn, shown: bool, transient: bool = False) -> Progress:
    """A bar of bytes with their speed and the time that is left; silent unless ``shown``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        *more,
        console=Console(stderr=True),
        disable=not shown,
        transient=transient,
    )


@contextmanager
def waited_for(body: Readable, label: str, size: int | None) -> Iterator[Readable]:
    """``body``, of ``size`` bytes if that is known, with a bar while it is read if it is large."""
    if (size is not None and size < LARGE) or not _may_be_shown():
        yield body
        return
    with byte_bars(shown=True, transient=True) as bars:
        task = bars.add_task(label, total=size)
        yield _Counted(body, lambda count: bars.advance(task, count))


def _may_be_shown() -> bool:
    ours = multiprocessing.parent_process() is None
    return ours and threading.current_thread() is threading.main_thread() and sys.stderr.isatty()


class _Counted:
    def __init__(self, body: Readable, tell: Callable[[int], None]) -> None:
        self._body, self._tell = body, tell

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._body.readinto(buffer)
        self._tell(count)
        return count

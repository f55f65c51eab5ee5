"""The live line: what it says is what the metrics say."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from indexer.drops import DropReason
from indexer.live import fitted, line, read, show
from indexer.metrics import Metrics
from indexer.queues import Queue


def counted() -> tuple[CollectorRegistry, Metrics]:
    registry = CollectorRegistry()
    return registry, Metrics(registry)


def test_before_anything_has_come() -> None:
    registry, _ = counted()
    now = read(registry)
    expected = "0 frames/s · lag – · 0 of 0 sources · queue 0 · matched 0 · verified 0 · dropped 0"
    assert line(now, now, 1.0) == expected


def test_rates_totals_and_the_reasons_that_are_most_frequent() -> None:
    registry, metrics = counted()
    before = read(registry)
    metrics.frames.labels("wss://a").inc(4_000)
    metrics.frames.labels("wss://b").inc(2_000)
    metrics.events.labels("Commit").inc(12)
    metrics.events.labels("Account").inc(99)
    metrics.verified.inc(11)
    metrics.watch_sources(
        lambda: {"wss://a": 0.25, "wss://b": 7.5},
        lambda: {"wss://a": True, "wss://b": False, "wss://c": True},
    )
    metrics.watch(lambda: {Queue.FRAMES: 2, Queue.SPILLED_FRAMES: 1, Queue.RESYNC: 9}, {}, dict)
    for count, reason in enumerate(list(DropReason)[:5], start=1):
        metrics.drops.labels(reason).inc(count)
    reasons = list(DropReason)[:5]
    named = ", ".join(f"{reasons[i]} {i + 1}" for i in (4, 3, 2, 1))
    assert line(before, read(registry), 2.0) == (
        "3,000 frames/s · lag 7.5 s · 2 of 3 sources · queue 3 · matched 12 · verified 11 · "
        f"dropped 15 ({named})"
    )


def test_the_line_is_written_over_itself() -> None:
    registry, metrics = counted()
    metrics.frames.labels("wss://a").inc(4)
    written: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(show(registry, written.append, 0.01))
        while len(written) < 2:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(main())
    assert all(text.startswith("\x1b[K0 frames/s · ") and text.endswith("\r") for text in written)


def test_a_line_that_is_too_long_for_the_terminal_is_cut() -> None:
    """The last column stays free: what ends in it scrolls in many terminals."""
    assert fitted("abcdef", 7) == "abcdef"
    assert fitted("abcdef", 6) == "abcd…"
    assert [len(fitted("abcdef", columns)) for columns in (5, 4, 3, 2)] == [4, 3, 2, 1]


def screen(written: bytes, columns: int) -> list[str]:
    """What a terminal shows that goes on in the next line when one is full. Escapes are those to
    the end of the line, and colours."""
    lines, row, column = [[" "] * columns], 0, 0
    for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", written.decode(), re.DOTALL):
        if token == "\x1b[K":
            lines[row][column:] = [" "] * (columns - column)
        elif token == "\r":
            column = 0
        elif token == "\n" or (len(token) == 1 and column == columns):
            row, column = row + 1, 0
            lines += [[" "] * columns] * (row == len(lines))
        if len(token) == 1 and token not in "\r\n":
            lines[row][column] = token
            column += 1
    return ["".join(line).rstrip() for line in lines]


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_shows_one_line_however_narrow_it_is(tmp_path: Path, columns: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "indexer", "run", "--dev", "--source", "ws://127.0.0.1:1"]
    command += ["--db", str(tmp_path / "index.duckdb")]
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    while written.count(b"0 frames/s") < 3:
        written += os.read(ours, 65_536)
    running.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # so ends a terminal that nobody has open any more
        while more := os.read(ours, 65_536):
            written += more
    os.close(ours)
    assert running.wait() == 0
    shown = [line for line in screen(written, columns) if "frames/s" in line or " · " in line]
    assert len(shown) == 1
    assert shown[0].startswith("0 frames/s · lag – · 0 of 1 sources")
    assert len(shown[0]) < columns

"""What the indexer's processes keep in memory over a long stream, with the defaults of its command.

The command itself is started: a process that writes, and its child that receives. ``PSS`` counts a
page that both of them have once, half for each: the sum is what the machine has to give.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench.goals import Goals
from tests.flow.node import free_port

STEP = 500_000  # frames
_PATIENCE = 3_600.0  # seconds for all of it
_POLL = 0.1
_KB = 1_024
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """Of one process, in MB: what is resident, and its share of that; ``own`` is what no file
    stands behind."""

    resident: float
    share: float
    own: float


@dataclass(frozen=True, slots=True)
class Reading:
    """After so many frames: the writer, and the process that receives."""

    frames: int
    sizes: tuple[Size, ...]

    @property
    def total(self) -> float:
        return sum(size.share for size in self.sizes)


def size_of(pid: int) -> Size:
    """As the system says. Raises ``OSError`` where it does not."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kilobytes = {name: int(kb) for name, kb in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    rss, pss, own = (kilobytes[name] * _KB / _MB for name in ("Rss", "Pss", "Anonymous"))
    return Size(rss, pss, own)


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *sorted(int(child) for path in children for child in path.read_text().split())]


Running = tuple[subprocess.Popen[bytes], int]


@contextmanager
def running(about: Mapping[str, Any], folder: Path) -> Iterator[Running]:
    """``run`` on the stream, and the port of its metrics."""
    port, url = free_port(), f"127.0.0.1:{about['port']}"
    command = [sys.executable, "-m", "atdata.cli", "index", "run", "--metrics-port", str(port)]
    command += ["--dev", "--db", str(folder / "a.duckdb")]
    command += ["--source", f"ws://{url}", "--plc", f"http://{url}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield process, port
        finally:
            process.send_signal(signal.SIGTERM)


def frames_of(port: int) -> int:
    """How many frames the writer has taken; 0 while nobody answers."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except URLError:
        return 0
    return sum(
        int(float(line.split()[-1])) for line in lines if line.startswith("atdata_indexer_frames_t")
    )


def readings(about: Mapping[str, Any], step: int = STEP) -> Iterator[Reading]:
    """One after each ``step`` frames, and one at the end."""
    with tempfile.TemporaryDirectory() as name, running(about, Path(name)) as (process, port):
        frames, due, ends = 0, step, time.monotonic() + _PATIENCE
        while frames < about["frames"]:
            frames = frames_of(port)
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError((Path(name) / "log").read_text()[-4_000:])
            if frames >= min(due, about["frames"]):
                yield Reading(frames, tuple(map(size_of, family(process.pid))))
                due = frames - frames % step + step
            time.sleep(_POLL)


def cell(size: Size) -> str:
    return f"{size.resident:10.0f} {size.share:5.0f} {size.own:5.0f}"


def report(goals: Goals, about: Mapping[str, Any]) -> None:
    """The table, and whether all of it stays below what was to be, and where it was."""
    step = min(STEP, about["frames"] // 8)
    print(f"memory with the defaults of the command, {about['frames']:,} frames, in MB:")
    print("  frames         writer: RSS   PSS   own    receiving: RSS   PSS   own    sum of PSS")
    totals: list[float] = []
    for reading in readings(about, step):
        cells = "    ".join(
            f"{s.resident:10.0f} {s.share:5.0f} {s.own:5.0f}" for s in reading.sizes
        )
        print(f"  {reading.frames:10,}   {cells}    {reading.total:10.0f}", flush=True)
        totals.append(reading.total)
    half = len(totals) // 2
    early, late = max(totals[half // 2 : half]), max(totals[half:])
    most = goals.verdict("memory of both processes", "300 MB", max(totals) < 300)
    flat = goals.verdict("growth of their memory", "10 MB", late - early < 10)
    print(f"  at most {max(totals):.0f} MB {most}; second half − second quarter", end=" ")
    print(f"{late - early:+.0f} MB {flat}")

"""``python -m tests.bench.firehose``: the indexer against bare loops and the SDK, as ratios.

All consumers read the same frames in one run, in alternating rounds, each in a new process that is
held to one core; the server has the other. Medians. Ratios are of throughput, by the clock and by
CPU time, which says more on a machine that has other work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, get_args

from indexer.metrics import Stage
from indexer.recording_files import FrameWriter, RecordedFrame
from tests.bench import firehose_memory
from tests.bench.firehose_stream import TAPE, Plan, Stream
from tests.bench.goals import Goals
from tests.indexer.repo_builder import NOW_US

Results = dict[str, list[dict[str, Any]]]
SLOW = {"sdk": 5, "websockets": 2}
"""Who reads only a part of the stream, so that a run ends some day."""
ROLES = ("raw", "websockets", "sdk", "ours, websockets", "ours, bulk")
FIRST_STAGES = ("receive", "screen")


@contextmanager
def served(kind: str, count: int) -> Iterator[dict[str, int]]:
    """What the server says of itself, while it runs."""
    command = [sys.executable, "-m", "tests.bench.firehose_stream", kind, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())
        server.stdin.close()


def consume(role: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """One round of one consumer."""
    command = [sys.executable, "-m", "tests.bench.firehose_consumers", role, json.dumps(about)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(about: Mapping[str, Any], rounds: int, roles: Sequence[str]) -> Results:
    results: Results = {role: [] for role in roles}
    for _ in range(rounds):
        for role in roles:
            some = {**about, "frames": about["frames"] // SLOW.get(role, 1)}
            results[role].append({**consume(role, some), "frames": some["frames"]})
    return results


def rate(results: list[dict[str, Any]], clock: str = "seconds") -> float:
    return float(median(result["frames"] / result[clock] for result in results))


def against_others(goals: Goals, options: argparse.Namespace) -> None:
    """From the socket."""
    with served("mixed", options.frames) as about:
        size = about["bytes"] / about["frames"]
        print(f"{about['frames']:,} frames of {size:,.0f} bytes, {about['matching']} matching")
        results = compare(about, options.rounds, (*ROLES, *FIRST_STAGES))
    stages = {role: results.pop(role) for role in FIRST_STAGES}
    show(results)
    for role in ("ours, websockets", "ours, bulk"):
        assert all(r["found"] == about["matching"] for r in results[role]), results[role]
    ratio(goals, results, "ours, websockets", "websockets", 0.75)
    ratio(goals, results, "ours, websockets", "sdk", 3.0)
    ratio(goals, results, "ours, bulk", "sdk", 8.0)
    ratio(goals, results, "ours, bulk", "raw", 0.30)
    show_stages(about, stages, results["ours, bulk"])


def show_stages(about: Mapping[str, Any], first: Results, whole: list[dict[str, Any]]) -> None:
    """What each stage costs. The first two are runs that end after them, and cost what a run has
    more than the one before. The writer's are what it counts itself at the borders of its runs; the
    rest is the queue, the loop, and identities, which other threads ask for."""
    received, screened, all_of_it = (1e6 / rate(f, "cpu") for f in (*first.values(), whole))
    print("  by stage, in µs of CPU time:")
    print(f"    receive {received:9.2f} a frame")
    print(f"    screen  {screened - received:9.2f} a frame")
    rest = (all_of_it - screened) * about["frames"] / about["matching"]
    for stage in get_args(Stage):
        took = median(result["stages"][stage] for result in whole) / about["matching"] * 1e6
        rest -= took
        print(f"    {stage:7} {took:9.2f} a matching commit")
    print(f"    rest    {rest:9.2f} a matching commit")
    print(f"    in all  {all_of_it:9.2f} a frame")


def from_disk(goals: Goals, options: argparse.Namespace) -> None:
    """The same frames from the files of a recording."""
    with served("mixed", options.frames // 5) as about, tempfile.TemporaryDirectory() as folder:
        tape = FrameWriter(Path(folder), TAPE, "ws://tape", level=1)
        for frame in Stream(Plan(about["frames"])).messages():
            tape.write(RecordedFrame(NOW_US, frame), None)
        tape.close()
        roles = ("scan", "ours, disk")
        results = compare({**about, "recording": folder}, options.rounds, roles)
    show(results)
    assert all(result["found"] == about["matching"] for result in results["ours, disk"])
    ratio(goals, results, "ours, disk", "scan", 0.5)


def verified(goals: Goals, options: argparse.Namespace) -> None:
    """Commits that all matter."""
    with served("matching", options.matching) as about:
        results = compare(about, options.rounds, ("ours, bulk", *FIRST_STAGES))
    found = results.pop("ours, bulk")
    assert all(result["found"] == about["matching"] for result in found), found
    speed = rate(found)
    verdict = goals.verdict("verified commits", "2,000/s", speed >= 2_000)
    print(f"matching commits: {speed:,.0f}/s into DuckDB {verdict}")
    show_stages(about, results, found)


def memory(goals: Goals, frames: int) -> None:
    """Over a long stream."""
    with served("mixed", frames) as about:
        firehose_memory.report(goals, about)


def show(results: Results) -> None:
    for role, found in results.items():
        wall, cpu = rate(found), rate(found, "cpu")
        rss = max(result["rss"] for result in found)
        print(f"  {role:20} {wall:10,.0f} frames/s   {cpu:10,.0f} by CPU time   {rss:5.0f} MB")


def ratio(goals: Goals, results: Results, ours: str, bare: str, goal: float) -> None:
    """By the clock, which is what counts; CPU time tells what a machine with other work spoils."""
    wall = rate(results[ours]) / rate(results[bare])
    cpu = rate(results[ours], "cpu") / rate(results[bare], "cpu")
    verdict = goals.verdict(f"{ours} ÷ {bare}", str(goal), wall >= goal)
    print(f"  {ours} ÷ {bare}: {wall:.2f}, by CPU time {cpu:.2f} {verdict}")


def go_first() -> None:
    """Round-robin priority, for the server and the consumers too, so that other work on the machine
    starves neither. It has to be allowed, and it stops everything else on two cores: short runs."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_500_000)
    parser.add_argument("--matching", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", type=int, default=5_000_000, help="frames for the memory")
    parser.add_argument("--first", action="store_true", help="before all else on this machine")
    options = parser.parse_args()
    if options.first:
        go_first()
    goals = Goals()
    against_others(goals, options)
    from_disk(goals, options)
    verified(goals, options)
    memory(goals, options.long)
    goals.end()


if __name__ == "__main__":
    main()

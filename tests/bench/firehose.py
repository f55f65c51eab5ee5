"""``python -m tests.bench.firehose``: the indexer against bare loops and the SDK, as ratios.

All consumers read the same frames in one run, in alternating rounds, each in a new process that is
held to one core; the server has the other. Medians. Ratios are of throughput, by the clock and by
CPU time, which says more on a machine that has other work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

from indexer.screen import Screen
from tests.bench.firehose_stream import FIRST_SEQ, Segment, noise

ROLES = ("raw", "websockets", "sdk", "ours, websockets", "ours, bulk")


@contextmanager
def served(kind: str, count: int) -> Iterator[dict[str, int]]:
    """What the server says of itself, while it runs."""
    command = [sys.executable, "-m", "tests.bench.firehose_stream", kind, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())
        server.stdin.close()


def consume(role: str, about: Mapping[str, int]) -> dict[str, Any]:
    """One round of one consumer."""
    command = [sys.executable, "-m", "tests.bench.firehose_consumers", role, json.dumps(about)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(about: Mapping[str, int], rounds: int) -> dict[str, list[dict[str, Any]]]:
    results: dict[str, list[dict[str, Any]]] = {role: [] for role in ROLES}
    for _ in range(rounds):
        for role in ROLES:
            results[role].append(consume(role, about))
    return results


def screening(frames: int = 2_000) -> float:
    """Microseconds that the screen takes for a frame of noise as it lies in the stream."""
    segment = Segment(noise(frames))
    segment.number(FIRST_SEQ)
    data, screen, times = segment.data, Screen("bench", frozenset[bytes]()), []
    for _ in range(7):
        started, at = time.perf_counter(), 0
        while at < len(data):
            at = screen.skim(data, at, len(data))
            if at < len(data):
                long = data[at + 1] == 126
                start = at + (4 if long else 2)
                at = start + (int.from_bytes(data[at + 2 : start]) if long else data[at + 1])
                screen.take(data, start, at)
        screen.settle(screen.items(0))
        times.append(time.perf_counter() - started)
    return min(times) / frames * 1e6


def rate(results: list[dict[str, Any]], frames: int, clock: str = "seconds") -> float:
    return frames / median(result[clock] for result in results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--matching", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with served("mixed", options.frames) as about:
        size = about["bytes"] / about["frames"]
        print(f"{about['frames']:,} frames of {size:,.0f} bytes, {about['matching']} matching")
        results, frames = compare(about, options.rounds), about["frames"]
    rates = {role: rate(found, about["frames"]) for role, found in results.items()}
    for role, found in results.items():
        cpu = rate(found, about["frames"], "cpu")
        rss = max(result["rss"] for result in found)
        print(
            f"  {role:20} {rates[role]:10,.0f} frames/s   {cpu:10,.0f} by CPU time   {rss:5.0f} MB"
        )
    for role in ("ours, websockets", "ours, bulk"):
        assert all(r["found"] == about["matching"] for r in results[role]), results[role]
    targets = (
        ("ours, websockets", "websockets", 0.75),
        ("ours, websockets", "sdk", 3.0),
        ("ours, bulk", "sdk", 8.0),
        ("ours, bulk", "raw", 0.30),
    )
    for ours, bare, target in targets:
        wall = rates[ours] / rates[bare]
        count = about["frames"]
        cpu = rate(results[ours], count, "cpu") / rate(results[bare], count, "cpu")
        print(f"  {ours} ÷ {bare}: {wall:.2f}, by CPU time {cpu:.2f} (at least {target})")
    with served("matching", options.matching) as about:
        found = [consume("ours, bulk", about) for _ in range(options.rounds)]
    assert all(result["found"] == about["matching"] for result in found), found
    print(f"matching commits: {rate(found, about['frames']):,.0f}/s into DuckDB (at least 2,000)")
    receive = 1e6 / rate(results["raw"], 1, "cpu") / frames
    print(f"  receive    {receive:6.1f} µs a frame")
    print(f"  screen     {screening():6.1f} µs a frame")
    for stage in ("prove", "write", "batch"):
        cost = median(result[stage] for result in found) / about["frames"] * 1e6
        print(f"  {stage:10} {cost:6.0f} µs a commit{' (all of it)' if stage == 'batch' else ''}")


if __name__ == "__main__":
    main()

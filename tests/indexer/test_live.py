"""The live line: what it says is what the metrics say."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from indexer.drops import DropReason
from indexer.live import line, read, show
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

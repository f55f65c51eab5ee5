"""What the indexer counts, as Prometheus metrics in a registry that the caller owns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from indexer.batch import Batch
from indexer.queues import Depths

PREFIX = "atdata_indexer"


Stage = Literal["decode", "verify", "decide", "write"]


class Queues(Collector):
    """Asks at each scrape, in its thread: what is asked may be at work meanwhile."""

    def __init__(
        self, depths: Callable[[], Depths], limits: Depths, reasons: Callable[[], Mapping[str, int]]
    ) -> None:
        self._depths, self._limits, self._reasons = depths, limits, reasons

    def collect(self) -> Iterable[Metric]:
        yield _family("queue_depth", "What waits, by queue", "queue", self._depths().items())
        yield _family("queue_limit", "How much of it may wait", "queue", self._limits.items())
        about = "Drops that are kept with their bytes"
        yield _family("quarantined", about, "reason", self._reasons().items())


class Sources(Collector):
    """Asked at each scrape, as ``Queues`` is: a writer that waits says nothing by itself."""

    def __init__(
        self, lags: Callable[[], Mapping[str, float]], connected: Callable[[], Mapping[str, bool]]
    ) -> None:
        self._lags, self._connected = lags, connected

    def collect(self) -> Iterable[Metric]:
        about = "How far what is durable is behind what happens at the source"
        yield _family("lag_seconds", about, "source", self._lags().items())
        about = "1 while the source is connected"
        yield _family("connected", about, "source", self._connected().items())


def _family(name: str, about: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", about, labels=[label])
    for key, value in values:
        family.add_metric([str(key)], value)
    return family


class Metrics:
    """One per indexer. Seconds and plain counts; labels are our own enums and sources."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix, self._registry = PREFIX, registry
        self.frames = Counter(f"{prefix}_frames", "Frames received", ["source"], registry=registry)
        self.screened = Counter(
            f"{prefix}_screened", "Frames that could not matter", registry=registry
        )
        self.regressed = Counter(
            f"{prefix}_regressed",
            "Screened frames whose seq did not rise",
            ["source"],
            registry=registry,
        )
        self.events = Counter(
            f"{prefix}_events", "Events that were looked at, by kind", ["kind"], registry=registry
        )
        self.verified = Counter(
            f"{prefix}_verified", "Commits whose proof was complete", registry=registry
        )
        self.drops = Counter(
            f"{prefix}_drops", "Not indexed, by reason", ["reason"], registry=registry
        )
        self.changes = Counter(
            f"{prefix}_changes", "Records put, deleted, hidden or shown", registry=registry
        )
        self.repos = Gauge(f"{prefix}_repos", "Tracked repos", registry=registry)
        self.resyncing = Gauge(
            f"{prefix}_resyncing", "Repos that wait to be fetched", registry=registry
        )
        self.cursor = Gauge(
            f"{prefix}_cursor", "Low watermark of the source", ["source"], registry=registry
        )
        self.unsettled = Gauge(
            f"{prefix}_unsettled",
            "Items of the source that are received and not durable yet",
            ["source"],
            registry=registry,
        )
        self._stages = Counter(
            f"{prefix}_stage_cpu_seconds",
            "CPU time of the writer's own thread, by stage",
            ["stage"],
            registry=registry,
        )
        self.prove_seconds = Histogram(
            f"{prefix}_prove_seconds",
            "Identities, signatures and trees of a run",
            registry=registry,
        )
        self.batch_seconds = Histogram(
            f"{prefix}_batch_seconds", "From a run of frames to durable", registry=registry
        )
        self.write_seconds = Histogram(
            f"{prefix}_write_seconds", "The transaction alone", registry=registry
        )

    def watch(
        self, depths: Callable[[], Depths], limits: Depths, reasons: Callable[[], Mapping[str, int]]
    ) -> None:
        """Show what waits: ``depths`` and ``limits`` by queue, ``reasons`` by reason of a drop."""
        self._registry.register(Queues(depths, limits, reasons))

    def watch_sources(
        self, lags: Callable[[], Mapping[str, float]], connected: Callable[[], Mapping[str, bool]]
    ) -> None:
        """Show where the sources stand, by URL: ``lags`` in seconds, of those that are known."""
        self._registry.register(Sources(lags, connected))

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """What the block costs is counted; once for each run of frames, not for each frame."""
        started = time.thread_time()
        try:
            yield
        finally:
            self._stages.labels(stage).inc(time.thread_time() - started)

    def applied(self, batch: Batch, changes: int) -> None:
        """``batch`` is durable, and made so many changes."""
        self.changes.inc(changes)
        for reason, count in batch.drops.items():
            self.drops.labels(reason).inc(count)

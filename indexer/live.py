"""The live line of ``run`` at a terminal: how fast, how far behind, what was taken and what not.

Everything is read from the registry that Prometheus reads too, so that both always say the same.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from indexer.metrics import PREFIX
from indexer.queues import Queue

_QUEUED = (Queue.FRAMES, Queue.SPILLED_FRAMES)
_COLUMNS = 80
_REASONS = 4  # that are named; the others are in the metrics


@dataclass(frozen=True, slots=True)
class Reading:
    """What the indexer had counted at one moment. ``lag`` in seconds is that of the source that is
    furthest behind, None before the first event; ``queued`` are items before the writer; of all
    ``sources`` some are ``connected``."""

    frames: int
    matched: int
    verified: int
    dropped: Mapping[str, int]
    lag: float | None
    queued: int
    connected: int
    sources: int


def read(registry: CollectorRegistry) -> Reading:
    """The present counts."""
    frames = matched = verified = queued = 0
    dropped: dict[str, int] = {}
    lags: list[float] = []
    connected: list[bool] = []
    for metric in registry.collect():
        for sample in metric.samples:
            value = int(sample.value)
            match sample.name.removeprefix(f"{PREFIX}_"):
                case "frames_total":
                    frames += value
                case "events_total" if sample.labels["kind"] == "Commit":
                    matched = value
                case "verified_total":
                    verified = value
                case "drops_total" if value:
                    dropped[sample.labels["reason"]] = value
                case "lag_seconds":
                    lags.append(sample.value)
                case "connected":
                    connected.append(value == 1)
                case "queue_depth" if sample.labels["queue"] in _QUEUED:
                    queued += value
    lag = max(lags, default=None)
    return Reading(frames, matched, verified, dropped, lag, queued, sum(connected), len(connected))


def line(before: Reading, now: Reading, seconds: float) -> str:
    """One line: the rate is that of the last ``seconds``, all else since the start. What may be
    missing at its end in a narrow terminal is the least."""
    most = sorted(now.dropped.items(), key=lambda item: (-item[1], item[0]))
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in most[:_REASONS])
    parts = (
        f"{(now.frames - before.frames) / seconds:,.0f} frames/s",
        "lag –" if now.lag is None else f"lag {now.lag:,.1f} s",
        f"{now.connected} of {now.sources} sources",
        f"queue {now.queued:,}",
        f"matched {now.matched:,}",
        f"verified {now.verified:,}",
        f"dropped {sum(now.dropped.values()):,}" + (f" ({reasons})" if reasons else ""),
    )
    return " · ".join(parts)


def fitted(text: str, columns: int) -> str:
    """``text``, cut so that it ends before the last of ``columns``: from there on a terminal would
    go to the next line, and nothing could be written over this one any more."""
    return text if len(text) < columns else f"{text[: max(0, columns - 2)]}…"


async def show(
    registry: CollectorRegistry,
    write: Callable[[str], object],
    seconds: float = 1.0,
    columns: Callable[[], int] = lambda: _COLUMNS,
) -> None:
    """Write the line again and again, over itself, until cancelled. ``columns`` is the width of the
    terminal, which may change."""
    before, at = read(registry), time.monotonic()
    while True:
        await asyncio.sleep(seconds)
        now, moment = read(registry), time.monotonic()
        write(f"\x1b[K{fitted(line(before, now, moment - at), columns())}\r")
        before, at = now, moment


@asynccontextmanager
async def live_line(registry: CollectorRegistry) -> AsyncIterator[None]:
    """Show the line for the time of the block, if standard error is a terminal."""
    terminal = sys.stderr.isatty()
    showing = (
        asyncio.create_task(show(registry, _write_at_once, columns=_columns)) if terminal else None
    )
    try:
        yield
    finally:
        if showing is not None:
            showing.cancel()


def _columns() -> int:
    """Of the terminal that standard error is; one that does not say is taken for a usual one."""
    return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS


def _write_at_once(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()

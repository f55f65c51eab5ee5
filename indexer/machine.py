"""What the machine says: the time, in the indexer's unit, and how many cores we may use."""

from __future__ import annotations

import os
import time


def microseconds() -> int:
    """Since 1970."""
    return time.time_ns() // 1_000


def cores() -> int:
    """That this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # which not every system has
    return (os.cpu_count() or 1) if affinity is None else len(affinity(0))

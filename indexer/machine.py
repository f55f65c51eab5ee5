"""What the machine says: the time, in the indexer's unit, and how many cores we may use."""

from __future__ import annotations

import os
import sys
import time


def microseconds() -> int:
    """Since 1970."""
    return time.time_ns() // 1_000


def cores() -> int:
    """That this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

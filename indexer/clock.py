"""The system's clock, in the indexer's unit."""

from __future__ import annotations

import time


def microseconds() -> int:
    """Since 1970."""
    return time.time_ns() // 1_000

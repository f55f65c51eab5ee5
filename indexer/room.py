"""Room on the file system of the index: the writer stops before there is none.

Rule protected here: a full disk ends the indexer with its reason. DuckDB 1.5 ends the process with
none if a small transaction that replaces rows meets a full disk, since it cannot take it back. So
the writer looks first, and what can be done without (snapshots, the file for floods) leaves it
several times what it needs.
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

LEAST = 32_000_000
"""Bytes that must be free before a transaction: twice what DuckDB's log has before it is written
back."""

SPARED = 4
"""What can be done without leaves so many times as much."""


@dataclass(frozen=True, slots=True)
class Room:
    """Where ``folder`` is, ``left`` bytes shall be left free. With 0 nobody looks."""

    folder: Path
    left: int

    def shortage(self, size: int = 0) -> str | None:
        """Why ``size`` bytes should not be written; None if they may be, or the system does not
        say."""
        if not self.left:
            return None
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError:
            return None  # whoever writes will hear why
        if free - size >= self.left:
            return None
        return f"the disk is nearly full: {free:,} bytes are free, and {self.left:,} must be left"

    def demand(self, size: int) -> None:
        """Raises ``OSError`` (ENOSPC) if ``size`` bytes should not be written."""
        if (why := self.shortage(size)) is not None:
            raise OSError(errno.ENOSPC, why)

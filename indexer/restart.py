"""One second chance: a process whose database failed under it replaces itself by a new one, once.

Rules protected here: a fatal error of DuckDB invalidates the whole handle, so that nothing short of
a new process helps; a fault that comes back within the hour ends the process for good.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import duckdb
import structlog

from atdata.protocol.errors import StoreError
from indexer.database import DamagedFile, refusal

OPTION = "--restarted"
"""Hidden, of the commands that run the indexer: when it was, and whether the file is suspect."""

_AGAIN_SECONDS = 3_600

log = structlog.get_logger(__name__)


def is_suspect(option: str | None) -> bool:
    """Whether the process before this one found damage, by the value of ``OPTION``."""
    return option is not None and option.endswith("-suspect")


def command(arguments: Sequence[str], error: BaseException, now: float) -> list[str] | None:
    """With which arguments to begin anew after ``error``, at ``now`` (seconds since 1970); None if
    that was tried within the hour, or ``error`` is not the database's."""
    if not isinstance(error, StoreError):
        return None
    kept = list(arguments)
    if OPTION in kept:
        place = kept.index(OPTION)
        if now - int(kept[place + 1].partition("-")[0]) < _AGAIN_SECONDS:
            return None
        del kept[place : place + 2]
    suspect = "-suspect" if _is_damage(error) else ""
    return [*kept, OPTION, f"{int(now)}{suspect}"]


def instead_of(error: BaseException, now: float) -> None:
    """Become a new process with the same arguments, if ``error`` allows it; otherwise return."""
    arguments = command(sys.orig_argv[1:], error, now)
    if arguments is None:
        return
    log.error("the indexer ended and starts anew, once", why=str(error))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - what we were started as


def _is_damage(error: BaseException) -> bool:
    """Whether what DuckDB said is more than a full disk or the like."""
    cause = error.__cause__
    if isinstance(error, DamagedFile):
        return True
    return isinstance(cause, duckdb.Error) and refusal(cause) is None

"""How much memory DuckDB may take: little, and as much as its file needs.

Where the indexer is alone, memory is to stay small. But with a quarter of the file, a commit into a
million records cost eight times the processor time that it did with half of it; with more than half
it cost no less. So the limit follows the file while it grows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
import structlog

from atdata.protocol.errors import quote

SEARCHED = "1GB"
"""Where searches share it."""

_LEAST, _MOST = 128_000_000, 1_000_000_000
_LOOK_SECONDS = 60.0

log = structlog.get_logger(__name__)


def limit_for(file_bytes: int) -> str:
    """Of the indexer alone, in DuckDB's spelling: half of the file, within bounds."""
    return f"{max(_LEAST, min(_MOST, file_bytes // 2))}B"


def alone(db: Path) -> str:
    """``limit_for`` the file at ``db``, which may not be there yet."""
    try:
        return limit_for(db.stat().st_size)
    except OSError:
        return limit_for(0)


@asynccontextmanager
async def following(
    connection: duckdb.DuckDBPyConnection, db: Path, seconds: float = _LOOK_SECONDS
) -> AsyncIterator[None]:
    """Have the limit of ``connection`` follow the size of its file for the time of the block."""
    task = asyncio.create_task(_follow(connection, db, alone(db), seconds))
    try:
        yield
    finally:
        task.cancel()


async def _follow(
    connection: duckdb.DuckDBPyConnection, db: Path, known: str, seconds: float
) -> None:
    while True:
        await asyncio.sleep(seconds)
        before, known = known, alone(db)
        if known == before:
            continue
        try:
            connection.cursor().execute(f"SET GLOBAL memory_limit = '{known}'")
        except duckdb.Error as error:  # it is in use, or all is lost, which the writer will say
            log.warning("memory limit not changed", limit=known, why=quote(str(error), 200))

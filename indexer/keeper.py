"""Snapshots on a schedule, beside the writer, which goes on meanwhile.

Rule protected here: a snapshot that can't be written (a full disk) is said and tried again; an
index that can't be read to its end stops the indexer, since that is damage.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import structlog

from atdata.protocol.errors import StoreError
from indexer import snapshots
from indexer.resync import InWriter
from indexer.snapshots import Abandoned, DamagedSnapshot, Snapshot
from indexer.threads import in_thread
from indexer.turns import Turns

SNAPSHOT = "snapshot"  # in meta
_FIRST_SECONDS = 300.0  # after the start, where there is none yet
_RETRY_SECONDS = 600.0

log = structlog.get_logger(__name__)


class Keeper:
    """Of one event loop. ``clock`` gives microseconds since 1970. ``spare`` bytes of the disk are
    left free."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        folder: Path,
        turns: Turns,
        in_writer: InWriter,
        clock: Callable[[], int],
        *,
        seconds: float,
        keep: int,
        spare: int,
    ) -> None:
        self._connection, self._folder, self._clock = connection, folder, clock
        self._turns, self._in_writer = turns, in_writer
        self._seconds, self._keep, self._spare = seconds, keep, spare

    async def run(self) -> None:
        """Until cancelled; a snapshot in the making is given up then. Raises ``StoreError``."""
        pause = self._first_pause()
        while True:
            await asyncio.sleep(pause)
            try:
                made = await self._take()
            except (OSError, DamagedSnapshot) as error:
                log.error("snapshot not written", folder=str(self._folder), why=str(error))
                pause = min(self._seconds, _RETRY_SECONDS)
                continue
            manifest = made.manifest
            log.info("snapshot written", snapshot=made.path.name, rows=manifest.rows)
            text = json.dumps({"taken_at": manifest.taken_at, "rows": manifest.rows})
            await self._in_writer(lambda: self._turns.remember(SNAPSHOT, text))  # noqa: B023
            pause = self._seconds

    def _first_pause(self) -> float:
        last = snapshots.newest(self._folder)
        if last is None:
            return min(self._seconds, _FIRST_SECONDS)
        age = (self._clock() - last.manifest.taken_at) / 1e6
        return min(self._seconds, max(0.0, self._seconds - age))

    async def _take(self) -> Snapshot:
        abandoned, at = threading.Event(), self._clock()
        work = asyncio.create_task(
            in_thread(
                lambda: snapshots.take(
                    self._connection,
                    self._folder,
                    at=at,
                    keep=self._keep,
                    spare=self._spare,
                    abandoned=abandoned,
                ),
                "snapshot",
            )
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            abandoned.set()  # the connection is closed next: not before the thread has left it
            with contextlib.suppress(Abandoned, OSError, StoreError):
                await work
            raise

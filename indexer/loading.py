"""Index a recording from its files, as fast as that goes, and end.

Rule: nobody is asked but the recording. Identities, repos and what the sources are come from its
own network on one loopback port, whose URLs the cursors are kept under: on the same port a load
that broke off is resumed, and ``serve --recording`` goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from prometheus_client import CollectorRegistry

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.disk import DiskIntake
from indexer.intake import Cursor
from indexer.live import live_line
from indexer.pipeline import Indexer
from indexer.recording_files import Recording
from indexer.replay import ReplayServer
from indexer.tracked import Tracked

_LOOK_SECONDS = 0.01


async def load(folder: Path, db: Path, *, port: int = 0) -> int:
    """How many records ``db`` holds then. ``port`` 0 is any that is free.

    Raises ``InvalidRecord`` for what is no whole recording, ``StoreError``.
    """
    recording, registry = Recording.open(folder), CollectorRegistry()
    async with ReplayServer(recording, port=port) as server:
        urls = server.sources
        config = IndexerConfig(
            sources=tuple(urls.values()), db=db, plc=server.origin, dev=True, sweep=False
        )
        connection, http = open_database(db), HttpClient(Policy(dev=True))
        intakes: list[DiskIntake] = []

        def intake(cursor: Cursor, tracked: Tracked) -> DiskIntake:
            intakes.append(DiskIntake(recording, urls, cursor, tracked))
            return intakes[0]

        try:
            resolver = Resolver(http, plc=config.plc)
            indexer = Indexer(config, connection, resolver, registry=registry, intake=intake)
            running = asyncio.create_task(indexer.run())
            async with live_line(registry):
                await _until_done(indexer, intakes[0], running)
            found = connection.cursor().execute("SELECT count(*) FROM records").fetchone()
            return int(found[0]) if found else 0
        finally:
            http.close()
            connection.close()


async def _until_done(indexer: Indexer, intake: DiskIntake, running: asyncio.Task[None]) -> None:
    """Everything was read, and the repos that it made us want were fetched."""
    try:
        while not running.done():
            if intake.ended and indexer.status().resyncing == 0:
                break
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        indexer.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await running

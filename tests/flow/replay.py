"""The demo recording as a network on loopback, served from a thread of the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.recordings import Recording, ReplayServer
from tests.flow.node import Node

DEMO = Path(__file__).resolve().parents[2] / "recordings" / "demo"


@contextmanager
def replaying(port: int, rate: float | None = None) -> Iterator[ReplayServer]:
    """Serve ``recordings/demo`` on ``port`` until the block ends. ``rate`` is frames a second."""
    server = ReplayServer(Recording.open(DEMO), port=port, rate=rate)
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10), "the replay server did not start"
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def demo_is_indexed(running: Node) -> bool:
    """Both cursors at the recording's end, no repo left to fetch, and the text index level with the
    rows."""
    last = {source.last_seq for source in Recording.open(DEMO).manifest.sources}
    status = running.get("/xrpc/ac.foundation.dataset.getIndexStatus")
    done = {source["cursor"] for source in status["sources"]}
    if len(status["sources"]) != 2 or done != last:
        return False
    after = running.get("/xrpc/ac.foundation.dataset.getIndexStatus")
    return (
        running.metric("atdata_indexer_resyncing") == 0
        and after["textChanges"] == after["changes"] == status["changes"]
    )

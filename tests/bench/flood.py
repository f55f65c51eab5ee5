"""``python -m tests.bench.flood``: how long others wait while one repo floods.

A server of its own sends the flood as fast as it is read, and between its commits those of others,
one each. It notes when each of them was handed to the system; we note when its row is there. The
goal: none waits for more than a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import structlog
from prometheus_client import CollectorRegistry

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.machine import cores
from indexer.pipeline import Indexer
from indexer.queues import Queue
from tests.indexer.network import until

GOAL = 1.0  # seconds
_POLL = 0.01


async def watch(connection: duckdb.DuckDBPyConnection, others: int) -> dict[str, float]:
    """When each of the others' rows was seen first."""
    seen: dict[str, float] = {}
    while len(seen) < others:
        query = "SELECT did FROM records r JOIN datasets d USING (doc) WHERE d.name = 'quiet'"
        for (did,) in connection.cursor().execute(query).fetchall():
            seen.setdefault(did, time.time())
        await asyncio.sleep(_POLL)
    return seen


async def follow(about: dict[str, Any], folder: Path) -> tuple[dict[str, float], float, int]:
    """When the others were seen, how long all of it took, and the most that waited in the file."""
    config = IndexerConfig(
        sources=(f"ws://127.0.0.1:{about['port']}",),
        db=folder / "index.duckdb",
        plc=f"http://127.0.0.1:{about['port']}",
        dev=True,
        sweep=False,
        ping_seconds=3_600,  # the server sends, and does not listen
    ).on(cores())
    connection, http = open_database(config.db), HttpClient(Policy(dev=True))
    registry = CollectorRegistry()
    indexer = Indexer(config, connection, Resolver(http, plc=config.plc), registry=registry)
    task, started, most = asyncio.create_task(indexer.run()), time.time(), 0
    watching = asyncio.create_task(watch(connection, about["others"]))

    def at_the_end() -> bool:
        nonlocal most
        spill = {"queue": str(Queue.SPILL_BYTES)}
        most = max(most, int(registry.get_sample_value("atdata_indexer_queue_depth", spill) or 0))
        return task.done() or indexer.status().sources[0].cursor == about["last_seq"]

    await until(at_the_end, lambda: str(indexer.status()), seconds=1_200)
    took = time.time() - started
    seen = await asyncio.wait_for(watching, 60)
    drops = indexer.status().drops
    assert not drops, drops
    indexer.stop()
    await task
    http.close()
    connection.close()
    return seen, took, most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=100_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    command = [sys.executable, "-m", "tests.bench.firehose_stream", "flood", str(options.commits)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        about = json.loads(server.stdout.readline())
        seen, took, spilled = asyncio.run(follow(about, Path(folder)))
        sent: dict[str, float] = json.loads(server.stdout.readline())
        server.stdin.close()
    delays = sorted(seen[did] - sent[did] for did in sent)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    verdict = "met" if delays[-1] <= GOAL else "MISSED"
    print(f"{options.commits:,} commits of one repo in {took:.1f} s, {len(delays)} others between")
    print(
        f"  their rows: median {delays[len(delays) // 2]:.2f} s, worst {delays[-1]:.2f} s", end=""
    )
    print(f" (at most {GOAL:.0f}: {verdict})")
    print(f"  memory {rss:.0f} MB, at most {spilled / 1e6:.0f} MB in the file")
    return delays[-1] > GOAL


if __name__ == "__main__":
    sys.exit(main())

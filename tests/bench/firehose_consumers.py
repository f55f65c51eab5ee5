"""The consumers that the benchmark compares: one process each, on one core, one JSON line.

Seconds run from the first byte to the last frame; for the indexer, until its cursor is durable.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import structlog
from atproto import (
    FirehoseSubscribeReposClient,
    firehose_models,
    models,
    parse_subscribe_repos_message,
)
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.namespaces import SCAN_PREFIXES
from indexer.bulk import BulkConnection
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.disk import DiskIntake
from indexer.frames import MAX_FRAME
from indexer.intake import Cursor, LocalIntake
from indexer.metrics import Stage
from indexer.pipeline import Indexer, MakeIntake
from indexer.received import Item, frames_of
from indexer.recording_files import Manifest, Recording
from indexer.screen import Buffer
from indexer.subscribe import Receiver
from indexer.tracked import Tracked
from tests.bench.firehose_stream import TAPE
from tests.indexer.network import until
from tests.indexer.repo_builder import NOW_US

PATH = "/xrpc/com.atproto.sync.subscribeRepos?cursor=0"
PREFIXES = ("ac.foundation.dataset.", "science.alt.dataset.")


class Watch:
    """Starts with the first byte."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def start(self) -> None:
        if not self.wall:
            self.wall, self.cpu = time.perf_counter(), time.process_time()

    def report(self, **more: object) -> None:
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        print(json.dumps({"seconds": seconds, "cpu": cpu, "rss": rss, **more}))


def raw(port: int, about: dict[str, int]) -> None:
    """Bare socket reads: a request by hand, then bytes and nothing else."""
    watch, sock = Watch(), socket.create_connection(("127.0.0.1", port))
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    sock.sendall(
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    while not sock.recv(65_536, socket.MSG_PEEK).count(b"\r\n\r\n"):
        pass
    watch.start()
    buffer, left = bytearray(1 << 20), about["bytes"]
    while left > 0:
        left -= sock.recv_into(buffer)
    watch.report()


def websockets(port: int, about: dict[str, int]) -> None:
    """The library's receive loop, which throws every message away."""

    async def loop() -> None:
        watch = Watch()
        async with connect(f"ws://127.0.0.1:{port}{PATH}", compression=None, max_size=None) as ws:
            watch.start()
            for _ in range(about["frames"]):
                await ws.recv()
            watch.report()
            os._exit(0)

    asyncio.run(loop())


def sdk(port: int, about: dict[str, int]) -> None:
    """The SDK's client: parse every message, look for ops in our collections, do nothing."""
    watch, seen, found = Watch(), 0, 0

    def on_message(message: firehose_models.MessageFrame) -> None:
        nonlocal seen, found
        watch.start()
        seen += 1
        event = parse_subscribe_repos_message(message)
        if isinstance(event, models.ComAtprotoSyncSubscribeRepos.Commit):
            found += any(op.path.startswith(PREFIXES) for op in event.ops)
        if seen == about["frames"]:
            watch.report(found=found)
            sys.stdout.flush()
            os._exit(0)

    FirehoseSubscribeReposClient({"cursor": 0}, f"ws://127.0.0.1:{port}/xrpc").start(on_message)


def scan(about: dict[str, Any]) -> None:
    """Every frame of a recording is looked through for our collections; nothing else."""
    watch, seen, found = Watch(), 0, 0
    watch.start()
    for buffer, start, end, _ in recording_of(about).spans(TAPE):
        seen += 1
        found += any(buffer.find(prefix, start, end) >= 0 for prefix in SCAN_PREFIXES)
    watch.report(found=found, seen=seen)


def recording_of(about: dict[str, Any]) -> Recording:
    manifest = Manifest("", "", (), {}, 0, 0, 0, {})
    return Recording(Path(about["recording"]), manifest, {}, {})


def disk(port: int, about: dict[str, Any]) -> None:
    """Ours, whole: from the files of a recording to rows."""

    def intake(cursor: Cursor, tracked: Tracked) -> DiskIntake:
        urls = {TAPE: f"ws://127.0.0.1:{port}"}
        return DiskIntake(recording_of(about), urls, cursor, tracked)

    indexer(port, about, "auto", intake=intake)


class Discard:
    """Of a connection that only receives: nothing is looked at."""

    urgent = False

    def __init__(self) -> None:
        self.bytes = 0

    def begin(self, connection: int) -> None:
        """The first is the only one."""

    def skim(self, buffer: Buffer, at: int, end: int) -> int:
        self.bytes += end - at
        return end

    def take(self, buffer: Buffer, start: int, end: int) -> None:
        self.bytes += end - start

    def items(self, at: int) -> list[Item]:
        return []


def receive(port: int, about: dict[str, int]) -> None:
    """Our first stage alone: from the socket into the connection's buffer."""

    async def loop() -> None:
        watch, sink = Watch(), Discard()
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        connection = await BulkConnection.open(
            f"ws://127.0.0.1:{port}{PATH}",
            sock,
            sink,
            secure=None,
            host=None,
            max_size=MAX_FRAME,
            user_agent="bench",
            ping=3_600.0,
        )
        watch.start()
        while sink.bytes < about["bytes"]:
            await connection.receive()
        watch.report()
        connection.hang_up()
        await connection.close()

    asyncio.run(loop())


def screen(port: int, about: dict[str, int]) -> None:
    """Our first two stages: what matters is taken from the queue, and thrown away."""

    async def loop(folder: Path) -> None:
        config = IndexerConfig(
            sources=(f"ws://127.0.0.1:{port}",),
            db=folder / "no.duckdb",
            dev=True,
            receiver=Receiver.BULK,
        )
        intake = LocalIntake(config.intake, lambda _: None, Tracked(), later)
        watch, left = Watch(), about["frames"]
        running = asyncio.create_task(intake.run())
        await until(lambda: intake.links[0].connections > 0, lambda: "connected")
        watch.start()
        while left > 0:
            taken = await intake.take(0.1, 1.0)
            left -= sum(map(frames_of, taken.items))
            intake.settle()
        watch.report()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(loop(Path(folder)))


def later() -> int:
    """Of a clock an hour after the events: they are caught up with."""
    return NOW_US + 3_600_000_000


def indexer(
    port: int, about: dict[str, Any], receiver: str, intake: MakeIntake | None = None
) -> None:
    """Ours, whole: from the socket to rows in a DuckDB file."""

    async def loop(folder: Path) -> None:
        db, registry = folder / "index.duckdb", CollectorRegistry()
        config = IndexerConfig(
            sources=(f"ws://127.0.0.1:{port}",),
            db=db,
            plc=f"http://127.0.0.1:{port}",
            dev=True,
            receiver=Receiver(receiver),
        )
        connection = open_database(db, memory_limit="64MB", threads=1)  # there is but one core
        http, watch = HttpClient(Policy(dev=True)), Watch()
        resolver = Resolver(http, plc=config.plc)
        subject = Indexer(
            config, connection, resolver, registry=registry, clock=later, intake=intake
        )
        gc.freeze()  # as the command does: what is loaded now stays
        task = asyncio.create_task(subject.run())
        await until(lambda: subject.status().sources[0].connections > 0, lambda: "connected")
        watch.start()
        while not task.done() and subject.status().sources[0].cursor != about["last_seq"]:
            await asyncio.sleep(0.05)
        status = subject.status()
        found = connection.cursor().execute("SELECT count(*) FROM records").fetchone()
        watch.report(
            found=found[0] if found else 0,
            drops=status.drops,
            stages={stage: of_stage(registry, stage) for stage in get_args(Stage)},
        )
        subject.stop()
        await task
        http.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(loop(Path(folder)))


def of_stage(registry: CollectorRegistry, stage: str) -> float:
    """CPU seconds of the writer's thread."""
    name = "atdata_indexer_stage_cpu_seconds_total"
    return registry.get_sample_value(name, {"stage": stage}) or 0.0


def main(arguments: list[str]) -> None:
    role, about = arguments[0], json.loads(arguments[1])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    port = about["port"]
    match role:
        case "raw":
            raw(port, about)
        case "websockets":
            websockets(port, about)
        case "sdk":
            sdk(port, about)
        case "scan":
            scan(about)
        case "receive":
            receive(port, about)
        case "screen":
            screen(port, about)
        case "ours, disk":
            disk(port, about)
        case "ours, websockets":
            indexer(port, about, "websockets")
        case "ours, bulk":
            indexer(port, about, "bulk")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    main(sys.argv[1:])

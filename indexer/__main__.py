"""The indexer's own command line: ``python -m indexer run|record|replay|status``.

A thin shell: configuration is parsed here, once, and handed to the parts. ``run``, ``replay`` and
``status`` are what the ``atdata`` command calls too.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.errors import AtdataError, NotConfigured, StoreError
from indexer import memory, restart
from indexer.at_rest import status
from indexer.config import IndexerConfig
from indexer.live import live_line
from indexer.logs import configure_logging
from indexer.machine import cores
from indexer.pipeline import Indexer
from indexer.recordings import Recording, ReplayServer, record
from indexer.recovery import open_or_restore


def show_metrics(registry: CollectorRegistry, port: int) -> None:
    """To Prometheus, at ``/metrics`` on 127.0.0.1. Raises ``NotConfigured`` if the port is
    taken."""
    try:
        start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise NotConfigured(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror} (--metrics-port takes another)"
        ) from error


async def run(
    config: IndexerConfig, registry: CollectorRegistry | None = None, *, suspect: bool = False
) -> StoreError | None:
    """Index ``config.sources`` into ``config.db`` until SIGINT or SIGTERM. Returns what ended it,
    if the database failed under it. ``suspect``: it failed under the process before this one.

    Raises ``StoreError`` if the database can't be opened.
    """
    connection = open_or_restore(
        config.db,
        memory_limit=config.memory_limit or memory.alone(config.db),
        threads=config.threads,
        suspect=suspect,
    )
    http = HttpClient(Policy(dev=config.dev))
    registry = CollectorRegistry() if registry is None else registry
    try:
        resolver = Resolver(http, plc=config.plc)
        indexer = Indexer(config, connection, resolver, registry=registry)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, indexer.stop)
        gc.freeze()  # what is loaded now stays: no need to look at it again and again
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(live_line(registry))
            if config.memory_limit is None:
                await stack.enter_async_context(memory.following(connection, config.db))
            await indexer.run()
    except StoreError as error:
        return error
    finally:
        http.close()
        connection.close()
    return None


def follow(
    config: IndexerConfig, *, metrics_port: int | None = None, restarted: str | None = None
) -> None:
    """``run`` in a process of its own, with the second chance of ``indexer/restart``; ``restarted``
    is the value of its option. Raises ``StoreError``, ``NotConfigured``."""
    registry = CollectorRegistry()
    if metrics_port is not None:
        show_metrics(registry, metrics_port)
    suspect = restart.is_suspect(restarted)
    failed = asyncio.run(run(config, registry, suspect=suspect))
    if failed is not None:
        restart.instead_of(failed, time.time())
        raise failed


async def replay(folder: Path, *, host: str, port: int, rate: float | None) -> None:
    """Serve a recording until cancelled. Prints the sources and the directory as one JSON line."""
    async with ReplayServer(Recording.open(folder), host=host, port=port, rate=rate) as server:
        line = {"sources": server.sources, "plc": server.origin}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or 1 with one line on standard error."""
    options = _parser().parse_args(arguments)
    configure_logging()
    try:
        _command(options)
    except AtdataError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _command(options: argparse.Namespace) -> None:
    match options.command:
        case "run":
            given = {"sources": options.source, "db": options.db, "plc": options.plc}
            given["dev"] = options.dev or None
            config = IndexerConfig(**{k: v for k, v in given.items() if v is not None}).on(cores())
            follow(config, metrics_port=options.metrics_port, restarted=options.restarted)
        case "record":
            sources = dict(pair.split("=", 1) for pair in options.source)
            made = record(
                sources,
                options.out,
                plc=options.plc,
                dev=options.dev,
                idle_seconds=options.idle,
                max_frames=options.max_frames,
                provenance=options.provenance,
            )
            _print(asdict(asyncio.run(made)))
        case "replay":
            serving = replay(options.folder, host="127.0.0.1", port=options.port, rate=options.rate)
            asyncio.run(serving)
        case "status":
            _print(asdict(status(options.db)))


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def port(text: str) -> int:
    """A port's number. Raises ``ValueError``."""
    number = int(text)
    if not 0 < number < 65_536:
        raise ValueError(text)
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m indexer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="follow sources and index what they send")
    running.add_argument("--db", type=Path, help="the DuckDB file")
    running.add_argument("--source", action="append", metavar="URL", help="repeatable")
    running.add_argument("--plc", metavar="URL")
    running.add_argument("--dev", action="store_true", help="allow http, ws and loopback")
    running.add_argument(restart.OPTION, help=argparse.SUPPRESS)
    running.add_argument("--metrics-port", type=port, help="Prometheus, on 127.0.0.1")
    recording = commands.add_parser("record", help="keep firehoses byte for byte")
    recording.add_argument("out", type=Path, help="a new directory")
    recording.add_argument("--source", action="append", metavar="NAME=URL", required=True)
    recording.add_argument("--plc", metavar="URL", default=IndexerConfig().plc)
    recording.add_argument("--dev", action="store_true", help="allow http, ws and loopback")
    recording.add_argument("--idle", type=float, default=5.0, help="end after silent seconds")
    recording.add_argument("--max-frames", type=int)
    recording.add_argument("--provenance", default="")
    replaying = commands.add_parser("replay", help="serve a recording as a network of its own")
    replaying.add_argument("folder", type=Path)
    replaying.add_argument("--port", type=int, default=0)
    replaying.add_argument("--rate", type=float, help="frames per second")
    asking = commands.add_parser("status", help="what a database holds that no process has open")
    asking.add_argument("--db", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())

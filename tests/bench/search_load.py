"""Searches a second over HTTP: 16 clients in a process of their own ask the real server, while
somebody publishes 100 datasets a second; and how long it takes until these are found.

    python -m tests.bench.search_load [--datasets 100000] [--seconds 20] [--clients 16]
        [--rate 100] [--index FOLDER] [--idle 1000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import socket
import time
from collections import defaultdict
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

import uvicorn
import websockets

from search_api.app import create_app
from search_api.config import SearchConfig
from tests.bench.goals import Goals
from tests.bench.search import CLASSES, FACETS, LIMIT
from tests.bench.search_corpus import SEED
from tests.bench.search_index import FRESH, Publisher, made

SEARCH = "/xrpc/ac.foundation.dataset.searchDatasets"
SUBSCRIBE = "/xrpc/ac.foundation.dataset.subscribeChanges"
WARM = 2.0  # seconds that do not count
POLL = 0.02  # seconds between looks for what was published
WANTED, FOUND_WITHIN = 250, 1.0  # searches a second; seconds until a dataset is found


@dataclass
class Seen:
    """What the clients measured, in seconds."""

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: int = 0
    until_found: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.took.values()))


class Client:
    """One connection that is kept, and the fewest instructions that HTTP allows."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def get(self, target: str) -> tuple[int, bytes]:
        """Status and body."""
        self._writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return int(head[9:12]), await self._reader.readexactly(length)


async def searching(port: int, number: int, end: float, seen: Seen) -> None:
    """Ask one question after the other, of all classes in turn by chance."""
    chance, begin = random.Random(SEED + number), time.monotonic() + WARM
    facets = [("facets", name) for name in FACETS]
    async with Client(port) as client:
        while (started := time.monotonic()) < end:
            name = chance.choice(list(CLASSES))
            asked = CLASSES[name][0](chance)
            pairs = [("q", asked.q), *(("tags", tag) for tag in asked.tags), *facets]
            pairs += [("sort", asked.sort), ("limit", str(LIMIT))]
            status, _ = await client.get(f"{SEARCH}?{urlencode(pairs)}")
            if started >= begin:
                seen.took[name].append(time.monotonic() - started)
                seen.errors += status != 200


async def finding(port: int, end: float, seen: Seen) -> None:
    """Look for the newest dataset; a new one bears the time at which it was written."""
    last = ""
    newest = f"{SEARCH}?{urlencode([('sort', 'updated'), ('limit', '1')])}"
    async with Client(port) as client:
        while time.monotonic() < end:
            _, body = await client.get(newest)
            hit = json.loads(body)["datasets"][0]
            if hit["name"].startswith(FRESH) and hit["name"] != last:
                last = hit["name"]
                seen.until_found.append(
                    time.monotonic() - int(hit["description"].split()[-1]) / 1e9
                )
            await asyncio.sleep(POLL)


async def idling(port: int, count: int, ready: asyncio.Event, done: asyncio.Event) -> None:
    """``count`` subscribers, who take what comes."""
    url = f"ws://127.0.0.1:{port}{SUBSCRIBE}"

    async def one() -> None:
        async with websockets.connect(url, compression=None) as connection:
            while not done.is_set():
                await connection.recv()

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    await asyncio.sleep(count / 200)
    ready.set()
    await done.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def load(port: int, asked: argparse.Namespace) -> Seen:
    """All clients at once."""
    seen, ready, done = Seen(), asyncio.Event(), asyncio.Event()
    subscribers = asyncio.create_task(idling(port, asked.idle, ready, done))
    await ready.wait()
    end = time.monotonic() + WARM + asked.seconds
    await asyncio.gather(
        *(searching(port, number, end, seen) for number in range(asked.clients)),
        finding(port, end, seen),
    )
    done.set()
    await subscribers
    return seen


def serve(listener: socket.socket, asked: argparse.Namespace, ready: Event, over: Event) -> None:
    """The server process, until ``over``."""
    with made(asked.datasets, asked.index) as index, Publisher(index.connection, asked.rate):
        config = SearchConfig(rate_loopback=False)
        app = create_app(index.database, index.text_index, config)
        server = uvicorn.Server(uvicorn.Config(app, proxy_headers=False, log_level="warning"))

        async def until_over() -> None:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            ready.set()
            while not over.is_set():
                await asyncio.sleep(0.1)
            server.should_exit = True
            await serving

        asyncio.run(until_over())


def report(seen: Seen, asked: argparse.Namespace, goals: Goals) -> None:
    rate = seen.count / asked.seconds
    verdict = goals.verdict(f"{rate:.0f} searches/s", f"≥ {WANTED}/s", rate >= WANTED)
    print(f"{rate:7.0f} searches/s with {asked.clients} clients {verdict}")
    print(f"{seen.errors:7} errors", goals.verdict("errors", "none", seen.errors == 0))
    for name, took in seen.took.items():
        print(
            f"{name:<14} {len(took):6}  p50 {1e3 * median(took):7.1f} ms  p99 {_p99(took):7.1f} ms"
        )
    found = seen.until_found
    if len(found) > 1:
        worst = _p99(found) / 1e3
        line = goals.verdict(f"found after {worst:.2f} s", f"p99 < {FOUND_WITHIN} s", worst < 1)
        print(f"written → found: p50 {median(found):.2f} s, p99 {worst:.2f} s, {len(found)} {line}")


def _p99(seconds: list[float]) -> float:
    """In milliseconds."""
    return 1e3 * (quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=int, default=100, help="datasets published a second")
    parser.add_argument("--idle", type=int, default=0, help="subscribers beside")
    parser.add_argument("--index", type=Path, help="folder in which the made index is kept")
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ready, over = context.Event(), context.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        server = context.Process(target=serve, args=(listener, asked, ready, over))
        server.start()
        goals = Goals()
        try:
            while not ready.wait(1):
                assert server.is_alive()
            report(asyncio.run(load(listener.getsockname()[1], asked)), asked, goals)
        finally:
            over.set()
            server.join()
    goals.end()


if __name__ == "__main__":
    main()

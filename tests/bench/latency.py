"""How long it takes from publishing on a real PDS until a record can be found, part by part.

On the devnet: once while the PDS has nothing else to do, once while 20 accounts write to it all the
time. Every publish is timed on its own, from before the request that creates the record: to the
frame on our socket, to the row that DuckDB shows, and with a node in a process of its own, to the
hit in a search.

    python -m tests.bench.latency [--publishes 300]
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import random
import secrets
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from typing import Any

import duckdb
import structlog

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.keys import key_of
from deploy.devnet.devnet import Devnet
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.pipeline import Indexer
from tests.bench.goals import Goals
from tests.flow.node import node
from tests.indexer.network import DATASET, dataset
from tests.scenarios.members import Home, Member, joined

WRITERS = 20
APART = 1.0  # seconds between two writes of one of them
POLL = 0.002  # seconds
PAUSE = 0.05  # at most, between two publishes: none shall fall into step with ours
PATIENCE = 30.0
SEARCH = "/xrpc/ac.foundation.dataset.searchDatasets"


@dataclass(frozen=True)
class Times:
    """Of one publish, in milliseconds since before its request: until the PDS answered, until its
    frame was received, until it was there. ``received`` is None where that is not to be seen."""

    answered: float
    received: float | None
    there: float


# --- publishing ---------------------------------------------------------------------------------


class Publisher:
    """Publishes one dataset after the other; ``is_there`` tells of its name and URI when it was
    received (in microseconds since 1970, 0 if that is not known), or None as long as it isn't."""

    def __init__(self, member: Member, is_there: Callable[[str, str], int | None]) -> None:
        self._member, self._is_there = member, is_there
        self._rng = random.Random(7)

    def publish(self) -> Times:
        name = f"n{secrets.token_hex(8)}"
        uri = f"at://{self._member.did}/{DATASET}/{name}"
        started_us, started = time.time_ns() // 1_000, time.perf_counter()
        self._member.put(DATASET, name, dataset(name))
        answered = time.perf_counter() - started
        while (received := self._is_there(name, uri)) is None:
            if time.perf_counter() - started > PATIENCE:
                raise TimeoutError(f"{uri} was not there after {PATIENCE} s")
            time.sleep(POLL)
        there = time.perf_counter() - started
        time.sleep(self._rng.uniform(0, PAUSE))
        on_socket = (received - started_us) / 1e3 if received else None
        return Times(answered * 1e3, on_socket, there * 1e3)


@contextmanager
def load(members: list[Member], busy: bool) -> Iterator[None]:
    """While the block runs, all ``members`` write, from a process of their own."""
    if not busy:
        yield
        return
    ours, theirs = multiprocessing.Pipe()
    homes = [(member.did, member.handle, member.home) for member in members]
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(homes, theirs))
    writer.start()
    try:
        ours.recv()
        yield
    finally:
        ours.send(None)
        written = ours.recv()
        writer.join()
    print(f"  (meanwhile {written:,} other writes)")


def _write(homes: list[tuple[str, str, Home]], end: Connection) -> None:
    members = [Member(*home, seed) for seed, home in enumerate(homes)]
    stop = threading.Event()
    threads = [
        threading.Thread(target=member.write_until, args=(stop, APART)) for member in members
    ]
    for thread in threads:
        thread.start()
    end.send(None)
    end.recv()
    stop.set()
    for thread in threads:
        thread.join()
    end.send(sum(member.written for member in members))


# --- what is there ------------------------------------------------------------------------------


@contextmanager
def index(net: Devnet, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An indexer on a thread of its own, and a cursor on its file."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    db = folder / "index.duckdb"
    config = IndexerConfig(sources=(net.pdses[0].url,), db=db, plc=net.plc, dev=True)
    client, connection = HttpClient(Policy(dev=True)), open_database(db)
    indexer = Indexer(config, connection, Resolver(client, plc=net.plc))
    thread = threading.Thread(target=lambda: asyncio.run(indexer.run()))
    thread.start()
    try:
        yield connection.cursor()
    finally:
        indexer.stop()
        thread.join()
        client.close()
        connection.close()


def in_rows(cursor: duckdb.DuckDBPyConnection) -> Callable[[str, str], int | None]:
    def is_there(name: str, uri: str) -> int | None:
        query = "SELECT epoch_us(indexed_at) FROM records WHERE doc = ?"
        row = cursor.execute(query, [key_of(uri)]).fetchone()
        return None if row is None else int(row[0])

    return is_there


def in_search(url: str) -> Callable[[str, str], int | None]:
    """By the record's name, over one connection that is kept."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)

    def is_there(name: str, uri: str) -> int | None:
        connection.request("GET", f"{SEARCH}?{urllib.parse.urlencode({'q': name})}")
        answer: dict[str, Any] = json.load(connection.getresponse())
        return 0 if any(hit["uri"] == uri for hit in answer["datasets"]) else None

    return is_there


# --- the table ----------------------------------------------------------------------------------


def line(what: str, values: list[float]) -> tuple[str, float]:
    """One line of the table, and the 99th percentile, in milliseconds."""
    cuts = quantiles(values, n=100, method="inclusive")
    text = f"  {what:34} {cuts[49]:8.1f} {cuts[98]:8.1f} {max(values):8.1f}"
    return text, cuts[98]


def report(title: str, times: list[Times], goals: Goals, what: str, goal: float) -> None:
    print(f"{title}, {len(times)} publishes: milliseconds   p50      p99      max")
    print(line("the PDS takes the record", [t.answered for t in times])[0])
    received = [(t.received, t.there - t.received) for t in times if t.received is not None]
    if received:
        print(line("publish → frame on our socket", [at for at, _ in received])[0])
        print(line("frame → row visible in DuckDB", [rest for _, rest in received])[0])
    text, worst = line(f"publish → {what}", [t.there for t in times])
    print(text, goals.verdict(f"{title}: {what}, p99 {worst:.0f} ms", f"< {goal:g}", worst < goal))


def measure(
    member: Member, is_there: Callable[[str, str], int | None], publishes: int
) -> list[Times]:
    publisher = Publisher(member, is_there)
    for _ in range(5):
        publisher.publish()  # its identity is resolved, connections are made
    return [publisher.publish() for _ in range(publishes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publishes", type=int, default=300)
    options = parser.parse_args()
    goals = Goals()
    with Devnet(pds_count=1) as net, tempfile.TemporaryDirectory() as folder:
        member = joined(net, 0, "publisher", 0)
        writers = [joined(net, 0, f"writer{n}", n) for n in range(WRITERS)]
        for name, busy in (("PDS at rest", False), (f"{WRITERS} accounts write", True)):
            place = Path(folder) / f"rows {busy}"
            place.mkdir()
            with index(net, place) as cursor, load(writers, busy):
                times = measure(member, in_rows(cursor), options.publishes)
            report(name, times, goals, "row visible in DuckDB", 500.0)
            place = Path(folder) / f"search {busy}"
            place.mkdir()
            sources = ("--plc", net.plc, "--source", net.pdses[0].url)
            with node(place, *sources) as running, load(writers, busy):
                times = measure(member, in_search(running.url), options.publishes)
            report(name, times, goals, "found by a search", 1_000.0)
    goals.end()


if __name__ == "__main__":
    main()

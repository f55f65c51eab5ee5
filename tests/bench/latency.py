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
import logging
import multiprocessing
import os
import random
import secrets
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
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
POLL = 0.01  # seconds: what is measured has to share two cores with those who look
GROUP = 90  # publishes under one tag, so that one search shows them all
PACE = 0.1  # seconds from one answer to the next publish
PATIENCE = 30.0
SEARCH = "/xrpc/ac.foundation.dataset.searchDatasets"


@dataclass(frozen=True)
class Times:
    """Of one publish, in milliseconds since before its request: until the PDS answered, until its
    frame was received, until it was there. ``received`` is None where that is not to be seen."""

    answered: float
    received: float | None
    there: float


Look = Callable[[Mapping[str, str]], Mapping[str, int]]
"""Of these records, name → URI, those that are there: name → when they were received, in
microseconds since 1970, 0 if that can't be known."""


# --- publishing ---------------------------------------------------------------------------------


class Publisher:
    """Publishes one dataset after the other at a steady pace, whether or not those before are there
    yet. Times are seconds since 1970, by name."""

    def __init__(self, member: Member, publishes: int) -> None:
        run = secrets.token_hex(6)
        self._member, self._names = member, [f"{run}-{n // GROUP}-{n}" for n in range(publishes)]
        self._rng = random.Random(7)
        self.started: dict[str, float] = {}
        self.answered: dict[str, float] = {}

    def uri(self, name: str) -> str:
        return f"at://{self._member.did}/{DATASET}/{name}"

    def run(self) -> None:
        """In a thread of its own."""
        for name in self._names:
            self.started[name] = time.time()
            self._member.put(DATASET, name, dataset(name, tags=[group_of(name)]))
            self.answered[name] = time.time()
            time.sleep(PACE * self._rng.uniform(0.5, 1.5))


def group_of(name: str) -> str:
    """The tag that it shares with some others."""
    return name.rpartition("-")[0]


def measure(member: Member, look: Look, publishes: int) -> list[Times]:
    """Publish, and look all the time what is there."""
    publisher = Publisher(member, publishes)
    there: dict[str, tuple[float, int]] = {}
    thread = threading.Thread(target=publisher.run)
    thread.start()
    while thread.is_alive() or len(there) < publishes:
        waiting = {n: publisher.uri(n) for n in list(publisher.started) if n not in there}
        for name, received in look(waiting).items():
            there[name] = (time.time(), received)
        if waiting and time.time() - min(map(publisher.started.__getitem__, waiting)) > PATIENCE:
            raise TimeoutError(f"not there after {PATIENCE} s: {', '.join(waiting.values())}")
        time.sleep(POLL)
    thread.join()
    return [
        Times(
            (publisher.answered[name] - started) * 1e3,
            there[name][1] / 1e3 - started * 1e3 if there[name][1] else None,
            (there[name][0] - started) * 1e3,
        )
        for name, started in publisher.started.items()
    ]


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
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # many threads share a small pool
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


def in_rows(cursor: duckdb.DuckDBPyConnection) -> Look:
    def look(waiting: Mapping[str, str]) -> Mapping[str, int]:
        names = {key_of(uri): name for name, uri in waiting.items()}
        query = "SELECT doc, epoch_us(indexed_at) FROM records WHERE list_contains(?, doc)"
        rows = cursor.execute(query, [list(names)]).fetchall() if names else []
        return {names[doc]: int(received) for doc, received in rows}

    return look


def in_search(url: str) -> Look:
    """By their tags, over one connection that is kept."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)

    def look(waiting: Mapping[str, str]) -> Mapping[str, int]:
        found: set[str] = set()
        for group in set(map(group_of, waiting)):
            query = urllib.parse.urlencode({"tags": group, "limit": 100})
            connection.request("GET", f"{SEARCH}?{query}")
            answer: dict[str, Any] = json.load(connection.getresponse())
            found.update(hit["uri"] for hit in answer["datasets"])
        return {name: 0 for name, uri in waiting.items() if uri in found}

    return look


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publishes", type=int, default=300)
    options = parser.parse_args()
    goals = Goals()
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with Devnet(pds_count=1) as net, tempfile.TemporaryDirectory() as folder:
        member = joined(net, 0, "publisher", 0)
        writers = [joined(net, 0, f"writer{n}", n) for n in range(WRITERS)]
        for name, busy in (("PDS at rest", False), (f"{WRITERS} accounts write", True)):
            place = Path(folder) / f"rows {busy}"
            place.mkdir()
            with index(net, place) as cursor, load(writers, busy):
                measure(member, in_rows(cursor), 5)  # connections are made, its identity resolved
                times = measure(member, in_rows(cursor), options.publishes)
            report(name, times, goals, "row visible in DuckDB", 500.0)
            place = Path(folder) / f"search {busy}"
            place.mkdir()
            sources = ("--plc", net.plc, "--source", net.pdses[0].url)
            with node(place, *sources) as running, load(writers, busy):
                measure(member, in_search(running.url), 5)
                times = measure(member, in_search(running.url), options.publishes)
            report(name, times, goals, "found by a search", 1_000.0)
    goals.end()


if __name__ == "__main__":
    main()

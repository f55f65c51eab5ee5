"""Clients of the search API in a process of their own, made so that they take little of the machine
that they share with the server: one loop over sockets, no HTTP library.

Each client keeps one connection and asks again as soon as it is answered.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import random
import re
import selectors
import socket
import threading
import time
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from search_api.conditions import Question
from search_api.methods import SEARCH_DATASETS
from tests.bench.search_corpus import SEED
from tests.bench.search_index import FRESH

CLASS_HEADER = "x-query-class"
LIMIT = 25
ATTEMPT_SECONDS = 30.0  # an answer that takes longer is an error
WATCHERS = 4  # each waits for one published dataset at a time
WATCH_SECONDS = 0.5  # of publishing between two that a watcher waits for
_POLL = 0.04
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def target(question: Question, facets: Sequence[str]) -> str:
    """Path and query string that ask ``question``."""
    asked = [("limit", str(LIMIT)), *(("facets", name) for name in facets)]
    asked += [("tags", tag) for tag in question.tags]
    if question.q:
        asked.append(("q", question.q))
    if question.sort != "relevance":
        asked.append(("sort", question.sort))
    return f"/xrpc/{SEARCH_DATASETS}?{urllib.parse.urlencode(asked)}"


@dataclass(frozen=True, slots=True)
class Work:
    """What ``clients`` ask at ``port`` for ``seconds``: targets by class of query, in random order.

    ``watched``: number of a dataset that will be published soon, at ``rate`` a second; None: nobody
    looks for what is new."""

    port: int
    targets: Mapping[str, Sequence[str]]
    clients: int
    seconds: float
    watched: int | None = None
    rate: int = 0


@dataclass(slots=True)
class Answers:
    """Milliseconds by class, as clients see them; what went wrong; milliseconds from the publishing
    of a dataset until a search found it, and with how many looks for all of them."""

    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    seen: list[float] = field(default_factory=list)
    looks: int = 0

    @property
    def count(self) -> int:
        """Good answers of all kinds."""
        return self.looks + sum(map(len, self.times.values()))

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return sum(map(len, self.times.values())) / self.seconds


def asked(work: Work) -> Answers:
    """Do ``work`` in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(work, theirs))
    process.start()
    theirs.close()
    try:
        answers: Answers = ours.recv()
    finally:
        process.join()
    return answers


def _run(work: Work, end: Connection) -> None:
    answers = Answers()
    until = time.monotonic() + work.seconds
    watchers = [
        threading.Thread(target=_watch, args=(work, n, until, answers)) for n in range(WATCHERS)
    ]
    for watcher in watchers if work.watched is not None else []:
        watcher.start()
    _ask_until(work, until, answers)
    for watcher in watchers if work.watched is not None else []:
        watcher.join()
    end.send(answers)


# --- many clients, one loop ---------------------------------------------------------------------


class _Client:
    """One kept connection, with one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), ATTEMPT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kind, self.started = "", 0.0
        self._received = bytearray()

    def ask(self, kind: str, path: str) -> None:
        self.kind, self.started = kind, time.perf_counter()
        self._received.clear()
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{CLASS_HEADER}: {kind}\r\n\r\n"
        self.socket.sendall(request.encode())

    def read(self) -> int | None:
        """Take what is there; the status once the answer is whole. Raises ``OSError``."""
        data = self.socket.recv(262_144)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        length = _LENGTH.search(self._received, 0, head + 2) if head >= 0 else None
        if length is None or len(self._received) < head + 4 + int(length[1]):
            return None
        return int(self._received[9:12])


def _ask_until(work: Work, until: float, answers: Answers) -> None:
    chance, kinds = random.Random(SEED), list(work.targets)
    began = time.monotonic()

    def ask(client: _Client) -> None:
        kind = chance.choice(kinds)
        client.ask(kind, chance.choice(work.targets[kind]))

    with selectors.DefaultSelector() as waiting:
        for _ in range(work.clients):
            client = _Client(work.port)
            waiting.register(client.socket, selectors.EVENT_READ, client)
            ask(client)
        while time.monotonic() < until and waiting.get_map():
            for key, _ in waiting.select(timeout=0.1):
                try:
                    status = key.data.read()
                except OSError as error:
                    answers.errors[str(error)] += 1
                    waiting.unregister(key.data.socket)
                    continue
                if status is None:
                    continue
                _note(answers, key.data, status)
                ask(key.data)
        answers.seconds = time.monotonic() - began
        for key in list(waiting.get_map().values()):
            if time.perf_counter() - key.data.started > ATTEMPT_SECONDS:
                answers.errors["no answer in time"] += 1
            key.data.socket.close()


def _note(answers: Answers, client: _Client, status: int) -> None:
    if status == http.client.OK:
        answers.times[client.kind].append((time.perf_counter() - client.started) * 1e3)
    else:
        answers.errors[f"{client.kind}: {status}"] += 1


# --- what is new --------------------------------------------------------------------------------


def _watch(work: Work, place: int, until: float, answers: Answers) -> None:
    """Wait for one published dataset after the other, by their names; each bears its time."""
    step = max(1, round(work.rate * WATCH_SECONDS))
    number = (work.watched or 0) + step + place * step // WATCHERS
    connection = http.client.HTTPConnection("127.0.0.1", work.port, timeout=ATTEMPT_SECONDS)
    while time.monotonic() < until:
        connection.request("GET", f"/xrpc/{SEARCH_DATASETS}?limit=1&fuzzy=off&q={FRESH}{number}")
        response = connection.getresponse()
        body = response.read()
        answers.looks += 1
        if response.status != http.client.OK:
            answers.errors[f"watcher: {response.status}"] += 1
            return
        pause = _POLL
        if found := json.loads(body)["datasets"]:
            published = int(found[0]["description"].rpartition(" ")[2])
            passed = (time.monotonic_ns() - published) / 1e9
            answers.seen.append(passed * 1e3)
            number += step
            pause = max(0.0, WATCH_SECONDS - passed)  # the next one is not there before
        time.sleep(pause)
    connection.close()

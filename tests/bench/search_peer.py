"""Search beside PostgreSQL 15 on the same corpus in the same run: milliseconds of a search by class
of query, and searches a second of 1 and of 16 clients.

PostgreSQL searches name, tags, schema name and description, ranks, and gives the first 25 rows. We
search field names, handles and licences too, look for words that begin like the last one, count all
hits, look for other spellings where nothing is found, and write the answer as JSON; with facets we
also count tags and licences. Nobody publishes meanwhile, and no side is asked the same thing twice
where its answers are timed.

    python -m tests.bench.search_peer [--datasets 20000] [--rounds 200] [--seconds 10]
                                      [--index FOLDER]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles

import psycopg

from atdata.protocol.views import to_json
from search_api.conditions import Question
from search_api.search import Search
from tests.bench import postgres
from tests.bench.search import CLASSES, FACETS, WORDS
from tests.bench.search_clients import Work, asked, target
from tests.bench.search_corpus import SEED
from tests.bench.search_index import made
from tests.bench.search_server import serving

LIMIT = postgres.LIMIT
WARM = 20  # questions of each class before it is measured
CLIENTS = (1, 16)
WARM_SECONDS = 2.0
# The class "mixed": how many of ten questions are of which other.
MIXED = {"words of a name": 3, "two words": 3, "one rare word": 2, "common word": 1, "no hit": 1}
COMMON = 300  # most frequent words that are asked for as common ones
ATTEMPTS = 200_000  # to find two words that some dataset has
MANY = 2_000  # questions of the class "mixed" that clients choose from
OURS, OURS_FACETS, DEFAULTS, TUNED = "ours", "ours, two facets", "defaults", "tuned"

SIDES: Mapping[str, Sequence[str]] = {OURS: (), OURS_FACETS: FACETS}
AT_REST = float("inf")  # seconds for which the text index is known to be level with the database

Texts = Mapping[str, Sequence[str]]


@dataclass
class Figures:
    """Milliseconds by class and side; searches a second by clients and side."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    rates: dict[int, dict[str, float]] = field(default_factory=dict)

    def note(self, side: str, times: Mapping[str, list[float]]) -> None:
        for name, values in times.items():
            self.times.setdefault(name, {})[side] = values


def texts(rounds: int, peer: postgres.Peer) -> Texts:
    """What all sides are asked, by class."""
    chance, each = random.Random(SEED), rounds + WARM
    names = postgres.names(peer, each)
    two: dict[bool, list[str]] = {True: [], False: []}
    for _ in range(ATTEMPTS):
        if min(map(len, two.values())) >= each:
            break
        words = CLASSES["two words"][0](chance).q
        two[bool(postgres.search(peer, words))].append(words)
    else:
        raise RuntimeError("no two words are together often enough: more --datasets are needed")
    return {
        "words of a name": [" ".join(name.split()[:2]) for name in names],
        "two words": two[True][:each],
        "no hit": two[False][:each],
        "one rare word": [CLASSES["two words"][0](chance).q.split()[1] for _ in range(each)],
        "common word": chance.sample(WORDS[:COMMON], min(COMMON, each)),
    }


def mixed(questions: Texts) -> list[str]:
    """Texts of all classes, as often as ``MIXED`` says."""
    chance = random.Random(SEED)
    kinds = chance.choices(list(MIXED), list(MIXED.values()), k=MANY)
    return [chance.choice(questions[kind]) for kind in kinds]


def timed(ask: Callable[[str], object], questions: Texts) -> dict[str, list[float]]:
    """Milliseconds of each question but the first ``WARM`` of each class."""
    times: dict[str, list[float]] = {}
    for name, asked_ in questions.items():
        taken = times[name] = []
        for text in asked_:
            started = time.perf_counter()
            ask(text)
            taken.append((time.perf_counter() - started) * 1e3)
        del taken[:WARM]
    return times


# --- how long -----------------------------------------------------------------------------------


def measure_ours(datasets: int, home: Path, questions: Texts, figures: Figures) -> None:
    """Without and with facets; the second time nothing is remembered of the first."""
    for side, facets in SIDES.items():
        with made(datasets, home) as index:
            search = Search(index.database, index.text_index, AT_REST)

            def ask(text: str, search: Search = search, facets: Sequence[str] = facets) -> str:
                page = search.datasets(Question(text), LIMIT, None, facets)
                return json.dumps(to_json(page))

            figures.note(side, timed(ask, questions))


def measure_peer(where: str, side: str, questions: Texts, figures: Figures, seconds: float) -> None:
    with psycopg.connect(where, autocommit=True) as peer:
        postgres.warm(peer)
        figures.note(side, timed(lambda text: postgres.search(peer, text), questions))
    for clients in CLIENTS:
        rate = _peer_rate(where, clients, seconds, mixed(questions))
        figures.rates.setdefault(clients, {})[side] = rate


# --- how many a second --------------------------------------------------------------------------


def measure_our_rates(
    datasets: int, home: Path, questions: Texts, figures: Figures, seconds: float
) -> None:
    """Over HTTP, by the real server."""
    with serving(datasets, home, 0) as server:
        for side, facets in SIDES.items():
            work = {"mixed": [target(Question(text), facets) for text in mixed(questions)]}
            asked(Work(server.port, work, 1, WARM_SECONDS))
            for clients in CLIENTS:
                answers = asked(Work(server.port, work, clients, seconds))
                if answers.errors:
                    raise RuntimeError(f"{side}: {dict(answers.errors)}")
                figures.rates.setdefault(clients, {})[side] = answers.rate


def _peer_rate(where: str, clients: int, seconds: float, texts: Sequence[str]) -> float:
    """By a process of its own with a connection for each client."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_ask_peer, args=(where, clients, seconds, list(texts), theirs)
    )
    process.start()
    theirs.close()
    count: int = ours.recv()
    process.join()
    return count / seconds


def _ask_peer(
    where: str, clients: int, seconds: float, texts: Sequence[str], end: Connection
) -> None:
    counts = [0] * clients
    begin = threading.Barrier(clients)

    def ask(place: int) -> None:
        chance = random.Random(SEED + place)
        with psycopg.connect(where, autocommit=True) as peer:
            postgres.search(peer, texts[0])
            begin.wait()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                postgres.search(peer, chance.choice(texts))
                counts[place] += 1

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    end.send(sum(counts))


# --- the table ----------------------------------------------------------------------------------


def report(figures: Figures) -> None:
    """Times as p50 / p99, and how many times as fast we are with and without facets."""
    sides = (OURS, OURS_FACETS, DEFAULTS, TUNED)
    print("\nms, p50 / p99   " + "".join(f"{side:>20}" for side in sides))
    for name, by_side in figures.times.items():
        cells = [f"{median(by_side[s]):8.1f} / {_p99(by_side[s]):6.1f}" for s in sides]
        print(f"{name:<16}" + "".join(f"{cell:>20}" for cell in cells))
        for peer in (DEFAULTS, TUNED):
            ratios = " / ".join(
                f"{part(by_side[peer]) / part(by_side[OURS]):.1f}, with facets "
                f"{part(by_side[peer]) / part(by_side[OURS_FACETS]):.1f}"
                for part in (median, _p99)
            )
            print(f"    {peer} ÷ ours: {ratios}")
    shares = ", ".join(f"{share}0 % {name}" for name, share in MIXED.items())
    print(f"\nsearches/s, mixed ({shares})")
    for clients, rates in figures.rates.items():
        line = "   ".join(f"{side} {rates[side]:.0f}" for side in sides)
        print(f"{clients:3} clients:  {line}")
        for peer in (DEFAULTS, TUNED):
            without, with_ = (rates[side] / rates[peer] for side in (OURS, OURS_FACETS))
            print(f"    ours ÷ {peer}: {without:.1f}, with facets {with_:.1f}")


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each rate")
    parser.add_argument("--index", type=Path, help="folder in which the made index is kept")
    options = parser.parse_args()
    if reason := postgres.missing():
        print(f"left out: {reason}")
        return
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    figures = Figures()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home = options.index or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres.make_cluster(folder)
        with postgres.server(folder, postgres.DEFAULTS) as where:
            with made(options.datasets, home) as index:
                started = time.perf_counter()
                count = postgres.fill(where, index.connection, folder)
            took = time.perf_counter() - started
            print(f"{count:,} datasets in PostgreSQL after {took:.1f} s", flush=True)
            with psycopg.connect(where, autocommit=True) as peer:
                questions = texts(options.rounds, peer)
            measure_peer(where, DEFAULTS, questions, figures, options.seconds)
        with postgres.server(folder, postgres.TUNED) as where:
            measure_peer(where, TUNED, questions, figures, options.seconds)
        measure_ours(options.datasets, home, questions, figures)
        measure_our_rates(options.datasets, home, questions, figures, options.seconds)
    report(figures)


if __name__ == "__main__":
    main()

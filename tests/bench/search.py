"""How long a search takes on the server: p50 and p99 for each class of query, with two facets
counted and 25 hits shown, on a made index, while somebody publishes 100 datasets a second.

    python -m tests.bench.search [--datasets 100000] [--rounds 200] [--rate 100] [--index FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from atdata.protocol.views import to_json
from search_api.app import SWITCH_SECONDS
from search_api.conditions import Question
from search_api.follow import Follower
from search_api.search import Search
from tests.bench.goals import Goals
from tests.bench.search_corpus import SEED, words
from tests.bench.search_index import Publisher, made

FACETS = ("tags", "licenses")
LIMIT = 25
WARM = 10  # queries of each class before it is measured
Ask = Callable[[random.Random], Question]


def _rare(chance: random.Random) -> str:
    return chance.choice(WORDS[300:20_000])


def _common(chance: random.Random) -> str:
    return chance.choice(WORDS[:20])


def _swapped(chance: random.Random) -> str:
    """A long word with two letters swapped."""
    word = chance.choice([word for word in WORDS[300:5_000] if len(word) > 6])
    return word[:3] + word[4] + word[3] + word[5:]


WORDS = words()
# Class of query → how one is asked; p50 and p99 in ms that are wanted (0: none) at a million.
CLASSES: dict[str, tuple[Ask, float, float]] = {
    "two words": (lambda c: Question(f"{c.choice(WORDS[50:2000])} {_rare(c)}"), 4, 12),
    "word and tag": (
        lambda c: Question(_rare(c), tags=(f"{WORDS[(i := c.randrange(50))]}-{i % 7}",)),
        0,
        12,
    ),
    "common word": (lambda c: Question(_common(c)), 0, 60),
    "everything": (lambda _: Question(), 0, 60),
    "prefix": (lambda c: Question(_rare(c)[: c.randint(1, 5)]), 0, 30),
    "fuzzy": (lambda c: Question(_swapped(c)), 0, 30),
    "by size": (lambda c: Question(_rare(c), sort="size"), 0, 12),
    "phrase": (lambda c: Question(f'"{_common(c)} {_common(c)}"'), 0, 60),
}


def measure(search: Search, ask: Ask, rounds: int) -> tuple[list[float], int]:
    """Milliseconds of each of ``rounds`` queries, and how many found something."""
    chance, times, fruitful = random.Random(SEED), [], 0
    for turn in range(rounds + WARM):
        question = ask(chance)
        started = time.perf_counter()
        page = search.datasets(question, LIMIT, None, FACETS)
        json.dumps(to_json(page))
        if turn >= WARM:
            times.append((time.perf_counter() - started) * 1_000)
            fruitful += page.hits_total > 0
    return times, fruitful


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--rate", type=int, default=100, help="datasets published a second")
    parser.add_argument("--index", type=Path, help="folder in which the made index is kept")
    asked = parser.parse_args()
    goals = Goals()
    with ExitStack() as stack:
        index = stack.enter_context(made(asked.datasets, asked.index))
        follower = Follower(index.text_index, 0.1)
        sys.setswitchinterval(SWITCH_SECONDS)  # as the application does
        follower.start()
        stack.callback(follower.stop)
        if asked.rate:
            stack.enter_context(Publisher(index.connection, asked.rate))
        search = Search(index.database, index.text_index)
        for name, (ask, p50, p99) in CLASSES.items():
            times, fruitful = measure(search, ask, asked.rounds)
            worst = quantiles(times, n=100)[98]
            line = f"{name:<14} p50 {median(times):7.2f} ms  p99 {worst:7.2f} ms"
            verdicts = [
                goals.verdict(f"{name} p{part} {took:.1f} ms", f"p{part} ≤ {goal} ms", took <= goal)
                for part, took, goal in ((50, median(times), p50), (99, worst, p99))
                if goal
            ]
            print(line, f" {fruitful}/{asked.rounds} with hits ", " ".join(verdicts), flush=True)
    goals.end()


if __name__ == "__main__":
    main()

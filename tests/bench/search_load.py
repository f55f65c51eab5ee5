"""The real server under load: searches a second, how long they take, and how soon what is published
is found, while 100 datasets a second are; then the same beside 1,000 subscribers and slow clients.

    python -m tests.bench.search_load [--datasets 20000] [--clients 16] [--seconds 20] [--rate 100]
                                      [--idle 1000] [--index FOLDER]
"""

from __future__ import annotations

import argparse
import os
import random
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from tests.bench.goals import Goals
from tests.bench.search import CLASSES, FACETS
from tests.bench.search_clients import Answers, Work, asked, target
from tests.bench.search_corpus import SEED
from tests.bench.search_crowd import Crowd, crowd
from tests.bench.search_server import Server, Taken, serving

DIFFERENT = 400  # questions of each class
WARM_SECONDS = 3.0
RATE_GOAL = 250.0  # searches a second
SEEN_GOAL = 1_000.0  # ms from the publishing until a search finds it, at p99
CROWD_GOAL = 0.8  # of the searches a second without subscribers


def targets() -> dict[str, list[str]]:
    """What is asked, by class."""
    chance = random.Random(SEED)
    return {
        name: [target(ask(chance), FACETS) for _ in range(DIFFERENT)]
        for name, (ask, *_) in CLASSES.items()
    }


def p99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]


def report(title: str, answers: Answers, server: Taken, goals: Goals, least: float) -> None:
    """A line for each class, and the verdicts."""
    print(f"\n{title}                 answers    server p50     p99    client p50     p99  ms")
    for name, times in answers.times.items():
        inside = server.times.get(name) or [0.0]
        print(
            f"  {name:<24} {len(times):9,} {median(inside):13.1f} {p99(inside):7.1f} "
            f"{median(times):13.1f} {p99(times):7.1f}"
        )
    print(
        f"  {answers.rate:.0f} searches/s",
        goals.verdict(f"{title}: {answers.rate:.0f}/s", f"≥ {least:.0f}", answers.rate >= least),
    )
    cpu = server.cpu_seconds / max(1, answers.count)
    cores = server.cpu_seconds / server.seconds
    print(
        f"  {cpu * 1e3:.1f} ms of the server's processor time each, publishing and indexing "
        f"included; it had {cores:.2f} cores"
    )
    wrong = answers.errors.total()
    print(f"  {wrong} errors", goals.verdict(f"{title}: {wrong} errors", "0", wrong == 0))
    for what, count in answers.errors.items():
        print(f"    {count} × {what}")
    if answers.seen:
        worst = p99(answers.seen)
        print(
            f"  published → in search results: p50 {median(answers.seen):.0f} ms, "
            f"p99 {worst:.0f} ms of {len(answers.seen)}",
            goals.verdict(f"{title}: seen, p99 {worst:.0f} ms", "< 1 s", worst < SEEN_GOAL),
        )


def measured(server: Server, clients: int, seconds: float, rate: int) -> tuple[Answers, Taken]:
    """All classes in random order for ``seconds``, after a warm-up."""
    questions = targets()
    asked(Work(server.port, questions, clients, WARM_SECONDS))
    server.take()
    newest = server.newest() if rate else None
    answers = asked(Work(server.port, questions, clients, seconds, newest, rate))
    return answers, server.take()


def among(
    server: Server, options: argparse.Namespace, goals: Goals, alone: float, people: Crowd
) -> None:
    """The same beside ``people``."""
    answers, taken = measured(server, options.clients, options.seconds, options.rate)
    title = f"beside {people.subscribers:,} subscribers"
    report(title, answers, taken, goals, CROWD_GOAL * alone)
    print(f"  ratio to none: {answers.rate / alone:.2f}")
    after = people.state()
    print(
        f"  {after.subscribed:,} still subscribed, with {after.frames:,} frames; {after.slow} of "
        f"{people.slow} slow clients still there",
        goals.verdict(
            f"{after.subscribed:,} subscribed", "all stay", after.subscribed == people.subscribers
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=100, help="datasets published a second")
    parser.add_argument("--idle", type=int, default=1_000, help="subscribers")
    parser.add_argument("--index", type=Path, help="folder in which the made index is kept")
    options = parser.parse_args()
    goals = Goals()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with ExitStack() as stack:
        server = stack.enter_context(serving(options.datasets, options.index, options.rate))
        answers, taken = measured(server, options.clients, options.seconds, options.rate)
        title = f"{options.clients} clients"
        report(title, answers, taken, goals, RATE_GOAL)
        if options.idle:
            people = stack.enter_context(crowd(server.port, options.idle))
            among(server, options, goals, answers.rate, people)
    goals.end()


if __name__ == "__main__":
    main()

"""What a path through the network's lenses costs, over 100,000 lenses between 20,000 schemas.

Schemas are popular as 1/rank to the power of 0.8, so that some have thousands of lenses; one lens
in twenty is verified. Run with ``python -m tests.bench.lens_paths``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import accumulate

from search_api.lens_paths import Edge, LensGraph
from tests.bench.goals import Goals

SCHEMAS = 20_000
LENSES = 100_000
QUESTIONS = 2_000
GOAL_MS = 10.0


def made(rng: random.Random, schemas: int, lenses: int) -> LensGraph:
    """A graph whose popular schemas have most of the lenses."""
    weights = list(accumulate((rank + 1) ** -0.8 for rank in range(schemas)))
    graph = LensGraph()
    for lens in range(lenses):
        source, target = rng.choices(range(schemas), cum_weights=weights, k=2)
        graph.put(Edge(lens, source, target, verified=rng.random() < 0.05))
    return graph


def measure(name: str, ask: Callable[[], object], goals: Goals) -> None:
    """Print how long ``ask`` takes."""
    times = []
    for _ in range(QUESTIONS):
        started = time.perf_counter()
        ask()
        times.append((time.perf_counter() - started) * 1_000)
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    verdict = goals.verdict(f"{name} p99", f"≤ {GOAL_MS:g} ms", p99 <= GOAL_MS)
    print(f"{name:34} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   max {times[-1]:7.2f} ms  {verdict}")


def main() -> None:
    """Build the graph, ask random questions, say whether the goal was met."""
    rng = random.Random(5)
    started = time.perf_counter()
    graph = made(rng, SCHEMAS, LENSES)
    took = time.perf_counter() - started
    print(f"{len(graph):,} lenses between {SCHEMAS:,} schemas in {took:.1f} s")
    goals = Goals()

    def two() -> tuple[list[int], list[int]]:
        return [rng.randrange(SCHEMAS)], [rng.randrange(SCHEMAS)]

    def hub() -> tuple[list[int], list[int]]:
        return [rng.randrange(SCHEMAS)], [rng.randrange(20)]

    measure("any two schemas, 5 paths", lambda: graph.paths(*two(), limit=5), goals)
    measure("to a popular schema, 5 paths", lambda: graph.paths(*hub(), limit=5), goals)
    measure("any two schemas, 25 paths", lambda: graph.paths(*two(), limit=25), goals)
    measure("putters too", lambda: graph.paths(*two(), limit=5, puts=True), goals)
    measure("verified only", lambda: graph.paths(*two(), limit=5, verified=True), goals)
    goals.end()


if __name__ == "__main__":
    main()

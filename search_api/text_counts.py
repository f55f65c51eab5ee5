"""The most frequent values of the whole index, from those of its parts. Pure.

Rule: the counts are exact, and nothing that belongs among the first is missing. Of the large part
only its own most frequent values are asked for; all of them where these can't decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

Counts = list[tuple[int, int]]  # key of a value, hits
EVERYTHING = 65_000


def together(
    settled: Callable[[int], Counts],
    fresh: Iterable[tuple[int, int]],
    gone: Iterable[tuple[int, int]],
    size: int,
) -> Counts:
    """The ``size`` most frequent values, most first, of what is ``settled`` (its so many most
    frequent values are asked for) without what is ``gone``, and ``fresh``."""
    change = Counter(dict(fresh))
    change.subtract(dict(gone))
    for asked in (2 * size, EVERYTHING):
        known = settled(asked)
        counts = {key: hits + change[key] for key, hits in known}
        least = known[-1][1] if len(known) >= asked else 0  # what is not known has so many at most
        if least == 0:
            counts |= {key: more for key, more in change.items() if key not in counts}
        best = sorted(
            ((key, hits) for key, hits in counts.items() if hits > 0),
            key=lambda count: (-count[1], count[0]),
        )[:size]
        if least == 0 or asked == EVERYTHING or _decided(best, size, least, counts, change):
            return best
    raise AssertionError("everything decides")


def _decided(
    best: Counts, size: int, least: int, counts: dict[int, int], change: Counter[int]
) -> bool:
    """Whether no value beyond ``counts`` can have more hits than the last of ``best``."""
    most = max((more for key, more in change.items() if key not in counts), default=0)
    return len(best) == size and least + max(0, most) <= best[-1][1]

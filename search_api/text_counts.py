"""The most frequent values of the whole index, from those of its parts. Pure.

Rule: the counts are exact, and nothing that belongs among the first is missing. Of the large part
only its own most frequent values are asked for, and those that what is new may have brought among
the first; all of them where these can't decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

Counts = list[tuple[int, int]]  # key of a value, hits
MAX_VALUES = 65_000  # of one facet in one segment; the library counts no more
FEW = 1_000  # values that are asked for by name


def together(
    settled: Callable[[int], Counts],
    exactly: Callable[[Sequence[int]], Mapping[int, int]],
    fresh: Iterable[tuple[int, int]],
    gone: Iterable[tuple[int, int]],
    size: int,
) -> Counts:
    """The ``size`` most frequent values, most first, of what is ``settled`` (its so many most
    frequent values; the hits of just these values: ``exactly``) without what is ``gone``, and
    ``fresh``."""
    change = Counter(dict(fresh))
    change.subtract(dict(gone))
    known = settled(2 * size)
    counts = {key: hits + change[key] for key, hits in known}
    least = known[-1][1] if len(known) >= 2 * size else 0  # what is not known has so many at most
    best = _most(counts, size)
    lowest = best[-1][1] if len(best) == size else 0
    others = [key for key, more in change.items() if key not in counts and least + more > lowest]
    if least and (lowest < least or len(others) > FEW):
        counts = {key: hits + change[key] for key, hits in settled(MAX_VALUES)}
        others, least = [key for key in change if key not in counts], 0
    if others:
        hits_of = exactly(others) if least else {}
        counts |= {key: hits_of.get(key, 0) + change[key] for key in others}
    return _most(counts, size)


def _most(counts: Mapping[int, int], size: int) -> Counts:
    found = [(key, hits) for key, hits in counts.items() if hits > 0]
    return sorted(found, key=lambda count: (-count[1], count[0]))[:size]

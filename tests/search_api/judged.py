"""Judged queries: what somebody types, and how well each dataset answers it; and what a search
makes of them.

Grades: 3 what was asked for, 2 nearly as good, 1 related, 0 (not named) beside the point.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

DEPTH = 10  # hits that are judged

Find = Callable[[str], Sequence[str]]  # the first hits for a query, best first


@dataclass(frozen=True)
class Judged:
    """A query of one kind, and the grades of the datasets that answer it."""

    kind: str
    q: str
    grades: Mapping[str, int]


@dataclass
class Marks:
    """Of the queries of one kind: nDCG@10, whether the first hit has the best grade, and those
    that were answered badly."""

    ndcg: list[float] = field(default_factory=list)
    first: list[bool] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return sum(self.ndcg) / len(self.ndcg)

    @property
    def success(self) -> float:
        """success@1."""
        return sum(self.first) / len(self.first)


def ndcg(found: Sequence[str], grades: Mapping[str, int]) -> float:
    """nDCG@10 with the gain 2^grade − 1."""
    best = sorted(grades.values(), reverse=True)
    return _gained([grades.get(name, 0) for name in found]) / _gained(best)


def _gained(grades: Sequence[int]) -> float:
    return sum(((1 << grade) - 1) / math.log2(i + 2) for i, grade in enumerate(grades[:DEPTH]))


def marked(queries: Iterable[Judged], find: Find) -> dict[str, Marks]:
    """Ask all ``queries``; the marks by kind."""
    by_kind: defaultdict[str, Marks] = defaultdict(Marks)
    for query in queries:
        marks, found = by_kind[query.kind], find(query.q)
        marks.ndcg.append(ndcg(found, query.grades))
        marks.first.append(bool(found) and query.grades.get(found[0]) == max(query.grades.values()))
        if marks.ndcg[-1] < 0.7:
            hits = [f"{n.rpartition('/')[2]} ({query.grades.get(n, 0)})" for n in found[:3]]
            marks.bad.append(f"{marks.ndcg[-1]:.2f} {query.q!r}: {', '.join(hits) or 'nothing'}")
    return dict(by_kind)


def shown(title: str, marks: Mapping[str, Marks]) -> str:
    """The table."""
    lines = [f"\n{title:<28} queries   nDCG@10   success@1"]
    for kind, of in marks.items():
        lines.append(f"  {kind:<26} {len(of.ndcg):7} {of.mean:9.3f} {of.success:11.2f}")
        lines += (f"      {bad}" for bad in of.bad)
    return "\n".join(lines)

"""Hits in rank order: all at once where there are few, tier by tier where there are many.

Rule: both ways give the same ranks in the same order, so that a page may begin in one of them where
the page before ended in the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tantivy import DocAddress, Query, Schema, Searcher

from search_api.ordered import Found, keyed, ordered
from search_api.text_query import Rank, both

Level = tuple[int, Query]  # a tier's number, and who is in it or in one before
Hit = tuple[Rank, DocAddress]


def at_once(
    searcher: Searcher,
    wanted: Query,
    levels: Iterable[Level],
    keys: Sequence[str],
    after: Rank | None,
    room: int,
    total: int,
) -> list[Hit]:
    """The first ``room`` of ``total`` hits below ``after``. One search gives each hit its best tier
    as its score."""
    if not total:
        return []
    numbered = list(levels)
    best = len(numbered)
    scored = [
        Query.const_score_query(level, float(best - place))
        for place, (_, level) in enumerate(numbered)
    ]
    inside = both([Query.const_score_query(wanted, 0.0), Query.disjunction_max_query(scored)])
    hits = searcher.search(inside, limit=total, count=False).hits
    found: list[Hit] = []
    for score, group in groupby(hits, key=lambda hit: hit[0]):
        tier = numbered[best - round(score)][0]
        if after is not None and tier < after.tier:
            continue
        inside_tier = keyed(searcher, keys, [address for _, address in group])
        if after is not None and tier == after.tier:
            inside_tier = [hit for hit in inside_tier if hit[0] < after.keys]
        found += _under(tier, inside_tier)
        if len(found) >= room:
            break
    return found[:room]


def by_tier(
    searcher: Searcher,
    schema: Schema,
    wanted: Query,
    levels: Iterable[Level],
    keys: Sequence[str],
    after: Rank | None,
    room: int,
) -> list[Hit]:
    """The first ``room`` hits below ``after``. A tier is only asked for if those above it do not
    fill the page."""
    found: list[Hit] = []
    above: list[Query] = []
    for tier, level in levels:
        if after is None or tier >= after.tier:
            inside = both([wanted, level], without=above)
            start = after.keys if after is not None and tier == after.tier else None
            hits = ordered(searcher, schema, inside, keys, start, room - len(found))
            found += _under(tier, hits)
        if len(found) == room:
            break
        above.append(level)
    return found


def _under(tier: int, hits: Sequence[Found]) -> list[Hit]:
    return [(Rank(tier, keys), address) for keys, address in hits]

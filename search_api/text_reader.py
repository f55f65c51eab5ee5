"""Questions to one state of the text index: hits in rank order, exact totals, counts of values.

Rule: what the hits of a request are, how many, and with which values, comes from one searcher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tantivy import Query, Schema, Searcher

from search_api.ordered import Found, ordered
from search_api.stored_view import StoredView, unpack
from search_api.text_query import (
    SORTS,
    DatasetQuery,
    Rank,
    both,
    equal,
    filters,
    matching,
    tiers,
)

MAX_VALUES = 65_000  # of one facet in one segment; the library counts no more

Counts = list[tuple[str | int, int]]


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of hits in rank order with their views, and the exact number of all."""

    ranks: tuple[Rank, ...]
    total: int
    stored: tuple[StoredView, ...] = ()


class Reader:
    """One state of the index: everything up to change ``seq``."""

    def __init__(self, schema: Schema, searcher: Searcher, seq: int) -> None:
        self.schema, self.searcher, self.seq = schema, searcher, seq
        self._made: dict[DatasetQuery, Query] = {}

    def search(self, query: DatasetQuery, limit: int, after: Rank | None = None) -> Hits:
        """The ``limit`` best hits below ``after``, and how many hits there are in all."""
        page = self.page(query, limit, after)
        return Hits(tuple(rank for rank, _ in page), self.total(query), tuple(s for _, s in page))

    def page(
        self, query: DatasetQuery, limit: int, after: Rank | None = None
    ) -> list[tuple[Rank, StoredView]]:
        """The ``limit`` best hits below ``after``."""
        wanted, keys = filters(self.schema, query), SORTS[query.sort]
        found: list[tuple[int, Found]] = []
        above: list[Query] = []
        for tier, level in enumerate(tiers(self.schema, query)):
            if after is None or tier >= after.tier:
                inside = both([wanted, level], without=above)
                start = after.keys if after is not None and tier == after.tier else None
                room = limit - len(found)
                hits = ordered(self.searcher, self.schema, inside, keys, start, room)
                found += ((tier, hit) for hit in hits)
            if len(found) == limit:
                break
            above.append(level)
        return [(Rank(tier, keys), self._stored(address)) for tier, (keys, address) in found]

    def total(self, query: DatasetQuery) -> int:
        """How many hits there are."""
        everything = both([filters(self.schema, query), self._matching(query)])
        # `count` is missing from the package's type stubs.
        found = self.searcher.search(everything, limit=1, count=True)
        return int(found.count)  # type: ignore[attr-defined]

    def counts(
        self, query: DatasetQuery, facets: Mapping[str, str], size: int
    ) -> dict[str, Counts]:
        """For each facet, name → field, the ``size`` most frequent values over all hits, with how
        many hits have them. A facet's own filter does not count for it.

        Exact up to ``MAX_VALUES`` values in one segment of the index."""
        own = {c.facet for c in query.conditions if c.facet and not c.excluded} & set(facets)
        shared = [name for name in facets if name not in own]
        found: dict[str, Counts] = {}
        for without, names in [(None, shared), *((name, [name]) for name in own)]:
            if names:
                wanted = [filters(self.schema, query, without), self._matching(query)]
                found |= self._counted(both(wanted), {n: facets[n] for n in names}, size)
        return found

    def example(self, field: str, value: int) -> StoredView | None:
        """Any dataset whose integer ``field`` is ``value``."""
        hits = self.searcher.search(equal(self.schema, field, value), limit=1, count=False).hits
        return self._stored(hits[0][1]) if hits else None

    def examples(self, inside: Query, limit: int) -> list[StoredView]:
        """The ``limit`` newest datasets of ``inside``."""
        hits = self.searcher.search(inside, limit=limit, count=False, order_by_field="order").hits
        return [self._stored(address) for _, address in hits]

    def _matching(self, query: DatasetQuery) -> Query:
        if query not in self._made:  # to make an automaton of a begun word takes its time
            self._made[query] = matching(self.schema, query)
        return self._made[query]

    def _counted(self, query: Query, facets: Mapping[str, str], size: int) -> dict[str, Counts]:
        # Segments are counted one by one and then added up: what a segment left out as rare would
        # be missing from the sum, so none leaves anything out.
        terms = {
            name: {"terms": {"field": field, "size": size, "segment_size": MAX_VALUES}}
            for name, field in facets.items()
        }
        found = self.searcher.aggregate(query, terms)
        return {
            name: [(bucket["key"], int(bucket["doc_count"])) for bucket in found[name]["buckets"]]
            for name in facets
        }

    def _stored(self, address: object) -> StoredView:
        return unpack(self.searcher.doc(address).get_first("view"))  # type: ignore[arg-type]

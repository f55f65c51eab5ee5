"""Questions to one state of the text index: hits in rank order, exact totals, counts of values.

The index has two parts: what is settled on disk, and the fresh one in memory with what has changed
since; of the settled part, documents that are ``gone`` have changed and count no more. Rule: what
the hits of a request are, how many, and with which values, comes from one state of both.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from itertools import islice

from tantivy import Query, Schema

from atdata.protocol.keys import key_of
from search_api.ranked import Hit
from search_api.stored_view import StoredView
from search_api.text_counts import MAX_VALUES, Counts, together
from search_api.text_document import BEGUN, PROMINENCE, SHORT
from search_api.text_part import (
    MAX_COMPLETIONS,
    MAX_LABELS,
    Asked,
    CountedField,
    Labels,
    Part,
    remembered,
)
from search_api.text_query import DatasetQuery, Rank, any_of, both, equal
from search_api.word_forms import forms

_ALL = PROMINENCE[-1]
ValueCounts = list[tuple[str | int, int]]  # value as it is counted, hits
_Found = tuple[Rank, StoredView]


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of hits in rank order with their views, and the exact number of all."""

    ranks: tuple[Rank, ...]
    total: int
    stored: tuple[StoredView, ...] = ()


class Reader:
    """One state of the index: everything up to change ``seq``; of the repos in ``stale`` it is not
    known that they are as their hosts have them. ``labels`` are those of all states. Any number of
    threads."""

    def __init__(
        self,
        settled: Part,
        fresh: Part,
        gone: frozenset[int],
        seq: int,
        labels: Labels,
        stale: frozenset[int] = frozenset(),
    ) -> None:
        self.schema: Schema = settled.schema
        self.seq, self.stale = seq, stale
        self._settled, self._fresh, self._gone, self._labels = settled, fresh, gone, labels
        self._parts = settled, fresh
        self._gone_totals: dict[Hashable, int] = {}
        self._begun: dict[tuple[str, str], tuple[Query | None]] = {}
        self._others: dict[str, tuple[str, ...]] = {}

    def with_stale(self, stale: frozenset[int]) -> Reader:
        """The same state of the index."""
        return Reader(self._settled, self._fresh, self._gone, self.seq, self._labels, stale)

    # --- hits -------------------------------------------------------------------------------

    def search(self, query: DatasetQuery, limit: int, after: Rank | None = None) -> Hits:
        """The ``limit`` best hits below ``after``, and how many hits there are in all."""
        page = self.page(query, limit, after)
        return Hits(tuple(rank for rank, _ in page), self.total(query), tuple(s for _, s in page))

    def page(self, query: DatasetQuery, limit: int, after: Rank | None = None) -> list[_Found]:
        """The ``limit`` best hits below ``after``."""
        asked = self._asked(query)
        fresh = self._fresh.page(asked, limit, after)
        pages = [
            ((rank, self._settled, at) for rank, at in self._still_there(asked, limit, after)),
            ((rank, self._fresh, at) for rank, at in fresh),
        ]
        best = islice(merge(*pages, key=lambda hit: _place(hit[0])), limit)
        return [(rank, part.view(address)) for rank, part, address in best]

    def total(self, query: DatasetQuery) -> int:
        """How many hits there are."""
        asked = self._asked(query)
        return self._settled.total(asked) - self._gone_of(asked) + self._fresh.total(asked)

    def example(self, field: str, value: int) -> StoredView | None:
        """Any dataset whose integer ``field`` is ``value``."""
        found = self.examples(equal(self.schema, field, value), 1)
        return found[0] if found else None

    def examples(self, inside: Query, limit: int) -> list[StoredView]:
        """The ``limit`` newest datasets of ``inside``."""
        settled = self._settled.newest(self._without_gone(inside), limit)
        hits = [(order, self._settled, address) for order, address in settled]
        hits += [(order, self._fresh, at) for order, at in self._fresh.newest(inside, limit)]
        hits.sort(key=lambda hit: hit[0], reverse=True)
        return [part.view(address) for _, part, address in hits[:limit]]

    def best(self, inside: Query, limit: int) -> list[StoredView]:
        """The ``limit`` datasets that the terms of ``inside`` fit best."""
        settled = self._settled.best(self._without_gone(inside), limit)
        hits = [(score, self._settled, address) for score, address in settled]
        hits += [(score, self._fresh, at) for score, at in self._fresh.best(inside, limit)]
        hits.sort(key=lambda hit: hit[0], reverse=True)
        return [part.view(address) for _, part, address in hits[:limit]]

    # --- values -----------------------------------------------------------------------------

    def counts(
        self, query: DatasetQuery, facets: Mapping[str, CountedField], size: int
    ) -> dict[str, ValueCounts]:
        """For each facet the ``size`` most frequent values over all hits, with how many hits have
        them. A facet's own filter does not count for it.

        Exact up to ``MAX_VALUES`` values in one segment of the index."""
        own = {c.facet for c in query.conditions if c.facet and not c.excluded}
        alike: dict[str | None, list[str]] = {}
        for name in facets:
            alike.setdefault(name if name in own else None, []).append(name)
        found: dict[str, ValueCounts] = {}
        for without, names in alike.items():
            asked = self._asked(query, without)
            counted = self._counted(asked, [facets[name] for name in names], size)
            for name in names:
                found[name] = self._labelled(facets[name], counted[facets[name].name])
        return found

    def _counted(
        self, asked: Asked, fields: Sequence[CountedField], size: int
    ) -> dict[str, Counts]:
        fresh = self._fresh.counts(asked, fields, MAX_VALUES)
        gone: dict[str, Counts] = {}
        if self._gone:
            inside = self._only_gone(asked.inside)
            gone = self._settled.counts_among(inside, fields, MAX_VALUES).values

        def settled(field: CountedField) -> Callable[[int], Counts]:
            return lambda most: self._settled.counts(asked, [field], most)[field.name]

        def exactly(field: CountedField) -> Callable[[Sequence[int]], dict[int, int]]:
            return lambda keys: self._exactly(asked, field, keys)

        self._settled.counts(asked, fields, 2 * size)  # of all fields in one pass
        return {
            field.name: together(
                *(settled(field), exactly(field)),
                *(fresh[field.name], gone.get(field.name, ())),
                size,
            )
            for field in fields
        }

    def _exactly(self, asked: Asked, field: CountedField, keys: Sequence[int]) -> dict[int, int]:
        """How many hits of the settled part have each of the values ``keys``, and some others."""
        those = Query.term_set_query(self.schema, field.name, list(keys))
        inside = both([asked.inside, those])
        return dict(self._settled.counts_among(inside, [field], MAX_VALUES).values[field.name])

    def _labelled(self, field: CountedField, counts: Counts) -> ValueCounts:
        if field.labels is None:
            return list(counts)
        labels = ((self._label(field, key), hits) for key, hits in counts)
        return [(label, hits) for label, hits in labels if label is not None]

    def _label(self, field: CountedField, key: int) -> str | None:
        """The value with that key, as a dataset has it that has the value."""
        known = self._labels.get((field.name, key))
        if known is None and field.labels and (example := self.example(field.name, key)):
            known = next(one for one in field.labels(example) if one and key_of(one) == key)
            remembered(self._labels, (field.name, key), known, MAX_LABELS)
        return known

    # --- words ------------------------------------------------------------------------------

    def begun(self, field: str, word: str) -> Query | None:
        """What begins with ``word`` in ``field``; None if that is ``word`` alone, or nothing."""
        if len(word) <= SHORT:
            return Query.term_query(self.schema, field, BEGUN + word)
        key = field, word
        known = self._begun.get(key)  # of a tuple, since None is an answer, too
        if known is None:
            known = remembered(self._begun, key, (self._completed(field, word),))
        return known[0]

    def others(self, word: str) -> tuple[str, ...]:
        """The other forms of ``word`` that some dataset has."""
        known = self._others.get(word)
        if known is None:
            known = remembered(self._others, word, tuple(filter(self.knows, forms(word))))
        return known

    def knows(self, word: str) -> bool:
        """Whether some dataset has ``word``."""
        return self.frequency(_ALL, word) > 0

    def frequency(self, field: str, word: str) -> int:
        """How many datasets have ``word`` in ``field``; some that have it no more may count."""
        return sum(part.frequency(field, word) for part in self._parts)

    def begins_any(self, word: str) -> bool:
        """Whether a word of some dataset begins with ``word``."""
        return any(part.begins_any(_ALL, word) for part in self._parts)

    # --- the two parts ----------------------------------------------------------------------

    @cached_property
    def _gone_query(self) -> Query:
        return Query.term_set_query(self.schema, "doc", sorted(self._gone))

    def _gone_of(self, asked: Asked) -> int:
        """How many hits of the settled part are gone."""
        known = self._gone_totals.get(asked.key) if self._gone else 0
        if known is None:
            found = self._settled.among(self._only_gone(asked.inside))
            known = remembered(self._gone_totals, asked.key, found)
        return known

    def _only_gone(self, inside: Query) -> Query:
        return both([inside, self._gone_query])

    def _without_gone(self, inside: Query) -> Query:
        return both([inside], without=[self._gone_query]) if self._gone else inside

    def _asked(self, query: DatasetQuery, without: str | None = None) -> Asked:
        return Asked(self.schema, query, self, without)

    def _still_there(self, asked: Asked, limit: int, after: Rank | None) -> Iterator[Hit]:
        """At least ``limit`` hits of the settled part that are not gone, if there are so many."""
        while True:
            page = self._settled.page(asked, limit, after)
            yield from (hit for hit in page if hit[0].doc not in self._gone)
            if len(page) < limit:
                return
            after, limit = page[-1][0], 2 * limit

    def _completed(self, field: str, word: str) -> Query | None:
        words = sorted(
            {begun for part in self._parts for begun in part.beginning_with(field, word)}
        )
        if words in ([], [word]):
            return None
        if len(words) > MAX_COMPLETIONS:  # one pass through them is then cheaper
            return Query.regex_query(self.schema, field, f"{word}.*")
        return any_of([Query.term_query(self.schema, field, found) for found in words])


def _place(rank: Rank) -> tuple[int, ...]:
    """Sorts like the ranks themselves."""
    return rank.tier, *(-key for key in rank.keys)

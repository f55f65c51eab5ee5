"""Questions to one state of the text index: hits in rank order, exact totals, counts of values.

Rule: what the hits of a request are, how many, and with which values, comes from one searcher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tantivy import DocAddress, Query, Schema, Searcher

from atdata.protocol.keys import key_of
from search_api.ranked import at_once, by_tier
from search_api.stored_view import StoredView, unpack
from search_api.text_document import BEGUN, PROMINENCE, SHORT
from search_api.text_query import (
    SORTS,
    DatasetQuery,
    Rank,
    any_of,
    both,
    equal,
    filters,
)
from search_api.tiers import matching, tiers
from search_api.word_forms import forms, roots

MAX_VALUES = 65_000  # of one facet in one segment; the library counts no more

FEW = 500  # hits that are ranked all at once
MAX_COMPLETIONS = 32  # of a begun word that are looked for one by one
REMEMBERED = 1_000  # answers of each kind
MAX_LABELS = 50_000
_HITS = "hits"

Counts = list[tuple[str | int, int]]
Asked = tuple[DatasetQuery, str | None]  # a query, and the facet whose conditions don't count
Labels = dict[tuple[str, int], str]  # of a field's key: the value
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CountedField:
    """A field whose values are counted: ``name`` as keys in a column, ``text`` as terms. To go
    through all terms takes less time than through the hits where these are ``many``.

    ``labels`` gives a dataset's values, whose keys are in the column; without it the keys are the
    values, and the terms are their digits."""

    name: str
    text: str
    many: int
    labels: Callable[[StoredView], Sequence[str | None]] | None = None


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of hits in rank order with their views, and the exact number of all."""

    ranks: tuple[Rank, ...]
    total: int
    stored: tuple[StoredView, ...] = ()


class Reader:
    """One state of the index: everything up to change ``seq``; of the repos in ``stale`` it is not
    known that they are as their hosts have them. ``labels`` are those of all states, since the
    value of a key never changes. Any number of threads."""

    def __init__(
        self,
        schema: Schema,
        searcher: Searcher,
        seq: int,
        labels: Labels,
        stale: frozenset[int] = frozenset(),
    ) -> None:
        self.schema, self.searcher, self.seq = schema, searcher, seq
        self.stale = stale
        self._begun: dict[tuple[str, str], tuple[Query | None]] = {}
        self._others: dict[str, tuple[str, ...]] = {}
        self._totals: dict[Asked, int] = {}
        self._counts: dict[tuple[Asked, str, int], Counts] = {}
        self._labels = labels

    def with_stale(self, stale: frozenset[int]) -> Reader:
        """The same state of the index."""
        return Reader(self.schema, self.searcher, self.seq, self._labels, stale)

    def search(self, query: DatasetQuery, limit: int, after: Rank | None = None) -> Hits:
        """The ``limit`` best hits below ``after``, and how many hits there are in all."""
        page = self.page(query, limit, after)
        return Hits(tuple(rank for rank, _ in page), self.total(query), tuple(s for _, s in page))

    def page(
        self, query: DatasetQuery, limit: int, after: Rank | None = None
    ) -> list[tuple[Rank, StoredView]]:
        """The ``limit`` best hits below ``after``."""
        wanted, keys = filters(self.schema, query), SORTS[query.sort]
        levels, total = tiers(self.schema, query, self), self.total(query)
        if total <= FEW:
            found = at_once(self.searcher, wanted, levels, keys, after, limit, total)
        else:
            found = by_tier(self.searcher, self.schema, wanted, levels, keys, after, limit)
        return [(rank, self._stored(address)) for rank, address in found]

    def total(self, query: DatasetQuery, without: str | None = None) -> int:
        """How many hits there are; without the conditions of the facet ``without``."""
        asked = query, without
        if (known := self._totals.get(asked)) is not None:
            return known
        return _remembered(self._totals, asked, self._count(self._inside(*asked)))

    def counts(
        self, query: DatasetQuery, facets: Mapping[str, CountedField], size: int
    ) -> dict[str, Counts]:
        """For each facet the ``size`` most frequent values over all hits, with how many hits have
        them. A facet's own filter does not count for it.

        Exact up to ``MAX_VALUES`` values in one segment of the index."""
        own = {c.facet for c in query.conditions if c.facet and not c.excluded}
        found: dict[str, Counts] = {}
        missing: dict[Asked, dict[str, CountedField]] = {}
        for name, field in facets.items():
            asked = query, name if name in own else None
            known = self._counts.get((asked, field.name, size))
            if known is None:
                missing.setdefault(asked, {})[name] = field
            else:
                found[name] = known
        for asked, fields in missing.items():
            counted = self._top(asked, list(fields.values()), size)
            for name, field in fields.items():
                key = asked, field.name, size
                found[name] = _remembered(self._counts, key, counted[field.name])
        return found

    def example(self, field: str, value: int) -> StoredView | None:
        """Any dataset whose integer ``field`` is ``value``."""
        hits = self.searcher.search(equal(self.schema, field, value), limit=1, count=False).hits
        return self._stored(hits[0][1]) if hits else None

    def examples(self, inside: Query, limit: int) -> list[StoredView]:
        """The ``limit`` newest datasets of ``inside``."""
        hits = self.searcher.search(inside, limit=limit, count=False, order_by_field="order").hits
        return [self._stored(address) for _, address in hits]

    # --- words ------------------------------------------------------------------------------

    def begun(self, field: str, word: str) -> Query | None:
        """What begins with ``word`` in ``field``; None if that is ``word`` alone, or nothing."""
        if len(word) <= SHORT:
            return Query.term_query(self.schema, field, BEGUN + word)
        key = field, word
        known = self._begun.get(key)  # of a tuple, since None is an answer, too
        if known is None:
            known = _remembered(self._begun, key, (self._completed(field, word),))
        return known[0]

    def others(self, word: str) -> tuple[str, ...]:
        """The other forms of ``word`` that some dataset has; of a word that none has, also those
        of the noun that it is made of."""
        known = self._others.get(word)
        if known is None:
            made = (*forms(word), *(() if self.knows(word) else roots(word)))
            known = _remembered(self._others, word, tuple(filter(self.knows, made)))
        return known

    def knows(self, word: str) -> bool:
        """Whether some dataset has ``word``."""
        return self.searcher.doc_freq(PROMINENCE[-1], word) > 0

    # --- parts ------------------------------------------------------------------------------

    def _inside(self, query: DatasetQuery, without: str | None) -> Query:
        wanted = filters(self.schema, query, without)
        return both([wanted, matching(self.schema, query, self)])

    def _completed(self, field: str, word: str) -> Query | None:
        words = [found for found, _ in self.searcher.terms_with_prefix(field, word)]
        if words in ([], [word]):
            return None
        if len(words) > MAX_COMPLETIONS:  # one pass through them is then cheaper
            return Query.regex_query(self.schema, field, f"{word}.*")
        return any_of([Query.term_query(self.schema, field, found) for found in words])

    def _count(self, inside: Query) -> int:
        # Of a constant score no hit is better than the first. `count` is missing from the stubs.
        found = self.searcher.search(Query.const_score_query(inside, 1.0), limit=1, count=True)
        return int(found.count)  # type: ignore[attr-defined]

    def _top(self, asked: Asked, fields: Sequence[CountedField], size: int) -> dict[str, Counts]:
        """The counts of all ``fields``, by their names."""
        # To go through the hits costs little more for all fields than for one. Where it takes long
        # to tell the hits, as for a phrase, it is done once.
        if asked[0].parsed.phrases or any(self.total(*asked) < field.many for field in fields):
            return self._counted(asked, fields, size)
        return {field.name: self._through_terms(asked, field, size) for field in fields}

    def _through_terms(self, asked: Asked, field: CountedField, size: int) -> Counts:
        inside = self._inside(*asked)
        terms = self.searcher.terms_with_prefix(field.text, "", filter_query=inside, limit=size)
        return [(value if field.labels else int(value), hits) for value, hits in terms if hits]

    def _counted(
        self, asked: Asked, fields: Sequence[CountedField], size: int
    ) -> dict[str, Counts]:
        """All ``fields``, and the number of hits, in one pass."""
        # Segments are counted one by one and then added up: what a segment left out as rare would
        # be missing from the sum, so none leaves anything out.
        wanted: dict[str, Any] = {
            field.name: {"terms": {"field": field.name, "size": size, "segment_size": MAX_VALUES}}
            for field in fields
        }
        wanted[_HITS] = {"value_count": {"field": "doc"}}
        found = self.searcher.aggregate(self._inside(*asked), wanted)
        _remembered(self._totals, asked, int(found[_HITS]["value"]))
        return {field.name: self._labelled(field, found[field.name]["buckets"]) for field in fields}

    def _labelled(self, field: CountedField, buckets: Sequence[Mapping[str, Any]]) -> Counts:
        counts = [(int(bucket["key"]), int(bucket["doc_count"])) for bucket in buckets]
        if field.labels is None:
            return list(counts)
        labels = ((self._label(field, key), hits) for key, hits in counts)
        return [(label, hits) for label, hits in labels if label is not None]

    def _label(self, field: CountedField, key: int) -> str | None:
        """The value with that key, as a dataset has it that has the value."""
        known = self._labels.get((field.name, key))
        if known is None and field.labels and (example := self.example(field.name, key)):
            known = next(one for one in field.labels(example) if one and key_of(one) == key)
            _remembered(self._labels, (field.name, key), known, MAX_LABELS)
        return known

    def _stored(self, address: DocAddress) -> StoredView:
        return unpack(self.searcher.doc(address).get_first("view"))  # type: ignore[arg-type]


def _remembered(known: dict[Key, Value], key: Key, value: Value, most: int = REMEMBERED) -> Value:
    """``value``, which is at ``key`` from now on; what others asked is forgotten at times."""
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value

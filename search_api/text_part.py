"""One part of the text index as it stood at one moment: counts, pages, values, words of its own.

Rule: a part never changes, so that whatever it was asked once is remembered with it. What is asked
of it comes with the words of the whole index (``Asked``), since both parts must read a query alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from tantivy import DocAddress, Query, Schema, Searcher

from atdata.protocol.keys import key_of
from search_api.ranked import Hit, at_once, by_tier
from search_api.stored_view import StoredView, unpack
from search_api.text_counts import MAX_VALUES, Counts
from search_api.text_document import PROMINENCE
from search_api.text_query import SORTS, DatasetQuery, Rank, both, equal, filters
from search_api.tiers import Dictionary, Tier, matching, others_of, tiers

FEW = 500  # hits that are ranked all at once
REMEMBERED = 1_000  # answers of each kind
PAGES = 400
LONG, LONG_REMEMBERED = (
    1_000,
    50,
)  # values; so many lists of counts are remembered that may be longer
VIEWS = 4_000
MAX_COMPLETIONS = 32  # of a begun word that are looked for one by one
MAX_LABELS = 50_000
_HITS = "hits"
_ALL = PROMINENCE[-1]

Labels = dict[tuple[str, int], str]  # of a field's key: the value
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CountedField:
    """A field whose values are counted: ``name`` as keys in a column, ``text`` as terms. To go
    through all terms takes less time than through the hits where these are ``many``; None: never.

    ``labels`` gives a dataset's values, whose keys are in the column; without it the keys are the
    values, and the terms are their digits."""

    name: str
    text: str
    many: int | None
    labels: Callable[[StoredView], Sequence[str | None]] | None = None


class Asked:
    """``query`` as the words that are ``known`` let it be read, without the conditions of the facet
    ``without``. Of one thread. What has an equal ``key`` finds the same in the same part: words
    that a part does not have find nothing in it, whoever knows them."""

    def __init__(
        self, schema: Schema, query: DatasetQuery, known: Dictionary, without: str | None = None
    ) -> None:
        self.schema, self.query, self._known, self._without = schema, query, known, without
        words = (*query.parsed.needed, *query.corrected) if query.forms else ()
        self.key = query, without, tuple(others_of(known, query, word) for word in words)
        self._made: list[Tier] = []

    @cached_property
    def _rest(self) -> Iterator[Tier]:
        return tiers(self.schema, self.query, self._known)

    @cached_property
    def wanted(self) -> Query:
        """What all conditions let through."""
        return filters(self.schema, self.query, self._without)

    @cached_property
    def inside(self) -> Query:
        """All hits."""
        return both([self.wanted, matching(self.schema, self.query, self._known)])

    @cached_property
    def needed(self) -> tuple[tuple[str, ...], ...]:
        """Words of which each hit has one of each, as far as the dictionary tells: none where words
        may be missing, or be others, or be only begun."""
        query = self.query
        if query.relaxed or query.corrected:
            return ()
        whole = [word for word in query.parsed.needed if word != query.parsed.prefix]
        if not query.forms:
            return tuple((word,) for word in whole)
        return tuple((word, *others_of(self._known, query, word)) for word in whole)

    def levels(self) -> Iterator[Tier]:
        """Who ranks where, best first; each is made once, when it is needed."""
        yield from self._made
        for level in self._rest:
            self._made.append(level)
            yield level


class Part:
    """Any number of threads. ``labels`` are those of all parts, since the value of a key never
    changes."""

    def __init__(self, schema: Schema, searcher: Searcher, labels: Labels) -> None:
        self.schema, self.searcher = schema, searcher
        self.is_empty = searcher.num_docs == 0
        self._labels = labels
        self._totals: dict[Hashable, int] = {}
        self._pages: dict[Hashable, list[Hit]] = {}
        self._counts: dict[Hashable, Counts] = {}
        self._long_counts: dict[Hashable, Counts] = {}
        self._views: dict[tuple[int, int], StoredView] = {}
        self._begun: dict[tuple[str, str], tuple[str, ...]] = {}

    # --- hits -------------------------------------------------------------------------------

    def total(self, asked: Asked) -> int:
        """How many hits there are."""
        if self.is_empty:
            return 0
        known = self._totals.get(asked.key)
        if known is None:
            found = self.among(asked.inside) if self._may_have(asked) else 0
            known = remembered(self._totals, asked.key, found)
        return known

    def page(self, asked: Asked, limit: int, after: Rank | None) -> list[Hit]:
        """The ``limit`` best hits below ``after``."""
        if self.is_empty:
            return []
        key = asked.key, limit, after
        known = self._pages.get(key)
        if known is None:
            known = remembered(self._pages, key, self._page(asked, limit, after), PAGES)
        return known

    def newest(self, inside: Query, limit: int) -> list[tuple[int, DocAddress]]:
        """The ``limit`` newest datasets of ``inside``, each with its ``order``."""
        if self.is_empty:
            return []
        found = self.searcher.search(inside, limit=limit, count=False, order_by_field="order")
        return [(int(order), address) for order, address in found.hits]

    def best(self, inside: Query, limit: int) -> list[tuple[float, DocAddress]]:
        """The ``limit`` datasets that the terms of ``inside`` fit best, each with its score."""
        if self.is_empty:
            return []
        found = self.searcher.search(inside, limit=limit, count=False)
        return [(float(score), address) for score, address in found.hits]

    def among(self, inside: Query) -> int:
        """How many documents ``inside`` holds."""
        # Of a constant score no hit is better than the first. `count` is missing from the stubs.
        found = self.searcher.search(Query.const_score_query(inside, 1.0), limit=1, count=True)
        return int(found.count)  # type: ignore[attr-defined]

    def has(self, doc: int) -> bool:
        """Whether it holds a document of the dataset ``doc``."""
        return not self.is_empty and self.among(equal(self.schema, "doc", doc)) > 0

    def view(self, address: DocAddress) -> StoredView:
        """What is shown of a hit."""
        key = address.segment_ord, address.doc
        known = self._views.get(key)
        if known is None:
            found = unpack(self.searcher.doc(address).get_first("view"))  # type: ignore[arg-type]
            known = remembered(self._views, key, found, VIEWS)
        return known

    # --- words ------------------------------------------------------------------------------

    def frequency(self, field: str, word: str) -> int:
        """In how many documents ``word`` stands; those that are gone may be among them."""
        return 0 if self.is_empty else self.searcher.doc_freq(field, word)

    def beginning_with(self, field: str, word: str) -> tuple[str, ...]:
        """The words of ``field`` that begin with ``word``, one more than ``MAX_COMPLETIONS`` at
        most."""
        if self.is_empty:
            return ()
        known = self._begun.get((field, word))
        if known is None:
            found = self.searcher.terms_with_prefix(field, word)
            words = tuple(term for term, _ in found[: MAX_COMPLETIONS + 1])
            known = remembered(self._begun, (field, word), words)
        return known

    def begins_any(self, field: str, word: str) -> bool:
        """Whether a word of ``field`` begins with ``word``."""
        return not self.is_empty and bool(self.searcher.terms_with_prefix(field, word, limit=1))

    # --- values -----------------------------------------------------------------------------

    def counts(self, asked: Asked, fields: Sequence[CountedField], size: int) -> dict[str, Counts]:
        """Of each of ``fields`` the ``size`` most frequent values over all hits, most first. Exact
        up to ``MAX_VALUES`` values in one segment of the index."""
        # Where it takes long to tell the hits, as for a phrase, they are only gone through once.
        if self.is_empty or (not asked.query.parsed.phrases and not self.total(asked)):
            return {field.name: [] for field in fields}
        known, most = self._counts, REMEMBERED
        if size > LONG:
            known, most = self._long_counts, LONG_REMEMBERED
        keys = {field.name: (asked.key, field.name, size) for field in fields}
        found = {name: known.get(key) for name, key in keys.items()}
        missing = [field for field in fields if found[field.name] is None]
        for name, counts in self._count_values(asked, missing, size).items():
            found[name] = remembered(known, keys[name], counts, most)
        return {name: counts for name, counts in found.items() if counts is not None}

    def counts_among(self, inside: Query, fields: Sequence[CountedField], size: int) -> Counted:
        """The same of any query, and how many documents it holds."""
        # Segments are counted one by one and then added up: what a segment left out as rare would
        # be missing from the sum, so none leaves anything out.
        wanted: dict[str, Any] = {
            field.name: {"terms": {"field": field.name, "size": size, "segment_size": MAX_VALUES}}
            for field in fields
        }
        wanted[_HITS] = {"value_count": {"field": "doc"}}
        found = self.searcher.aggregate(inside, wanted)
        values = {field.name: _pairs(found[field.name]["buckets"]) for field in fields}
        return Counted(values, int(found[_HITS]["value"]))

    def learn_labels(self, fields: Iterable[CountedField]) -> None:
        """The values of ``fields`` under their keys: to look for each where it is needed takes a
        search."""
        for field in fields:
            if field.labels is None or self.is_empty:
                continue
            for value, _ in self.searcher.terms_with_prefix(field.text, "", limit=MAX_LABELS // 2):
                remembered(self._labels, (field.name, key_of(value)), value, MAX_LABELS)

    # --- parts ------------------------------------------------------------------------------

    def _may_have(self, asked: Asked) -> bool:
        """Whether it has all the words: its dictionary answers in a hundredth of a search."""
        return all(any(self.frequency(_ALL, word) for word in ways) for ways in asked.needed)

    def _page(self, asked: Asked, limit: int, after: Rank | None) -> list[Hit]:
        keys, total = SORTS[asked.query.sort], self.total(asked)
        if total <= FEW:
            levels = asked.levels()
            return at_once(self.searcher, asked.wanted, levels, keys, after, limit, total)
        return by_tier(self.searcher, self.schema, asked.wanted, asked.levels(), keys, after, limit)

    def _count_values(
        self, asked: Asked, fields: Sequence[CountedField], size: int
    ) -> dict[str, Counts]:
        at_once = bool(asked.query.parsed.phrases)
        by_terms = [
            field
            for field in fields
            if field.many is not None and not at_once and self.total(asked) >= field.many
        ]
        found = {field.name: self._through_terms(asked, field, size) for field in by_terms}
        if by_hits := [field for field in fields if field not in by_terms]:
            counted = self.counts_among(asked.inside, by_hits, size)
            remembered(self._totals, asked.key, counted.hits)
            found |= counted.values
        return found

    def _through_terms(self, asked: Asked, field: CountedField, size: int) -> Counts:
        terms = self.searcher.terms_with_prefix(
            field.text, "", filter_query=asked.inside, limit=size
        )
        if field.labels is None:
            return [(int(value), hits) for value, hits in terms if hits]
        keys = [(key_of(value), value, hits) for value, hits in terms if hits]
        for key, value, _ in keys:
            remembered(self._labels, (field.name, key), value, MAX_LABELS)
        return [(key, hits) for key, _, hits in keys]


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of several fields by name, over so many ``hits``."""

    values: dict[str, Counts]
    hits: int


def _pairs(buckets: Sequence[Mapping[str, Any]]) -> Counts:
    return [(int(bucket["key"]), int(bucket["doc_count"])) for bucket in buckets]


def remembered(known: dict[Key, Value], key: Key, value: Value, most: int = REMEMBERED) -> Value:
    """``value``, which is at ``key`` from now on; what others asked is forgotten at times."""
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value

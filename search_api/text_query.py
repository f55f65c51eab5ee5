"""What a dataset query means in the text index: its filters, and what ranks first.

Ranking is by tiers, not by weighing: the whole name first, then all words in the name, then in more
and more of the record; a last word that is only begun counts after a complete one; newest first
inside each tier. A rank depends on the document and the query alone, never on other documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from tantivy import FieldType, Occur, Query, Schema

from search_api.query_language import ParsedQuery, parse_query
from search_api.text_document import BEGUN, NAME_KEYS, PROMINENCE, SHORT
from search_api.words import exact_form

# What each sort goes by, highest first; `doc` makes every order total.
SORTS = {
    "relevance": ("order", "doc"),
    "newest": ("order", "doc"),
    "updated": ("updated", "doc"),
    "name": (*NAME_KEYS, "doc"),
    "size": ("bytes", "doc"),
}

parsed_query = lru_cache(maxsize=1_000)(parse_query)


@dataclass(frozen=True, slots=True)
class Condition:
    """One of ``values`` (none: nobody has it) in ``field``, or with ``excluded`` none of them.
    ``facet`` is the facet that it chooses values of."""

    field: str
    values: tuple[str, ...] | tuple[int, ...]
    excluded: bool = False
    facet: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The integer ``field`` is within the bounds, both inclusive; None: no bound."""

    field: str
    lower: int | None = None
    upper: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetQuery:
    """What to find: the words of ``q``, and every one of ``conditions`` and ``spans``. Conditions
    within ``q`` are not read here.

    ``corrected`` are words that are looked for beside those of ``q``, in their places; with
    ``relaxed`` some words may be missing."""

    q: str = ""
    conditions: tuple[Condition, ...] = ()
    spans: tuple[Span, ...] = ()
    sort: str = "relevance"
    corrected: tuple[str, ...] = ()
    relaxed: bool = False

    @property
    def parsed(self) -> ParsedQuery:
        """``q`` as it is read."""
        return parsed_query(self.q)


@dataclass(frozen=True, slots=True)
class Rank:
    """Where a hit stands: lower ``tier`` first, then higher ``keys``, the last of which is its doc.

    Pages cut by rank neither repeat nor skip anything while other documents come and go.
    """

    tier: int
    keys: tuple[int, ...]

    @property
    def doc(self) -> int:
        """The key of the dataset."""
        return self.keys[-1]


# --- words --------------------------------------------------------------------------------------


def tiers(schema: Schema, query: DatasetQuery) -> Iterator[Query]:
    """Who ranks where, best first. Made one by one: a first page seldom needs the last."""
    parsed = query.parsed
    if not parsed.words or query.sort != "relevance":
        yield matching(schema, query)
        return
    yield from _tiers(schema, parsed)
    if query.corrected:
        parsed = replace(parsed, words=query.corrected)
        yield from _tiers(schema, parsed)
    if query.relaxed:
        yield _most(schema, parsed)


def matching(schema: Schema, query: DatasetQuery) -> Query:
    """Everything that some tier holds."""
    parsed = query.parsed
    if not parsed.words:
        return _everything(schema)
    found = [_begun_in(schema, PROMINENCE[-1], parsed)]
    if query.corrected:
        parsed = replace(parsed, words=query.corrected)
        found.append(_begun_in(schema, PROMINENCE[-1], parsed))
    if query.relaxed:
        found.append(_most(schema, parsed))
    return found[0] if len(found) == 1 else any_of(found)


def _everything(schema: Schema) -> Query:
    return Query.term_query(schema, "marker", "dataset")


def _tiers(schema: Schema, parsed: ParsedQuery) -> Iterator[Query]:
    yield Query.term_query(schema, "exact", exact_form(" ".join(parsed.words)))
    for field in PROMINENCE:
        yield both([Query.term_query(schema, field, word) for word in parsed.needed])
        if parsed.prefix is not None:
            yield _begun_in(schema, field, parsed)


def _begun_in(schema: Schema, field: str, parsed: ParsedQuery) -> Query:
    """All words in ``field``; the last may be begun, if the query allows it."""
    *whole, last = parsed.needed
    needed = [Query.term_query(schema, field, word) for word in whole]
    if parsed.prefix is None:
        return both([*needed, Query.term_query(schema, field, last)])
    return both([*needed, _begun(schema, field, last)])


def _begun(schema: Schema, field: str, word: str) -> Query:
    if len(word) <= SHORT:
        return Query.term_query(schema, field, BEGUN + word)
    return Query.regex_query(schema, field, f"{word}.*")


def _most(schema: Schema, parsed: ParsedQuery) -> Query:
    """All words but one, or but a third."""
    words = dict.fromkeys(parsed.needed)
    wanted = [(Occur.Should, Query.term_query(schema, PROMINENCE[-1], word)) for word in words]
    least = max(1, len(words) - max(1, len(words) // 3))
    return Query.boolean_query(wanted, minimum_number_should_match=least)


# --- filters ------------------------------------------------------------------------------------


def filters(schema: Schema, query: DatasetQuery, without: str | None = None) -> Query:
    """All conditions but those of the facet ``without``."""
    parsed, conditions = (
        query.parsed,
        [c for c in query.conditions if c.excluded or not c.facet or c.facet != without],
    )
    wanted = [_one_of(schema, c) for c in conditions if not c.excluded]
    unwanted = [_one_of(schema, c) for c in conditions if c.excluded]
    wanted += _spans(schema, query.spans)
    wanted += (_run(schema, run) for run in parsed.phrases)
    unwanted += (_run(schema, run) for run in parsed.excluded)
    return both([_everything(schema), *wanted], unwanted)


def _one_of(schema: Schema, condition: Condition) -> Query:
    if not condition.values:
        return Query.empty_query()
    found = [Query.term_query(schema, condition.field, value) for value in condition.values]
    return found[0] if len(found) == 1 else any_of(found)


def _spans(schema: Schema, spans: Sequence[Span]) -> Iterator[Query]:
    for span in spans:
        yield Query.range_query(
            schema, span.field, FieldType.Integer, lower_bound=span.lower, upper_bound=span.upper
        )


def _run(schema: Schema, run: tuple[str, ...]) -> Query:
    if len(run) == 1:
        return Query.term_query(schema, PROMINENCE[-1], run[0])
    return Query.phrase_query(schema, "runs", list(run))


# --- parts --------------------------------------------------------------------------------------


def equal(schema: Schema, field: str, value: int) -> Query:
    """Documents whose integer ``field`` is ``value``."""
    return Query.term_query(schema, field, value)


def less(schema: Schema, field: str, value: int) -> Query:
    """Documents whose integer ``field`` is below ``value``."""
    return Query.range_query(
        schema, field, FieldType.Integer, upper_bound=value, include_upper=False
    )


def any_of(conditions: Sequence[Query]) -> Query:
    """At least one of ``conditions``."""
    return Query.boolean_query([(Occur.Should, condition) for condition in conditions])


def both(conditions: Sequence[Query], without: Sequence[Query] = ()) -> Query:
    """All ``conditions`` and none of ``without``."""
    return Query.boolean_query(
        [
            *((Occur.Must, condition) for condition in conditions),
            *((Occur.MustNot, condition) for condition in without),
        ]
    )

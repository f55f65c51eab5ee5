"""What a dataset query means in the text index: its filters, and what ranks first.

Ranking is by tiers, not by weighing: the whole name first, then all words in the name, then in more
and more of the record; a last word that is only begun counts after a complete one; newest first
inside each tier. A rank depends on the document and the query alone, never on other documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from tantivy import FieldType, Occur, Query, Schema

from search_api.query_language import ParsedQuery, parse_query
from search_api.text_document import NAME_KEYS, PROMINENCE
from search_api.words import exact_form

# What each sort goes by, highest first; `doc` makes every order total.
SORTS = {
    "relevance": ("order", "doc"),
    "newest": ("order", "doc"),
    "updated": ("updated", "doc"),
    "name": (*NAME_KEYS, "doc"),
    "size": ("bytes", "doc"),
}

WORDS = "schema_words"  # the field whose values are asked for word by word

_TIERS = 1 + 2 * len(PROMINENCE)  # of one reading of the words

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

# What begins with a word in a field, the word itself among it; None if that is all there is.
Begun = Callable[[str, str], Query | None]


def tiers(schema: Schema, query: DatasetQuery, begun: Begun) -> Iterator[tuple[int, Query]]:
    """Who ranks where, best first, each under its number. Made one by one: a first page seldom
    needs the last."""
    parsed = query.parsed
    if not parsed.words or query.sort != "relevance":
        yield 0, matching(schema, query, begun)
        return
    yield from _tiers(schema, parsed, begun, 0)
    if query.corrected:
        parsed = replace(parsed, words=query.corrected)
        yield from _tiers(schema, parsed, begun, _TIERS)
    if query.relaxed:
        yield 2 * _TIERS, _most(schema, parsed)


def matching(schema: Schema, query: DatasetQuery, begun: Begun) -> Query:
    """Everything that some tier holds."""
    parsed = query.parsed
    if not parsed.words:
        return everything(schema)
    found = [_all_in(schema, PROMINENCE[-1], parsed, begun)]
    if query.corrected:
        parsed = replace(parsed, words=query.corrected)
        found.append(_all_in(schema, PROMINENCE[-1], parsed, begun))
    if query.relaxed:
        found.append(_most(schema, parsed))
    return found[0] if len(found) == 1 else any_of(found)


def everything(schema: Schema) -> Query:
    """All datasets."""
    return Query.term_query(schema, "marker", "dataset")


def _tiers(
    schema: Schema, parsed: ParsedQuery, begun: Begun, first: int
) -> Iterator[tuple[int, Query]]:
    yield first, Query.term_query(schema, "exact", exact_form(" ".join(parsed.words)))
    for number, field in enumerate(PROMINENCE):
        whole = both([Query.term_query(schema, field, word) for word in parsed.needed])
        yield first + 1 + 2 * number, whole
        if (level := _begun_in(schema, field, parsed, begun)) is not None:
            yield first + 2 + 2 * number, level


def _all_in(schema: Schema, field: str, parsed: ParsedQuery, begun: Begun) -> Query:
    """All words in ``field``; the last may be begun, if the query allows it."""
    found = _begun_in(schema, field, parsed, begun)
    if found is not None:
        return found
    return both([Query.term_query(schema, field, word) for word in parsed.needed])


def _begun_in(schema: Schema, field: str, parsed: ParsedQuery, begun: Begun) -> Query | None:
    """All words in ``field``, the last of them begun; None if nothing more begins with it."""
    *whole, last = parsed.needed
    started = begun(field, last) if parsed.prefix is not None else None
    if started is None:
        return None
    return both([*(Query.term_query(schema, field, word) for word in whole), started])


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
    return both([everything(schema), *wanted], unwanted)


def _one_of(schema: Schema, condition: Condition) -> Query:
    if not condition.values:
        return Query.empty_query()
    found = [_value(schema, condition.field, value) for value in condition.values]
    return found[0] if len(found) == 1 else any_of(found)


def _value(schema: Schema, field: str, value: str | int) -> Query:
    """``value``, or all of its words in a field of words."""
    if field == WORDS and isinstance(value, str):
        return both([Query.term_query(schema, field, word) for word in value.split()])
    return Query.term_query(schema, field, value)


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

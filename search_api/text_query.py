"""A dataset query as the text index is asked it: its words, its conditions, its order.

Rule: what is the same question is an equal query, since answers are remembered by it; a rank
depends on the document and the query alone, never on other documents. What ranks where is in
``tiers``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tantivy import FieldType, Occur, Query, Schema

from search_api.query_language import ParsedQuery, parse_query
from search_api.text_document import NAME_KEYS, PROMINENCE

# What each sort goes by, highest first; `doc` makes every order total.
SORTS = {
    "relevance": ("order", "doc"),
    "newest": ("order", "doc"),
    "updated": ("updated", "doc"),
    "name": (*NAME_KEYS, "doc"),
    "size": ("bytes", "doc"),
}

WORDS = "schema_words"  # the field whose values are asked for word by word

parsed_query = lru_cache(maxsize=1_000)(parse_query)


@dataclass(frozen=True, slots=True)
class Condition:
    """One of ``values`` (none: nobody has it) in ``field``, or with ``excluded`` none of them.
    ``facet`` is the facet that it chooses values of. ``is_near``: one value that somebody typed,
    and may mean another by."""

    field: str
    values: tuple[str, ...] | tuple[int, ...]
    excluded: bool = False
    facet: str | None = None
    is_near: bool = False


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

    With ``forms`` other forms of the words count, too, and of the words in ``rooted`` (which nobody
    had when it was first asked) those of the noun that each is made of. ``corrected`` are words
    that are looked for beside those of ``q``, ``instead`` those that are said in their place where
    only forms of them found anything. ``relaxed`` is how many of the words a hit has at
    least; 0: all. ``read_as`` are the values that those of the near conditions were replaced by, if
    any was."""

    q: str = ""
    conditions: tuple[Condition, ...] = ()
    spans: tuple[Span, ...] = ()
    sort: str = "relevance"
    forms: bool = False
    rooted: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    relaxed: int = 0
    read_as: tuple[str, ...] = ()

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


def everything(schema: Schema) -> Query:
    """All datasets."""
    return Query.term_query(schema, "marker", "dataset")


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

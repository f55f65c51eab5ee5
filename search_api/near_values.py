"""Values in the query box that no dataset has (``tag:imgaes``), read as the nearest that one has.

Rule: a value that some dataset has means itself. The others are replaced by what stands in datasets
that all other conditions let through, so that it always finds something; or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tantivy import Query

from search_api.spelling import EXAMPLES, distance
from search_api.stored_view import StoredView
from search_api.text_query import Condition, DatasetQuery, both, filters
from search_api.text_reader import Reader
from search_api.word_forms import forms
from search_api.words import query_words

MAX_VALUE = 64  # characters of a value that is put right
_NAMES = {"tag": "tag", "field": "field"}  # of the index's fields: how the query box names them


def nearest_values(reader: Reader, query: DatasetQuery) -> DatasetQuery:
    """``query`` with its values put right; itself where nothing is to be put right, or nothing
    would be found."""
    near = [c for c in query.conditions if c.is_near]
    unknown = [c for c in near if not _known(reader, c) and 0 < len(_value(c)) <= MAX_VALUE]
    for most in (1, 2) if unknown else ():
        if found := _together(reader, query, unknown, most):
            return read_as(query, [found.get(c, _value(c)) for c in near])
    return query


def read_as(query: DatasetQuery, values: Sequence[str]) -> DatasetQuery:
    """``query`` with ``values`` in the places of those that may be put right, one for each."""
    left = iter(values)
    conditions = tuple(
        replace(c, values=(next(left),)) if c.is_near else c for c in query.conditions
    )
    return replace(query, conditions=conditions, read_as=tuple(values))


def near_places(query: DatasetQuery) -> int:
    """How many values may be put right."""
    return sum(c.is_near for c in query.conditions)


def said(query: DatasetQuery) -> str:
    """What is looked for beside what was asked, as it would be typed."""
    words = query.corrected or query.instead
    if not (query.read_as or words):
        return ""
    near = (c for c in query.conditions if c.is_near)
    values = [f"{_NAMES[c.field]}:{_quoted(_value(c))}" for c in near] if query.read_as else []
    return " ".join([*values, *(words or query.parsed.words)])


# --- parts --------------------------------------------------------------------------------------


def _value(condition: Condition) -> str:
    return str(condition.values[0])


def _known(reader: Reader, condition: Condition) -> bool:
    return reader.frequency(condition.field, _value(condition)) > 0


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value


def _together(
    reader: Reader, query: DatasetQuery, unknown: Sequence[Condition], most: int
) -> dict[Condition, str]:
    """For each of ``unknown`` the best value, all of which one dataset has; empty if none does."""
    rest = tuple(c for c in query.conditions if c not in unknown)
    near = [_near(reader, condition, most) for condition in unknown]
    inside = both([filters(reader.schema, replace(query, conditions=rest)), *near])
    for stored in reader.examples(inside, EXAMPLES):
        found = {c: _best(_value(c), _values(stored, c.field), most) for c in unknown}
        chosen = {condition: best for condition, best in found.items() if best is not None}
        if len(chosen) == len(unknown):
            return chosen
    return {}


def _near(reader: Reader, condition: Condition, most: int) -> Query:
    value, schema = _value(condition), reader.schema
    near = Query.fuzzy_term_query(schema, condition.field, value, _allowed(value, most), True)
    spelt = (Query.term_query(schema, condition.field, other) for other in _spellings(value))
    return Query.disjunction_max_query([near, *spelt])


def _allowed(value: str, most: int) -> int:
    """How many letters may be wrong at ``most``: of two letters none, of more than five two."""
    return min(most, 0 if len(value) < 3 else 1 if len(value) < 6 else 2)


def _spellings(value: str) -> tuple[str, ...]:
    """``test_split``: test-split, test split, testsplit; of the last word all forms."""
    words = query_words(value)
    if not words:
        return ()
    *first, last = words
    joined = (
        sign.join((*first, form)) for form in (last, *forms(last)) for sign in ("-", "_", " ", "")
    )
    return tuple(dict.fromkeys(joined))


def _best(value: str, candidates: Iterable[str], most: int) -> str | None:
    """The same in another spelling, or else the closest, then the first by text."""
    spellings, allowed = _spellings(value), _allowed(value, most)
    close = [
        (0 if other in spellings else far, other)
        for other in candidates
        if (far := distance(value, other, allowed)) <= allowed or other in spellings
    ]
    usable = [found for found in close if found[1].isprintable() and '"' not in found[1]]
    return min(usable)[1] if usable else None


def _values(stored: StoredView, field: str) -> tuple[str, ...]:
    if field == "tag":
        return stored.tags
    return tuple(name.strip().lower() for name in stored.fields)

"""Datasets that are like another one, and why: they share its schema or fields of it, tags, words.

Rule: what counts is what two datasets share, measured by how much both have; every point that a
dataset is given is said in its reasons. Who is compared is what the text index finds by the rarest
of one's tags, fields and words, so that it takes no statement, however many datasets there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tantivy import Query

from atdata.protocol.discovery_views import Reason, SimilarDataset, SimilarDatasets
from atdata.protocol.errors import NotFound, quote
from atdata.protocol.keys import key_of
from atdata.protocol.syntax import AtUri
from search_api import queries
from search_api.database import Session
from search_api.stored_view import StoredView
from search_api.text_document import PROMINENCE
from search_api.text_query import any_of, equal
from search_api.text_reader import Reader
from search_api.words import index_words

CANDIDATES = 60  # datasets of each sort that are looked at
COMPARED = 40  # that are compared in full, words and all
BY_WORDS = 15  # of these, that need share nothing else
MAX_TERMS = 16  # tags, fields or words by which datasets are looked for: the rarest
MAX_TEXT = 2_000  # characters of a description
MAX_SHOWN = 10  # values of one reason
SAME_SCHEMA, SHARED_TAGS, SHARED_FIELDS, SHARED_WORDS = 3.0, 3.0, 2.0, 1.0
# Words that say nothing about what a dataset is.
COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "as",
        "at",
        "by",
        "data",
        "dataset",
        "datasets",
        "for",
        "from",
        "in",
        "of",
        "on",
        "the",
        "to",
        "with",
    ]
)


@dataclass(frozen=True, slots=True)
class Features:
    """What is compared: the schema's key, folded tags, names of fields, words."""

    schema: int
    tags: frozenset[str]
    fields: frozenset[str]
    words: frozenset[str]


def compare(one: Features, other: Features) -> tuple[float, tuple[Reason, ...]]:
    """How much two datasets are alike, and why, the strongest reason first."""
    parts: list[tuple[float, Reason]] = []
    if one.schema == other.schema:
        parts.append((SAME_SCHEMA, Reason("schema")))
    else:
        parts.append(_part(SHARED_FIELDS, "fields", one.fields, other.fields))
    parts.append(_part(SHARED_TAGS, "tags", one.tags, other.tags))
    parts.append(_part(SHARED_WORDS, "words", one.words, other.words))
    parts = sorted((part for part in parts if part[0] > 0), key=lambda part: -part[0])
    return sum(points for points, _ in parts), tuple(reason for _, reason in parts)


def _part(
    weight: float, kind: str, one: frozenset[str], other: frozenset[str]
) -> tuple[float, Reason]:
    shared = one & other
    points = weight * len(shared) / len(one | other) if shared else 0.0
    return points, Reason(kind, tuple(sorted(shared)[:MAX_SHOWN]))


def explain(reasons: Iterable[Reason]) -> str:
    """``shares tags a, b; schema field image``."""
    names = {"tags": "tag", "fields": "schema field", "words": "word"}
    parts = []
    for reason in reasons:
        if reason.kind == "schema":
            parts.append("the same schema")
        else:
            plural = "s" if len(reason.values) > 1 else ""
            parts.append(f"{names[reason.kind]}{plural} {', '.join(reason.values)}")
    return "shares " + "; ".join(parts)


def similar(session: Session, reader: Reader, uri: AtUri, limit: int) -> SimilarDatasets:
    """The datasets most like ``uri``, as far as ``reader`` knows it. Raises ``NotFound``."""
    doc = queries.key_of_uri(session, uri)
    if doc is None or not queries.datasets(session, [doc]):
        raise NotFound(f"the index has no dataset {quote(str(uri), 300)}")
    one = reader.example("doc", doc)
    compared = {} if one is None else _compared(reader, doc, one)
    best = sorted(compared, key=lambda other: (-compared[other][0], other))[:limit]
    views = queries.datasets(session, best)
    found = ((view, compared[key_of(view.uri)][1]) for view in views)
    return SimilarDatasets(
        tuple(SimilarDataset(view, reasons, explain(reasons)) for view, reasons in found)
    )


def _compared(
    reader: Reader, doc: int, one: StoredView
) -> dict[int, tuple[float, tuple[Reason, ...]]]:
    """Those that share something with ``one``, whose key is ``doc``, by their keys."""
    own = features(one)
    near, by_words = _candidates(reader, one.schema, own)
    plain = _without_words(one)
    roughly = {key: compare(plain, _without_words(other))[0] for key, other in near.items()}
    first = sorted(near, key=lambda key: -roughly[key])[: COMPARED - BY_WORDS]
    chosen = {key: near[key] for key in first} | dict(list(by_words.items())[:BY_WORDS])
    chosen.pop(doc, None)
    found = {key: compare(own, features(other)) for key, other in chosen.items()}
    return {key: result for key, result in found.items() if result[0] > 0}


def _candidates(
    reader: Reader, schema: int, own: Features
) -> tuple[dict[int, StoredView], dict[int, StoredView]]:
    """By tags, schema and fields; and by words, most likely first."""
    near = reader.examples(equal(reader.schema, "schema", schema), CANDIDATES)
    near += _sharing(reader, "tag", own.tags)
    near += _sharing(reader, "field", {name.strip().lower() for name in own.fields})
    return _keyed(near), _keyed(_sharing(reader, PROMINENCE[-1], own.words))


def _sharing(reader: Reader, field: str, values: Iterable[str]) -> list[StoredView]:
    """Datasets that have any of ``values``, those that share more and rarer ones first."""
    rarest = sorted(values, key=lambda value: (reader.frequency(field, value), value))[:MAX_TERMS]
    terms = [Query.term_query(reader.schema, field, value) for value in rarest]
    return reader.best(any_of(terms), CANDIDATES) if terms else []


def _keyed(found: Sequence[StoredView]) -> dict[int, StoredView]:
    return {key_of(stored.view.uri): stored for stored in found}


def features(stored: StoredView) -> Features:
    """Of a dataset as the text index holds it."""
    view = stored.view
    words = _words(view.name, (view.description or "")[:MAX_TEXT])
    return replace(_without_words(stored), words=words)


def _without_words(stored: StoredView) -> Features:
    return Features(
        stored.schema, frozenset(stored.tags), frozenset(stored.fields), frozenset[str]()
    )


def _words(*texts: str) -> frozenset[str]:
    found = (word for text in texts for word in index_words(text))
    return frozenset(word for word in found if len(word) > 2 and word not in COMMON)

"""Datasets that are like another one, and why: they share its schema or fields of it, tags, words.

Rule: what counts is what two datasets share, measured by how much both have; every point that a
dataset is given is said in its reasons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from atdata.protocol.discovery_views import Reason, SimilarDataset, SimilarDatasets
from atdata.protocol.errors import NotFound, quote
from atdata.protocol.syntax import AtUri
from search_api import queries
from search_api.database import Session, marks
from search_api.words import index_words

CANDIDATES = 300  # datasets of each sort that are compared in full
MAX_SHOWN = 10  # values of one reason
MAX_SCHEMAS = 200  # schemas with shared fields whose datasets are compared
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
    """What is compared: the schema's key, folded tags, fields as ``name:kind``, words."""

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
    values = sorted({value.rpartition(":")[0] for value in shared} if kind == "fields" else shared)
    return points, Reason(kind, tuple(values[:MAX_SHOWN]))


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


def similar(session: Session, uri: AtUri, by_words: Sequence[int], limit: int) -> SimilarDatasets:
    """The datasets most like ``uri``. ``by_words`` are keys of datasets that share words with it.
    Raises ``NotFound``."""
    doc = queries.key_of_uri(session, uri)
    if doc is None or not queries.datasets(session, [doc]):
        raise NotFound(f"the index has no dataset {quote(str(uri), 300)}")
    own = features(session, [doc])[doc]
    candidates = _candidates(session, doc, own) | set(by_words[:CANDIDATES])
    compared = {
        other: compare(own, theirs)
        for other, theirs in features(session, sorted(candidates - {doc})).items()
    }
    best = sorted(
        (other for other, (points, _) in compared.items() if points > 0),
        key=lambda other: (-compared[other][0], other),
    )[:limit]
    return SimilarDatasets(
        tuple(
            SimilarDataset(view, compared[key][1], explain(compared[key][1]))
            for key, view in zip(best, queries.datasets(session, best), strict=True)
        )
    )


def words_of(session: Session, uri: AtUri, limit: int) -> tuple[str, ...]:
    """The longest words of a dataset's name: what to look for in others."""
    doc = queries.key_of_uri(session, uri)
    views = queries.datasets(session, [] if doc is None else [doc])
    found = {word for view in views for word in _words(view.name)}
    return tuple(sorted(found, key=lambda word: (-len(word), word))[:limit])


def _words(*texts: str | None) -> frozenset[str]:
    found = (word for text in texts if text for word in index_words(text))
    return frozenset(word for word in found if len(word) > 2 and word not in COMMON)


_BY_TAG = """
SELECT t.doc FROM dataset_tags t JOIN records r ON r.doc = t.doc
JOIN repos p ON p.repo = r.repo AND p.active
WHERE lower(trim(t.tag)) = ANY($1) AND t.doc <> $2
GROUP BY t.doc ORDER BY count(DISTINCT lower(trim(t.tag))) DESC, max(r.sort_at) DESC, t.doc LIMIT $3
"""
_BY_FIELD = """
SELECT doc FROM schema_fields WHERE name || ':' || kind = ANY($1)
GROUP BY doc ORDER BY count(*) DESC, doc LIMIT $2
"""
_BY_SCHEMA = """
SELECT d.doc FROM datasets d JOIN records r ON r.doc = d.doc
JOIN repos p ON p.repo = r.repo AND p.active
WHERE d.schema_doc = ANY($1) AND d.doc <> $2
ORDER BY d.schema_doc = $3 DESC, r.sort_at DESC, d.doc LIMIT $4
"""


def _candidates(session: Session, doc: int, own: Features) -> set[int]:
    schemas = [row[0] for row in session.rows(_BY_FIELD, [sorted(own.fields), MAX_SCHEMAS])]
    found = session.rows(_BY_SCHEMA, [[own.schema, *schemas], doc, own.schema, CANDIDATES])
    found += session.rows(_BY_TAG, [sorted(own.tags), doc, CANDIDATES])
    return {int(row[0]) for row in found}


def features(session: Session, docs: Sequence[int]) -> dict[int, Features]:
    """Of those of ``docs`` that are visible datasets."""
    if not docs:
        return {}
    rows = session.rows(
        "SELECT d.doc, d.schema_doc, d.name, d.description FROM datasets d "  # noqa: S608
        "JOIN records r ON r.doc = d.doc JOIN repos p ON p.repo = r.repo AND p.active "
        f"WHERE d.doc IN ({marks(docs)}) AND r.doc IN ({marks(docs)})",
        [*docs, *docs],
    )
    tags: defaultdict[int, set[str]] = defaultdict(set)
    for doc, tag in session.rows(
        "SELECT doc, lower(trim(tag)) FROM dataset_tags WHERE doc = ANY($1) AND trim(tag) <> ''",
        [list(docs)],
    ):
        tags[doc].add(tag)
    fields: defaultdict[int, set[str]] = defaultdict(set)
    for doc, name, kind in session.rows(
        "SELECT f.doc, f.name, f.kind FROM schema_fields f JOIN records r ON r.doc = f.doc "
        "JOIN repos p ON p.repo = r.repo AND p.active WHERE f.doc = ANY($1)",
        [sorted({row[1] for row in rows})],
    ):
        fields[doc].add(f"{name}:{kind}")
    return {
        doc: Features(
            schema, frozenset(tags[doc]), frozenset(fields[schema]), _words(name, description)
        )
        for doc, schema, name, description in rows
    }

"""What a dataset query means in the text index: its fields, its filters, and what ranks first.

Ranking is by tiers, not by weighing: the whole name first, then all words in the name, then in more
and more of the record; a last word that is only begun counts after a complete one; newest first
inside each tier. A rank depends on the document and the query alone, never on other documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tantivy
from tantivy import FieldType, Occur, Query, Schema

from search_api.corpus import DatasetText
from search_api.words import exact_form, index_words, query_words

VERSION = "2"  # of everything in this module and in `words`; another version's index is rebuilt

# Each field holds the words of the one before and more, so that "all words are in it" says how
# prominent the place is where they were found.
PROMINENCE = ("name", "head", "body", "all")


@dataclass(frozen=True, slots=True)
class DatasetQuery:
    """What to find; every given condition must hold. ``tags`` and ``license`` in folded form (see
    ``corpus.fold``), ``schema`` and ``repo`` as keys."""

    q: str = ""
    tags: tuple[str, ...] = ()
    license: str | None = None
    schema: int | None = None
    repo: int | None = None
    storage: str | None = None


@dataclass(frozen=True, slots=True)
class Rank:
    """Where a hit stands: lower ``tier`` first, then higher ``order`` (newer), then higher ``doc``.

    Pages cut by rank neither repeat nor skip anything while other documents come and go.
    """

    tier: int
    order: int
    doc: int


def build_schema() -> Schema:
    """The fields. Fast ones are counted or sorted by, the other raw fields are filters.

    Integers are signed: deletion by the term of an unsigned one silently deletes nothing.
    """
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("marker", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("version", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("seq", stored=True)
    builder.add_integer_field("last", stored=True)
    builder.add_integer_field("doc", indexed=True, fast=True)
    builder.add_integer_field("order", indexed=True, fast=True)
    builder.add_integer_field("repo", indexed=True, fast=True)
    builder.add_integer_field("schema", indexed=True, fast=True)
    for name in ("exact", "license"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("tag_label", "license_label", "storage"):
        builder.add_text_field(name, fast=True, tokenizer_name="raw", index_option="basic")
    for name in PROMINENCE:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    return builder.build()


def document(text: DatasetText) -> tantivy.Document:
    """A dataset as the index sees it."""
    made = tantivy.Document()
    made.add_text("marker", "dataset")
    for name, number in (
        ("doc", text.doc),
        ("repo", text.repo),
        ("schema", text.schema),
        ("order", text.order),
    ):
        made.add_integer(name, number)
    made.add_text("exact", exact_form(text.name))
    made.add_text("storage", text.storage)
    for tag in dict.fromkeys(text.tags):
        made.add_text("tag_label", tag)
    for form in dict.fromkeys(text.licenses):
        made.add_text("license", form)
    if text.license_label:
        made.add_text("license_label", text.license_label)
    places = (
        [text.name],
        list(text.tags),
        [text.schema_name or "", text.handle or "", *text.fields],
        [text.description or "", text.license_label or ""],
    )
    words: list[str] = []
    for name, place in zip(PROMINENCE, places, strict=True):
        words += index_words(" ".join(place))
        made.add_text(name, " ".join(dict.fromkeys(words)))
    return made


def marker(seq: int, doc: int) -> tantivy.Document:
    """The document that says which change is the last one in the index."""
    made = tantivy.Document()
    made.add_text("marker", "held")
    made.add_text("version", VERSION)
    made.add_integer("seq", seq)
    made.add_integer("last", doc)
    return made


def tiers(schema: Schema, q: str) -> list[Query]:
    """Who ranks where, best first. The last tier holds everything that is a hit at all."""
    words = query_words(q)
    if not words:
        return [Query.term_query(schema, "marker", "dataset")]
    *whole, last = words
    found = [Query.term_query(schema, "exact", exact_form(q))]
    for field in PROMINENCE:
        needed = [Query.term_query(schema, field, word) for word in whole]
        found.append(both([*needed, Query.term_query(schema, field, last)]))
        found.append(both([*needed, Query.regex_query(schema, field, f"{last}.*")]))
    return found


def filters(schema: Schema, query: DatasetQuery) -> list[Query]:
    """One condition for each filter that is set."""
    return list(_filters(schema, query))


def _filters(schema: Schema, query: DatasetQuery) -> Iterator[Query]:
    for tag in query.tags:
        yield Query.term_query(schema, "tag_label", tag)
    if query.license is not None:
        yield Query.term_query(schema, "license", query.license)
    if query.storage is not None:
        yield Query.term_query(schema, "storage", query.storage)
    if query.schema is not None:
        yield equal(schema, "schema", query.schema)
    if query.repo is not None:
        yield equal(schema, "repo", query.repo)


def below(schema: Schema, rank: Rank) -> Query:
    """Everything that stands below ``rank`` in its tier."""
    tied = [equal(schema, "order", rank.order), _less(schema, "doc", rank.doc)]
    older = _less(schema, "order", rank.order)
    return Query.boolean_query([(Occur.Should, older), (Occur.Should, both(tied))])


def equal(schema: Schema, field: str, value: int) -> Query:
    """Documents whose integer ``field`` is ``value``."""
    return Query.term_query(schema, field, value)


def _less(schema: Schema, field: str, value: int) -> Query:
    return Query.range_query(
        schema, field, FieldType.Integer, upper_bound=value, include_upper=False
    )


def both(conditions: Sequence[Query], without: Sequence[Query] = ()) -> Query:
    """All ``conditions`` and none of ``without``."""
    return Query.boolean_query(
        [
            *((Occur.Must, condition) for condition in conditions),
            *((Occur.MustNot, condition) for condition in without),
        ]
    )

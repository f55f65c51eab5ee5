"""A dataset as a document of the text index: which words, keys and numbers stand for it.

Rule: everything here is a function of the dataset's text alone, and ``VERSION`` changes with it:
an index of another version is built anew.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import tantivy
from tantivy import Schema

from atdata.protocol.keys import key_of
from search_api.corpus import DatasetText
from search_api.license_names import spoken
from search_api.stored_view import LAYOUT, StoredView, pack
from search_api.words import exact_form, index_words, normal, query_words, whole_form

# Of everything in this module, in `words`, in `license_names` and in `stored_view`.
VERSION = "8-" + hashlib.sha256(LAYOUT.encode()).hexdigest()[:8]

# Each field holds the words of the one before and more, so that "all words are in it" says how
# prominent the place is where they were found.
PROMINENCE = ("name", "head", "body", "all")
SHORT = 3  # letters of a begun word that are a term of their own: too many words begin with them
KEY = "_key"  # of a value: numbers are counted faster than texts
BEGUN = "^"  # before such a term; no word holds it
NAME_KEYS = ("name1", "name2", "name3")
_NAME_BYTES = 7  # of a name in one key
_INTEGERS = ("doc", "order", "repo", "schema", "updated", "bytes", "samples", *NAME_KEYS)
_COUNTED = ("tag", "license_label", "storage")  # as texts, and as the keys of these texts
_FILTERS = (
    "whole",
    "exact",
    "license",
    "namespace",
    "field",
    "kind",
    "format",
    "schema_key",
    "repo_key",
    "author",
)


def build_schema() -> Schema:
    """The fields. Fast ones are counted or sorted by, the other raw fields are filters.

    Integers are signed: deletion by the term of an unsigned one silently deletes nothing.
    """
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("marker", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("version", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("seq", stored=True)
    builder.add_integer_field("last", stored=True)
    builder.add_bytes_field("view", stored=True)
    for name in _INTEGERS:
        builder.add_integer_field(name, indexed=True, fast=True)
    for name in _FILTERS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in _COUNTED:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
        builder.add_integer_field(name + KEY, indexed=True, fast=True)
    for name in (*PROMINENCE, "schema_words"):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    builder.add_text_field("runs", tokenizer_name="whitespace", index_option="position")
    return builder.build()


def document(text: DatasetText) -> tantivy.Document:
    """A dataset as the index sees it."""
    made = tantivy.Document()
    made.add_text("marker", "dataset")
    stored = StoredView(text.view, text.schema, text.fields, text.tags, text.license_label)
    made.add_bytes("view", pack(stored))
    _add_keys(made, text)
    for name, values in (
        ("whole", (whole_form(text.name),)),
        ("exact", (exact_form(text.name),)),
        ("namespace", (text.namespace,)),
        ("schema_key", (str(text.schema),)),
        ("repo_key", (str(text.repo),)),
        ("author", _author_names(text)),
        ("license", text.licenses),
        ("field", tuple(field.strip().lower() for field in text.fields)),
        ("kind", text.kinds),
        ("format", text.formats),
    ):
        for value in dict.fromkeys(values):
            if value:
                made.add_text(name, value)
    for name, values in (
        ("tag", text.tags),
        ("license_label", (text.license_label or "",)),
        ("storage", (text.storage,)),
    ):
        for value in filter(None, dict.fromkeys(values)):
            made.add_text(name, value)
            made.add_integer(name + KEY, key_of(value))
    _add_words(made, text)
    return made


def _author_names(text: DatasetText) -> tuple[str, ...]:
    """What an author may be asked for by: the DID, the handle, the handle's first label."""
    handle = text.handle or ""
    return text.view.did, handle, handle.partition(".")[0]


def name_keys(name: str) -> tuple[int, ...]:
    """Integers that are the smaller, the later a name stands in the alphabet (its first 21 bytes
    without case and accents)."""
    data = " ".join(normal(name).split()).encode("utf-8", "replace")
    data = data[: _NAME_BYTES * len(NAME_KEYS)].ljust(_NAME_BYTES * len(NAME_KEYS), b"\0")
    return tuple(
        -int.from_bytes(data[at : at + _NAME_BYTES], "big")
        for at in range(0, len(data), _NAME_BYTES)
    )


def _add_keys(made: tantivy.Document, text: DatasetText) -> None:
    for name, number in (
        ("doc", text.doc),
        ("repo", text.repo),
        ("schema", text.schema),
        ("order", text.order),
        ("updated", text.updated),
        ("bytes", -1 if text.view.size.bytes is None else text.view.size.bytes),
        ("samples", -1 if text.view.size.samples is None else text.view.size.samples),
        *zip(NAME_KEYS, name_keys(text.name), strict=True),
    ):
        made.add_integer(name, number)


def _add_words(made: tantivy.Document, text: DatasetText) -> None:
    schema, handle = text.schema_name or "", text.handle or ""
    license_ = text.view.license_spdx or text.view.license or ""
    places = (
        [text.name],
        list(text.tags),
        [schema, handle, *text.fields],
        [text.description or "", license_, spoken(license_)],
    )
    distinct: dict[str, None] = {}
    begun: dict[str, None] = {}
    for name, place in zip(PROMINENCE, places, strict=True):
        more = dict.fromkeys(word for part in place for word in index_words(part))
        begun |= dict.fromkeys(start for word in more for start in _beginnings(word))
        distinct |= more
        made.add_text(name, " ".join([*distinct, *begun]))
        for part in place:  # each its own value: no phrase leads from one into the next
            made.add_text("runs", " ".join(query_words(part, len(part) + 1)))
    made.add_text("schema_words", " ".join(index_words(schema)))


@lru_cache(maxsize=50_000)
def _beginnings(word: str) -> tuple[str, ...]:
    return tuple(BEGUN + word[:size] for size in range(1, min(SHORT, len(word)) + 1))


def marker(seq: int, doc: int) -> tantivy.Document:
    """The document that says which change is the last one in the index."""
    made = tantivy.Document()
    made.add_text("marker", "held")
    made.add_text("version", VERSION)
    made.add_integer("seq", seq)
    made.add_integer("last", doc)
    return made

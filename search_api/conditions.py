"""From a question to a query of the text index: names become keys, spellings become one spelling.

Rule: whatever is asked for in the query box under a field's name means the same as the parameter
of that name; a value that nothing can have finds nothing, and is no error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from atdata.protocol.body import refers
from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.keys import key_of
from atdata.protocol.licenses import spdx_of
from atdata.protocol.syntax import AtUri, Did, Handle
from search_api import corpus, queries
from search_api.database import Database
from search_api.license_names import licenses_called
from search_api.text_query import Condition, DatasetQuery, Span, parsed_query
from search_api.words import query_words

Bounds = tuple[int | None, int | None]
_ANY: Bounds = (None, None)
NEAR = frozenset({"tag", "field"})  # whose values in the query box may be put right
_BARE_DID = re.compile(r"[a-z]+:")
_spdx_of = lru_cache(maxsize=1_000)(spdx_of)


@dataclass(frozen=True, slots=True)
class Question:
    """What datasets to find; every given condition must hold. Of ``tags`` and ``fields`` all are
    wanted, of the other tuples any one. ``schema``: URIs as datasets refer to schemas. Bounds of
    ``samples`` and ``bytes`` are inclusive, ``created`` is from (inclusive) and to (exclusive) in
    milliseconds since 1970.
    ``narrow_tags``: the facet of tags counts hits that carry all of ``tags``, so that each count is
    what adding that tag would leave; otherwise they do not count for it."""

    q: str = ""
    tags: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    schema: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    author: tuple[Did | Handle, ...] = ()
    storage: tuple[str, ...] = ()
    namespace: tuple[str, ...] = ()
    samples: Bounds = _ANY
    bytes: Bounds = _ANY
    created: Bounds = _ANY
    sort: str = "relevance"
    fuzzy: bool = True
    narrow_tags: bool = False


class Conditions:
    """Makes queries of questions. Asks the database only for handles and for letters beyond ASCII,
    whose case it folds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def query(self, question: Question) -> DatasetQuery:
        """The question in keys."""
        return DatasetQuery(
            q=question.q,
            conditions=tuple(self._conditions(question)),
            spans=tuple(_spans(question)),
            sort=question.sort,
        )

    def _conditions(self, asked: Question) -> Iterator[Condition]:
        yield from self._of_parameters(asked)
        for condition in self._of_text(asked.q):
            wanted_tag = condition.facet == "tags" and not condition.excluded
            yield replace(condition, facet=None) if wanted_tag and asked.narrow_tags else condition

    def _of_parameters(self, asked: Question) -> Iterator[Condition]:
        for tag in asked.tags:
            made = self._tags([tag])
            yield replace(made, facet=None) if asked.narrow_tags else made
        if asked.tags_any:
            yield self._tags(asked.tags_any)
        if asked.license:
            yield self._licenses(asked.license)
        if asked.schema:
            yield Condition("schema", self._keys(asked.schema), facet="schemas")
        for name in asked.fields:
            yield Condition("field", (name.strip().lower(),))
        if asked.author:
            yield Condition("repo", self._repos(asked.author), facet="authors")
        if asked.storage:
            yield Condition("storage", asked.storage, facet="storage")
        if asked.namespace:
            yield Condition("namespace", asked.namespace)

    def _of_text(self, q: str) -> Iterator[Condition]:
        """Those in the query box. Like the parameters, several tags and fields are all wanted, of
        several values of another name any one is."""
        conditions = parsed_query(q).conditions
        for excluded in (False, True):
            chosen = [c for c in conditions if c.excluded is excluded]
            for name in dict.fromkeys(c.name for c in chosen):
                values = [c for c in chosen if c.name == name]
                apart = name in {"tag", "field", "type"} or excluded
                for group in [[c] for c in values] if apart else [values]:
                    yield from self._of_field(name, [c.value for c in group], excluded)

    def _of_field(self, name: str, values: Sequence[str], excluded: bool) -> Iterator[Condition]:
        match name:
            case "tag":
                made = self._tags(values)
            case "license":
                called = (spdx for value in values for spdx in licenses_called(value))
                made = self._licenses([*values, *called])
            case "schema":
                made = self._schemas(values)
            case "author" | "did":
                names = tuple(_author_name(name, value) for value in values)
                made = Condition("author", names, facet="authors")
            case _:
                field = {"field": "field", "type": "kind", "format": "format"}[name]
                made = Condition(field, tuple(value.lower() for value in values))
        is_near = made.field in NEAR and not excluded
        yield Condition(made.field, made.values, excluded, made.facet, is_near)

    # --- values -----------------------------------------------------------------------------

    def _tags(self, tags: Iterable[str]) -> Condition:
        return Condition("tag", tuple(map(self._fold, tags)), facet="tags")

    def _licenses(self, licenses: Sequence[str]) -> Condition:
        forms = [(_spdx_of(text) or text).lower() for text in licenses]
        forms += map(self._fold, licenses)
        return Condition("license", tuple(dict.fromkeys(forms)), facet="licenses")

    def _schemas(self, values: Sequence[str]) -> Condition:
        """By URI, or else by the words of a name, all of one value's."""
        if all(map(refers, values)):
            return Condition("schema", self._keys(values), facet="schemas")
        names = (" ".join(query_words(value)) for value in values)
        return Condition("schema_words", tuple(filter(None, names)), facet="schemas")

    def _keys(self, uris: Iterable[str]) -> tuple[int, ...]:
        """Of each as datasets may have it, and of where its handle leads."""
        keys = (key for uri in uris for key in (key_of(uri), self._key_by_did(uri)))
        return tuple(dict.fromkeys(key for key in keys if key is not None))

    def _key_by_did(self, uri: str) -> int | None:
        try:
            parsed = AtUri.parse(uri)
        except InvalidSyntax:
            return None
        with self._database.session() as session:
            return queries.key_of_uri(session, parsed)

    def _repos(self, accounts: Iterable[Did | Handle]) -> tuple[int, ...]:
        found: list[int] = []
        for account in accounts:
            if isinstance(account, Did):
                found.append(key_of(str(account)))
                continue
            with self._database.session() as session:
                repo = queries.repo_of(session, account)
            found += [] if repo is None else [repo]
        return tuple(found)

    def _fold(self, text: str) -> str:
        if text.isascii():
            return text.strip(" ").lower()
        with self._database.session() as session:
            return corpus.fold(session, text)


def _author_name(name: str, value: str) -> str:
    """A DID as it is written, but for its ``did:``; a handle, or the first label of one."""
    if value.startswith("did:"):
        return value
    if name == "did" and _BARE_DID.match(value):
        return f"did:{value}"
    return value.removeprefix("@").lower()


def _spans(asked: Question) -> Iterator[Span]:
    for field, (lower, upper) in (("samples", asked.samples), ("bytes", asked.bytes)):
        if lower is not None or upper is not None:
            yield Span(field, lower or 0, upper)  # −1 stands for "not known"
    start, end = asked.created
    if start is not None or end is not None:
        yield Span(
            "order",
            None if start is None else corpus.milliseconds_order(start),
            None if end is None else corpus.milliseconds_order(end) - 1,
        )

"""What ranks where: hits in tiers by where the words stand, and the union of all of them.

Ranking is by tiers, not by weighing: the whole name first, with its signs and then without, then
all words in the name, then in more and more of the record; newest first inside each tier. A word
that is only begun counts after a complete one, and another form of it after that; a hit that lacks
a word comes after all that have them. Who writes an author's handle means that author's datasets
before all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from tantivy import Occur, Query, Schema

from search_api.query_language import ParsedQuery
from search_api.text_document import PROMINENCE
from search_api.text_query import DatasetQuery, any_of, both, everything
from search_api.word_forms import roots
from search_api.words import exact_form, whole_form

_SLOTS = 6  # in each place: one before, in one piece, in any order, begun, other forms, one behind
_TIERS = 1 + _SLOTS * len(PROMINENCE)  # of one reading of the words
_ALL = PROMINENCE[-1]
Tier = tuple[int, Query]


class Dictionary(Protocol):
    """What a state of the index knows of words."""

    def begun(self, field: str, word: str) -> Query | None:
        """What begins with ``word`` in ``field``, itself among it; None if that is all there is."""

    def others(self, word: str) -> tuple[str, ...]:
        """The other forms of ``word`` that some dataset has."""

    def knows(self, word: str) -> bool:
        """Whether some dataset has ``word``."""


def tiers(schema: Schema, query: DatasetQuery, known: Dictionary) -> Iterator[Tier]:
    """Who ranks where, best first, each under its number. Made one by one: a first page seldom
    needs the last."""
    parsed = query.parsed
    if not parsed.words or query.sort != "relevance":
        yield 0, matching(schema, query, known)
        return
    yield 0, Query.term_query(schema, "whole", whole_form(query.q))
    plain = _reading(schema, known, query, parsed)
    if parsed.author is not None:
        yield 1, plain.exact()
        yield from _reading(schema, known, query, parsed.beside).tiers_of(parsed.author, 2)
    yield from plain.tiers(2 + _TIERS)
    if query.corrected:
        plain = _reading(schema, known, query, _corrected(query))
        yield from plain.tiers(2 + 2 * _TIERS)
    if query.relaxed:
        yield from plain.tiers_with_most(2 + 3 * _TIERS, query.relaxed)


def matching(schema: Schema, query: DatasetQuery, known: Dictionary) -> Query:
    """Everything that some tier holds."""
    parsed = query.parsed
    if not parsed.words:
        return everything(schema)
    reading = _reading(schema, known, query, parsed)
    found = [reading.all_in(_ALL)]
    if query.corrected:
        reading = _reading(schema, known, query, _corrected(query))
        found.append(reading.all_in(_ALL))
    if query.relaxed:
        found.append(reading.most_in(_ALL, query.relaxed))
    return found[0] if len(found) == 1 else any_of(found)


def all_of(schema: Schema, words: tuple[str, ...], known: Dictionary) -> Query:
    """All of ``words``, in any of their forms."""
    query = DatasetQuery(forms=True, rooted=rooted(known, words))
    return _reading(schema, known, query, ParsedQuery(words)).all_in(_ALL)


def rooted(known: Dictionary, words: Iterable[str]) -> tuple[str, ...]:
    """Those of ``words`` that nobody has, but the noun that they are made of. Whoever asks on from
    page to page decides this once: a dataset that brings the word would take hits away."""
    return tuple(
        word
        for word in dict.fromkeys(words)
        if not known.knows(word) and any(map(known.knows, roots(word)))
    )


def steps(words: int) -> list[int]:
    """How many of so many words a hit has at least where little is found, and where nothing is: all
    but a third, then all but two thirds."""
    third = max(1, words // 3)
    return [least for least in (words - third, words - 2 * third) if least > 0]


def _corrected(query: DatasetQuery) -> ParsedQuery:
    """As if the corrected words had been typed; pieces only where each word is in its place."""
    parsed, words = query.parsed, query.corrected
    runs = parsed.runs if len(words) == len(parsed.words) else ()
    return replace(parsed, words=words, runs=runs)


def _reading(
    schema: Schema, known: Dictionary, query: DatasetQuery, parsed: ParsedQuery
) -> _Reading:
    pieces = (parsed.words[start:end] for start, end in parsed.runs)
    runs = tuple(Query.phrase_query(schema, "runs", list(piece)) for piece in pieces)
    name = " ".join(parsed.words)
    words = parsed.needed
    others = {word: others_of(known, query, word) for word in words if query.forms}
    return _Reading(schema, known, words, name, parsed.prefix, others, runs)


def others_of(known: Dictionary, query: DatasetQuery, word: str) -> tuple[str, ...]:
    """The other forms of ``word`` that count where forms do."""
    more = roots(word) if word in query.rooted else ()
    return (*known.others(word), *filter(known.knows, more))


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read the words: ``words`` decide, ``name`` is the name that they would be, and
    ``prefix`` the last of them where that may be only begun. ``others`` are the other forms of each
    that count, ``runs`` those that were written in one piece."""

    schema: Schema
    known: Dictionary
    words: tuple[str, ...]
    name: str
    prefix: str | None
    others: Mapping[str, tuple[str, ...]]
    runs: tuple[Query, ...]

    def tiers(self, first: int) -> Iterator[Tier]:
        """All words, in one place after the other."""
        yield first, self.exact()
        has_others = any(self.others.values())
        for number, field in enumerate(PROMINENCE):
            at = first + 1 + _SLOTS * number
            whole = [self._term(field, word) for word in self.words]
            if field == _ALL and len(whole) > 1:
                # Whoever remembers half of a description seldom has all of the name wrong.
                named = any_of([self._term(PROMINENCE[0], word) for word in self.words])
                yield at, both([*whole, named])
            if self.runs:
                yield at + 1, both([*whole, *self.runs])
            yield at + 2, both(whole)
            if (level := self._begun_in(field)) is not None:
                yield at + 3, level
            if has_others:
                yield at + 4, self.all_in(field)
            if number == 0 and len(whole) > 1:
                # Several words that are all fields of one schema are no accident.
                yield at + 5, both([self._term("field", word) for word in self.words])

    def tiers_of(self, author: str, first: int) -> Iterator[Tier]:
        """What ``author`` has, and where the words stand in it."""
        theirs = self._term("author", author)
        if not self.words:
            yield first, theirs
            return
        for number, field in enumerate(PROMINENCE, first):
            yield number, both([self.all_in(field), theirs])

    def tiers_with_most(self, first: int, least: int) -> Iterator[Tier]:
        """``least`` of the words or more, most of them first."""
        number = first
        for wanted in steps(len(set(self.words))):
            for field in PROMINENCE if wanted >= least else ():
                yield number, self.most_in(field, wanted)
                number += 1

    def all_in(self, field: str) -> Query:
        """All words in ``field``, each in any of the ways that count."""
        return both([self._any_way(field, word) for word in self.words])

    def most_in(self, field: str, least: int) -> Query:
        """``least`` of the words in ``field``, each in any of the ways that count."""
        ways = [(Occur.Should, self._any_way(field, word)) for word in dict.fromkeys(self.words)]
        return Query.boolean_query(ways, minimum_number_should_match=least)

    def exact(self) -> Query:
        """The words are the name."""
        return self._term("exact", exact_form(self.name))

    # --- parts ------------------------------------------------------------------------------

    def _begun_in(self, field: str) -> Query | None:
        """All words in ``field``, the last of them begun; None if nothing more begins with it."""
        *whole, last = self.words
        started = self.known.begun(field, last) if self.prefix is not None else None
        if started is None:
            return None
        return both([*(self._term(field, word) for word in whole), started])

    def _any_way(self, field: str, word: str) -> Query:
        """``word``, what it is the beginning of, its other forms."""
        begun = self.known.begun(field, word) if word == self.prefix else None
        found = [begun or self._term(field, word)]
        found += (self._term(field, other) for other in self.others.get(word, ()))
        return found[0] if len(found) == 1 else any_of(found)

    def _term(self, field: str, word: str) -> Query:
        return Query.term_query(self.schema, field, word)

"""Words that are written as one or as two: ``heightmap`` for "height map", "wave form" for
``waveform``.

Rule: only a word that no dataset has is taken apart, only neighbours are put together, and only
where a dataset that all filters let through has all words then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from search_api.query_language import STOP_WORDS
from search_api.text_query import DatasetQuery, both, filters
from search_api.text_reader import Reader
from search_api.tiers import all_of, rooted

LEAST = 3  # letters of each part
MAX_TRIES = 20

Words = tuple[str, ...]


def joined(reader: Reader, query: DatasetQuery) -> Words:
    """The words of ``query`` with two of them put together, so that something is found; empty if
    nothing is."""
    words, fixed = query.parsed.words, _fixed(query)
    pairs = (
        (*words[:at], one + other, *words[at + 2 :])
        for at, (one, other) in enumerate(pairwise(words))
        if not {one, other} & fixed and reader.knows(one + other)
    )
    return _first_found(reader, query, pairs)


def parted(reader: Reader, query: DatasetQuery) -> Words:
    """The words of ``query`` with one of them taken apart, like ``joined``."""
    words, fixed = query.parsed.words, _fixed(query)
    parts = (
        (*words[:at], *two, *words[at + 1 :])
        for at, word in enumerate(words)
        if word not in fixed and word.isalpha() and not reader.knows(word)
        for two in _parts(word)
        if all(reader.knows(part) or reader.others(part) or rooted(reader, [part]) for part in two)
    )
    return _first_found(reader, query, parts)


def _fixed(query: DatasetQuery) -> frozenset[str]:
    return STOP_WORDS.union(*query.parsed.phrases)


def _first_found(reader: Reader, query: DatasetQuery, ways: Iterable[Words]) -> Words:
    inside = filters(reader.schema, query)
    for _, way in zip(range(MAX_TRIES), ways, strict=False):
        if reader.examples(both([inside, all_of(reader.schema, way, reader)]), 1):
            return way
    return ()


def _parts(word: str) -> Iterator[tuple[str, str]]:
    for at in range(LEAST, len(word) - LEAST + 1):
        yield word[:at], word[at:]

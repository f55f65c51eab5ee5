"""Where a query finds little, what else it may mean: other forms of its words, other spellings, in
the end fewer words.

Rule: each step is taken only where the one before found too little, and ranks behind it; nothing
that a query finds as it is written is lost. What is asked once is the same on every page.
"""

from __future__ import annotations

from dataclasses import replace

from search_api.compounds import joined, parted
from search_api.near_values import nearest_values
from search_api.spelling import correction, words_of
from search_api.text_query import DatasetQuery, both, filters
from search_api.text_reader import Reader
from search_api.tiers import matching, others_of, rooted, steps

PAGE = 25  # hits; with fewer, other forms of the words count, too
FEW = 10  # hits; with fewer, of three words and more some may be missing
LITTLE = 3  # hits; with fewer, other spellings are looked for, and of two words one may be missing
FLOOD = 100  # hits; who has one of two words is not shown beside who has both if there are more


def widened(reader: Reader, query: DatasetQuery, fuzzy: bool) -> tuple[DatasetQuery, int]:
    """The query as it is asked in the end, and how many hits it has. Without ``fuzzy`` the words
    are only looked for as they are written; some of them may be missing."""
    if fuzzy:
        query = nearest_values(reader, query)
    total, words = reader.total(query), query.parsed.needed
    if fuzzy and total < PAGE:
        made = rooted(reader, words)
        if made or any(reader.others(word) for word in words):
            query, as_written = replace(query, forms=True, rooted=made), total
            total = reader.total(query)
            if total and not as_written:
                query = replace(query, instead=_inflected(reader, query))
    if fuzzy and words and total < LITTLE and (found := _respelt(reader, query, total)):
        made = rooted(reader, (*words, *found))
        query = replace(query, corrected=found, rooted=made, instead=())
        total = reader.total(query)
    return _relaxed(reader, query, total, fuzzy)


def _inflected(reader: Reader, query: DatasetQuery) -> tuple[str, ...]:
    """The words in those forms in which the newest hit has them; empty if it has them as they are
    written."""
    inside = both([filters(reader.schema, query), matching(reader.schema, query, reader)])
    there = {word for hit in reader.examples(inside, 1) for word in words_of(hit)}
    parsed = query.parsed

    def form(word: str) -> str:
        begun = word == parsed.prefix and any(found.startswith(word) for found in there)
        if begun or word in there or word not in parsed.needed:
            return word
        return next((o for o in others_of(reader, query, word) if o in there), word)

    found = tuple(map(form, parsed.words))
    return () if found == parsed.words else found


def _respelt(reader: Reader, query: DatasetQuery, total: int) -> tuple[str, ...]:
    return joined(reader, query) or correction(reader, query, total) or parted(reader, query)


def _relaxed(
    reader: Reader, query: DatasetQuery, total: int, fuzzy: bool
) -> tuple[DatasetQuery, int]:
    """One step where little was found; where no hit has all words, more until there are some."""
    words = len(set(replace(query.parsed, words=query.corrected or query.parsed.words).needed))
    few = FEW if words > 2 else LITTLE if fuzzy else 1
    enough = LITTLE if fuzzy and not total else 1
    for least in steps(words):
        if total >= few:
            break
        wider = replace(query, relaxed=least)
        found = reader.total(wider)
        if not total or found <= FLOOD or few == FEW:
            query, total = wider, found
        few = enough
    return query, total

"""What a query may have meant, where little was found: words of the index that are close to it.

Rule: a correction is made of words that stand together in a dataset which all filters let through,
so that it always finds something; a word that the index knows is only corrected if it must be.
"""

from __future__ import annotations

from collections.abc import Sequence

from tantivy import Query

from search_api.stored_view import StoredView
from search_api.text_document import PROMINENCE
from search_api.text_query import DatasetQuery, any_of, both, filters
from search_api.text_reader import Reader
from search_api.words import index_words

EXAMPLES = 30  # datasets that are looked at for the right word
COMMON = 50  # datasets that have a word: so many did not misspell it
_FIELD = PROMINENCE[-1]


def tolerance(word: str) -> int:
    """How many letters may be wrong (missing, too many, other, or two swapped)."""
    return 0 if len(word) < 4 else 1 if len(word) < 8 else 2


def correction(reader: Reader, query: DatasetQuery, total: int) -> tuple[str, ...]:
    """The words of ``query``, which has ``total`` hits, with those put right that are wrong; empty
    if there is nothing to be put right, or nothing that would be found."""
    parsed = query.parsed
    fixed = {word for run in parsed.phrases for word in run}
    words = [word for word in parsed.needed if word not in fixed and tolerance(word)]
    unknown = [word for word in words if not _known(reader, word, word == parsed.prefix)]
    doubtful = [word for word in words if reader.frequency(_FIELD, word) < COMMON]
    for suspects in (unknown,) if total else (unknown, doubtful):
        for most in (1, 2):
            if suspects and (found := _together(reader, query, suspects, most)):
                corrected = tuple(found.get(word, word) for word in parsed.words)
                return () if corrected == parsed.words else corrected
    return ()


def _known(reader: Reader, word: str, begun: bool) -> bool:
    return reader.knows(word) or (begun and reader.begins_any(word))


def _together(
    reader: Reader, query: DatasetQuery, suspects: Sequence[str], most: int
) -> dict[str, str]:
    """For each of ``suspects`` the best word within its tolerance, at ``most``, in a dataset that
    has the other words too."""
    needed = [
        _near(reader, word, most)
        if word in suspects
        else Query.term_query(reader.schema, _FIELD, word)
        for word in query.parsed.needed
    ]
    inside = both([filters(reader.schema, query), *needed])
    words: dict[str, None] = {}
    for stored in reader.examples(inside, EXAMPLES):
        words |= dict.fromkeys(words_of(stored))
    chosen = {
        word: _best(reader, word, list(words), min(most, tolerance(word))) for word in suspects
    }
    return {word: best for word, best in chosen.items() if best is not None}


def _near(reader: Reader, word: str, most: int) -> Query:
    distance = min(most, tolerance(word))
    near = Query.fuzzy_term_query(reader.schema, _FIELD, word, distance, True, False)
    return any_of([Query.term_query(reader.schema, _FIELD, word), near])


def _best(reader: Reader, word: str, candidates: Sequence[str], most: int) -> str | None:
    """The closest one, and of several that which most datasets have, then the first by text."""
    letters = set(word)
    close = [
        (far, -reader.frequency(_FIELD, other), other)
        for other in candidates
        # Each letter that is changed makes two differences at most: nearly all words end here.
        if len(letters ^ set(other)) <= 2 * most
        and (far := distance(word, other, most)) <= most
        and other.isalnum()
        and far > 0
    ]
    return min(close)[2] if close else None


def words_of(stored: StoredView) -> list[str]:
    """The words that a dataset is found by."""
    view = stored.view
    places = (view.name, *view.tags, view.schema_name, view.handle, *stored.fields)
    return index_words(" ".join(p for p in (*places, view.description, view.license) if p))


def distance(one: str, other: str, most: int) -> int:
    """Letters inserted, deleted, replaced or swapped with their neighbour to make ``other`` of
    ``one``; ``most + 1`` if there are more than ``most``."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, previous[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)

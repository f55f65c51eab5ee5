"""Which tags and licences the visible datasets have, and which go together.

Rule: tags, and licences that are no SPDX expression, are compared without case and outer blanks;
counts are of datasets, each once. They come from the text index and are made once of each of its
states, whatever part of them is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

from search_api.facets import FIELDS
from search_api.text_counts import MAX_VALUES
from search_api.text_part import remembered
from search_api.text_query import Condition, DatasetQuery
from search_api.text_reader import Reader

MAX_LISTED = MAX_VALUES // 2  # the most frequent values; the index is asked for twice as many
REMEMBERED = 16  # lists

Place: TypeAlias = tuple[int, str]  # count and value where a page ended
Counted: TypeAlias = tuple[str, int]


class Vocabulary:
    """Lists of values with their counts. Any number of threads."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str, frozenset[str]], tuple[int, list[Counted]]] = {}

    def values(
        self,
        reader: Reader,
        facet: str,
        prefix: str,
        together: Sequence[str],
        limit: int,
        after: Place | None,
    ) -> list[Counted]:
        """Values of ``facet`` (tags, licenses) that begin with ``prefix`` (folded), most datasets
        first, then by text; with ``together`` (folded tags), those that datasets with all of these
        have besides."""
        listed = self._listed(reader, facet, frozenset(together))
        first = 0
        if after is not None:
            first = bisect_right(listed, (-after[0], after[1]), key=lambda one: (-one[1], one[0]))
        found: list[Counted] = []
        for value, count in listed[first:]:
            if value.lower().startswith(prefix):
                found.append((value, count))
                if len(found) == limit:
                    break
        return found

    def _listed(self, reader: Reader, facet: str, together: frozenset[str]) -> list[Counted]:
        known = self._lists.get((facet, together))
        if known is None or known[0] != reader.seq:
            made = reader.seq, _listed(reader, facet, together)
            known = remembered(self._lists, (facet, together), made, REMEMBERED)
        return known[1]


def _listed(reader: Reader, facet: str, together: frozenset[str]) -> list[Counted]:
    query = DatasetQuery(conditions=tuple(Condition("tag", (tag,)) for tag in sorted(together)))
    counts = reader.counts(query, {facet: FIELDS[facet]}, MAX_LISTED)[facet]
    found = [(str(value), count) for value, count in counts]
    if facet == "tags":
        found = [one for one in found if one[0] not in together]
    return sorted(found, key=lambda one: (-one[1], one[0]))

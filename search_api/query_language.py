"""What the one query box means: words, "phrases", -exclusions and field:value conditions. Pure.

Rule: every text is a query. What cannot be read as syntax (an open quote, an unknown field, a field
without a value or with one that has no words, a lone minus) is read as plain words, and no word is
lost by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from search_api.words import MAX_QUERY_WORDS, query_words

MAX_CONDITIONS = 32  # phrases, exclusions and field conditions of one query

FieldName = Literal["tag", "license", "schema", "author", "did", "field", "format", "type"]
FIELDS: frozenset[str] = frozenset(get_args(FieldName))
_SPELLINGS = {"tags": "tag", "licence": "license", "handle": "author", "fields": "field"}

# Words that say nothing about a dataset. They count for the exact name and for nothing else,
# unless there are no others.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from in into is it its of on or that the their this to was "
        "which with about all any how what where data dataset datasets",
    )
)

# A handle, with @ before it or not; with it the first label of one is enough.
_HANDLE = re.compile(r"(?:@[a-z0-9-]+|@?[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z-]+)", re.IGNORECASE)

_TOKEN = re.compile(
    r'(?P<minus>-)?(?:(?P<field>[A-Za-z]+):)?(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))'
)


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """``name:value``; with ``excluded`` the datasets for which it does not hold."""

    name: str
    value: str
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """``words`` in the order asked, those of phrases among them; ``phrases`` and ``excluded`` as
    runs of words. ``open_end``: the last word may be only begun, also where conditions and
    exclusions stand behind it. ``author``: what among the words looks like a handle, or the first
    label of one; ``apart`` are the words of it. ``runs``: which words were written without a blank
    between them (``time-series``), from and to."""

    words: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()
    excluded: tuple[tuple[str, ...], ...] = ()
    conditions: tuple[FieldCondition, ...] = ()
    open_end: bool = False
    author: str | None = None
    apart: tuple[str, ...] = ()
    runs: tuple[tuple[int, int], ...] = ()

    @property
    def beside(self) -> ParsedQuery:
        """The same without the author."""
        rest = list(self.words)
        for word in self.apart:
            rest.remove(word)
        if all(word in STOP_WORDS for word in rest):
            rest = []
        is_last = bool(self.words) and self.words[-1:] != tuple(rest[-1:])
        is_open = self.open_end and not is_last
        return ParsedQuery(tuple(rest), open_end=is_open)

    @property
    def needed(self) -> tuple[str, ...]:
        """The words that decide: all but stop words, or all if there are no others."""
        telling = tuple(word for word in self.words if word not in STOP_WORDS)
        return telling or self.words

    @property
    def prefix(self) -> str | None:
        """The last word, if it may be only begun and decides."""
        if not self.open_end or not self.needed or self.words[-1] != self.needed[-1]:
            return None
        return self.words[-1]


def parse_query(text: str) -> ParsedQuery:
    """Read ``text``. Never fails; takes at most ``MAX_QUERY_WORDS`` words and ``MAX_CONDITIONS``
    of everything else, from the left."""
    if text.count('"') % 2:
        text = " ".join(text.rsplit('"', 1))  # the quote that is still open
    words: list[str] = []
    phrases: list[tuple[str, ...]] = []
    excluded: list[tuple[str, ...]] = []
    conditions: list[FieldCondition] = []
    open_end = False
    author: str | None = None
    apart: list[str] = []
    runs: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        quoted = token["quoted"] is not None
        value = token["quoted"] if quoted else token["bare"]
        run = tuple(query_words(value))
        full = len(phrases) + len(excluded) + len(conditions) >= MAX_CONDITIONS
        condition = None if full or not run else _condition(token, value)
        if condition is not None:
            conditions.append(condition)
        elif full:
            words += query_words(token[0])
            open_end = False
        elif token["field"] is None and token["minus"] and run:
            excluded.append(run)
        elif token["field"] is None and quoted and run:
            phrases.append(run)
            words += run
            open_end = False
        else:
            found = query_words(token[0])
            words += found
            if author is None and not quoted and _HANDLE.fullmatch(token[0]):
                author, apart = token[0].removeprefix("@").lower(), found
            elif len(found) > 1:
                runs.append((len(words) - len(found), len(words)))
            open_end = open_end or bool(found)
    if len(words) > MAX_QUERY_WORDS:
        author, apart, runs = None, [], []
    return ParsedQuery(
        words=tuple(words[:MAX_QUERY_WORDS]),
        phrases=tuple(phrases),
        excluded=tuple(excluded),
        conditions=tuple(conditions),
        open_end=open_end and len(words) <= MAX_QUERY_WORDS,
        author=author,
        apart=tuple(apart),
        runs=tuple(runs),
    )


def _condition(token: re.Match[str], value: str) -> FieldCondition | None:
    if token["field"] is None:
        return None
    name = token["field"].lower()
    name = _SPELLINGS.get(name, name)
    if name not in FIELDS:
        return None
    return FieldCondition(name, value.strip(), token["minus"] is not None)

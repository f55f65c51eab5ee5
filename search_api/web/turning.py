"""Turning the pages of a list: where one is, and the way back to the pages before. Pure.

Rule: a cursor only leads on, so that the URL keeps those of the pages before, as many as it holds;
what somebody else wrote into it leads to a wrong page at most, never to an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_TEXT = 4_000  # characters of cursors in a URL
_NUMBER = re.compile(r"[1-9][0-9]{0,6}")


@dataclass(frozen=True, slots=True)
class Turn:
    """The page at ``cursor``. ``number`` is None where it is not known; ``trail`` are the cursors
    of the pages before, the first page aside, the nearest last."""

    cursor: str | None
    number: int | None
    trail: tuple[str, ...]

    @classmethod
    def of(cls, cursor: str | None, given: Mapping[str, Sequence[str]]) -> Turn:
        """As ``page`` and ``back`` in the URL say."""
        if cursor is None:
            return cls(None, 1, ())
        numbers = [int(text) for text in given.get("page", ()) if _NUMBER.fullmatch(text)]
        return cls(cursor, numbers[0] if numbers else None, _held(given.get("back", ())))

    def next(self, cursor: str | None) -> dict[str, object]:
        """What the URL of the next page has, which begins at ``cursor``."""
        behind = () if self.cursor is None else (self.cursor,)
        number = None if self.number is None else self.number + 1
        return {"cursor": cursor, "page": number, "back": _held((*self.trail, *behind))}

    def previous(self) -> dict[str, object] | None:
        """What the URL of the page before has; None if there is none, or it is not known."""
        if self.trail:
            number = None if self.number is None else self.number - 1
            return {"cursor": self.trail[-1], "page": number, "back": self.trail[:-1]}
        return {} if self.number == 2 else None


def _held(cursors: Sequence[str]) -> tuple[str, ...]:
    """The last of ``cursors`` for which there is room."""
    held: list[str] = []
    room = MOST_TEXT
    for cursor in reversed(cursors):
        room -= len(cursor)
        if room < 0:
            break
        held.append(cursor)
    return tuple(reversed(held))

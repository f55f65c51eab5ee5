"""Brace patterns: one name for many shards, as WebDataset writes them.

Rule: what a pattern stands for is counted before any of it is made, since a record may hold any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product

from atdata.protocol.errors import InvalidSyntax, shown_url

MAX_SHARDS = 200_000  # of one dataset

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})(?:\.\.(\d{1,18}))?", re.ASCII)


def expand(pattern: str) -> list[str]:
    """The names that a WebDataset brace pattern stands for, in order.

    ``data-{000000..000009}.tar``, with leading zeros where either end has them; ``{0..8..2}`` in
    steps; ``{train,val}``. Other braces stay as they are. Raises ``InvalidSyntax`` for more than
    ``MAX_SHARDS`` names, before any of them is made.
    """
    total, choices = 1, list[Iterable[str]]()
    for number, text in enumerate(_BRACES.split(pattern)):
        count, names = _alternatives(text) if number % 2 else (1, [text])
        total *= count
        if total > MAX_SHARDS:
            why = f"stands for more than {MAX_SHARDS} shards"
            raise InvalidSyntax("shard pattern", shown_url(pattern), why)
        choices.append(names)
    return ["".join(names) for names in product(*choices)]


def expand_all(patterns: Sequence[str]) -> list[str]:
    """The names that all the patterns stand for together. Raises ``InvalidSyntax`` for more than
    ``MAX_SHARDS``: a record may hold many patterns, each of which is within bounds."""
    names: list[str] = []
    for pattern in patterns:
        names += expand(pattern)
        if len(names) > MAX_SHARDS:
            raise InvalidSyntax(
                "list of shards", shown_url(pattern), f"more than {MAX_SHARDS} in all"
            )
    return names


def _alternatives(text: str) -> tuple[int, Iterable[str]]:
    """How many names the braces around ``text`` stand for, and these, which are made when they are
    gone through."""
    match = _RANGE.fullmatch(text)
    if match is None:
        parts = text.split(",") if "," in text else ["{" + text + "}"]
        return len(parts), parts
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if step == 0:
        raise InvalidSyntax("shard pattern", "{" + text + "}", "a step of 0 leads nowhere")
    count = abs(last - first) // step + 1
    numbers = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    padded = any(end.startswith("0") and len(end) > 1 for end in (match[1], match[2]))
    width = max(len(match[1]), len(match[2])) if padded else 0
    return count, (f"{number:0{width}d}" for number in numbers)

"""``Range`` headers that mean nothing here are as if they weren't there.

Rule: who asks for a unit other than bytes, or for what is no range, gets the whole answer; only a
range beyond the end is an error. Source: RFC 9110, 14.2.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18})")
_UNIT = "bytes="


class KnownRanges:
    """ASGI middleware: takes away what is not understood."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"range"]
            if given and not (len(given) == 1 and is_known(given[0].decode("latin-1"))):
                kept = [header for header in scope["headers"] if header[0] != b"range"]
                scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def is_known(header: str) -> bool:
    """Whether ``header`` is one or more ranges of bytes."""
    text = header.strip()
    if text[: len(_UNIT)].lower() != _UNIT:
        return False
    return all(_is_range(part.strip(" \t")) for part in text[len(_UNIT) :].split(","))


def _is_range(text: str) -> bool:
    match = _RANGE.fullmatch(text)
    if match is None:
        return False
    first, last, _ = match.groups()
    return not (first and last) or int(first) <= int(last)

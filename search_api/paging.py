"""Opaque cursors: where a page ended, bound to the question that it answered.

Rule: a cursor that is malformed, of another version or of another question is ``InvalidCursor``,
never a wrong page. Positions are keys of the last item, not offsets, so what comes and goes
in between neither repeats nor skips anything else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

from atdata.protocol.errors import ProtocolError, quote

VERSION = 2
MAX_CURSOR = 1_000  # characters

Key = int | str
Item = TypeVar("Item")


class InvalidCursor(ProtocolError):
    """A cursor that this service did not give out for this question."""


def fingerprint(*question: object) -> str:
    """A short digest of what was asked, the page size aside."""
    return hashlib.sha256(repr(question).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def encode(question: str, keys: Sequence[Key]) -> str:
    """A cursor after the item with ``keys``, for the question with that fingerprint."""
    body = json.dumps([VERSION, question, *keys], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).rstrip(b"=").decode()


def decode(cursor: str, question: str, kinds: Sequence[type[Key]]) -> tuple[Key, ...]:
    """The keys in ``cursor``: one of each of ``kinds``. Raises ``InvalidCursor``."""
    if len(cursor) > MAX_CURSOR:
        raise InvalidCursor(f"the cursor {quote(cursor)} is too long")
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        body = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError, binascii.Error) as error:
        raise InvalidCursor(f"{quote(cursor)} is not a cursor of this service") from error
    if not isinstance(body, list) or body[:1] != [VERSION]:
        raise InvalidCursor(f"{quote(cursor)} is not a cursor of this service")
    if body[1:2] != [question]:
        raise InvalidCursor("the cursor belongs to another query; start again without it")
    keys = body[2:]
    if [type(key) for key in keys] != list(kinds):
        raise InvalidCursor(f"{quote(cursor)} is not a cursor of this service")
    if any(isinstance(key, int) and not -(2**63) <= key < 2**63 for key in keys):
        raise InvalidCursor(f"{quote(cursor)} is not a cursor of this service")
    return tuple(keys)


def cut(items: Sequence[Item], limit: int) -> tuple[tuple[Item, ...], Item | None]:
    """A page of ``limit`` out of up to one item more, and its last item if there is a next page."""
    page = tuple(items[:limit])
    return page, page[-1] if len(items) > limit else None

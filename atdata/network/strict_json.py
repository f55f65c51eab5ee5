"""JSON from the network: read so that nothing downstream can choke on it.

Rule: whatever is wrong is a ``ValueError`` here, and never a recursion error, a NaN or half a
surrogate pair somewhere later.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

MAX_DEPTH = 64
# A string, even one that never closes (so that no text is scanned twice), or a bracket.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8, at most ``MAX_DEPTH`` deep. Raises ``ValueError``."""
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    value = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    if b"\\ud" in data or b"\\uD" in data:
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a pair fails here
    return value


def _depth(data: bytes) -> int:
    depth = deepest = 0
    for match in _TOKEN.finditer(data):
        token = match.group()
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")

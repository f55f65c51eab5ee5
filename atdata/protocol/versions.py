"""Semantic versions and schema families: which schemas belong together, and which is newest.

Rule: order is the order of https://semver.org (1.10.0 > 1.9.0 > 1.9.0-rc.1), never that of text.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from atdata.protocol.errors import InvalidSyntax

MAX_VERSION = 100

_NUMBER = r"(0|[1-9][0-9]*)"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMVER = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_IDENTIFIERS}))?(?:\+{_IDENTIFIERS})?")

# A pre-release identifier: numbers before words, numbers by value, words by ASCII.
_Identifier: TypeAlias = tuple[bool, int, str]
SemverKey: TypeAlias = tuple[int, int, int, bool, tuple[_Identifier, ...]]


def semver_key(version: str) -> SemverKey:
    """What to sort versions by; build metadata does not count. Raises ``InvalidSyntax``."""
    match = _SEMVER.fullmatch(version) if len(version) <= MAX_VERSION else None
    if match is None:
        raise InvalidSyntax("semantic version", version, "expected major.minor.patch")
    major, minor, patch, prerelease = match.groups()
    identifiers = tuple(_identifier(part) for part in (prerelease or "").split(".") if part)
    return int(major), int(minor), int(patch), prerelease is None, identifiers


def _identifier(part: str) -> _Identifier:
    return (False, int(part), "") if part.isdecimal() else (True, 0, part)


def schema_family(did: str, name: str) -> str:
    """What all versions of one schema have in common: their author and their name."""
    return f"{did}/{name}"

"""Typed access to a decoded record body: every look-up checks type, limit and presence.

Rule: whatever the network sent, reading it raises ``InvalidRecord`` with the path, or gives a value
of the stated type. Lengths count as lexicons count them: ``maxLength`` of text is UTF-8 bytes, of
an array its items. A member that is null counts as absent.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from atdata.protocol.cid import Cid
from atdata.protocol.errors import InvalidCid, InvalidRecord, quote

MAX_INTEGER = 2**63 - 1
MAX_OBJECT_DEPTH = 32
MAX_DATETIME = 64
MAX_TYPE = 400
MAX_AT_URI = 500
MAX_TAGS = 30
MAX_TAG = 150

# Looser than AtUri: schema families are kept under `{NSID}@{semver}`, and `@` is no character of a
# record key, so references to them would be lost.
_AT_URI = re.compile(r"at://[A-Za-z0-9._:%-]+(/[A-Za-z0-9.-]+(/[A-Za-z0-9._:~@+-]+)?)?")


def refers(text: str) -> bool:
    """Whether ``text`` can stand in a record where another one is referred to."""
    return _AT_URI.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Body:
    """An object inside a record, and the path that leads to it."""

    members: Mapping[str, Any]
    path: str = ""

    @classmethod
    def of(cls, value: object, path: str) -> Body:
        """``value``, if it is an object."""
        if not isinstance(value, Mapping):
            raise InvalidRecord(path, f"expected an object, got {_kind(value)}")
        return cls(value, path)

    def at(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}/{name}"

    def has(self, name: str) -> bool:
        """Whether the member is there and not null."""
        return self.members.get(name) is not None

    def value(self, name: str) -> Any:
        """A member of any type; it must be there."""
        value = self.members.get(name)
        if value is None:
            raise InvalidRecord(self.at(name), "is missing")
        return value

    def text(self, name: str, limit: int) -> str:
        """Text of at most ``limit`` UTF-8 bytes."""
        return text(self.value(name), self.at(name), limit)

    def maybe_text(self, name: str, limit: int) -> str | None:
        """The same, or None."""
        return self.text(name, limit) if self.has(name) else None

    def at_uri(self, name: str) -> str:
        """Text that looks like an AT URI; its record key may be of a schema family."""
        uri = self.text(name, MAX_AT_URI)
        if not refers(uri):
            raise InvalidRecord(self.at(name), f"{quote(uri)} is not an AT URI")
        return uri

    def maybe_at_uri(self, name: str) -> str | None:
        """The same, or None."""
        return self.at_uri(name) if self.has(name) else None

    def maybe_count(self, name: str) -> int | None:
        """An integer from 0 to 2⁶³−1, or None."""
        if not self.has(name):
            return None
        value = integer(self.value(name), self.at(name))
        if value < 0:
            raise InvalidRecord(self.at(name), f"{value} is negative")
        return value

    def flag(self, name: str) -> bool:
        """A boolean; false where it is absent."""
        value = self.value(name) if self.has(name) else False
        if not isinstance(value, bool):
            raise InvalidRecord(self.at(name), f"expected a boolean, got {_kind(value)}")
        return value

    def datetime_text(self, name: str) -> str:
        """A datetime, as written; what it means is ``moment`` of it."""
        value = self.text(name, MAX_DATETIME)
        if moment(value) is None:
            raise InvalidRecord(self.at(name), f"{quote(value)} is not a datetime")
        return value

    def child(self, name: str) -> Body:
        """An object."""
        return Body.of(self.value(name), self.at(name))

    def maybe_child(self, name: str) -> Body | None:
        """The same, or None."""
        return self.child(name) if self.has(name) else None

    def items(self, name: str, minimum: int, maximum: int) -> Iterator[tuple[Any, str]]:
        """The items of an array, each with its path."""
        path = self.at(name)
        values = array(self.value(name), path, minimum, maximum)
        return ((item, f"{path}/{i}") for i, item in enumerate(values))

    def tags(self, name: str = "tags") -> tuple[str, ...]:
        """At most 30 texts of at most 150 bytes; none where the member is absent."""
        if not self.has(name):
            return ()
        return tuple(text(tag, path, MAX_TAG) for tag, path in self.items(name, 0, MAX_TAGS))

    def plain(self, name: str) -> dict[str, Any] | None:
        """An object of the data model's values (no floats), nested at most 32 deep, or None."""
        child = self.maybe_child(name)
        if child is None:
            return None
        _check_plain(child.members, child.path, MAX_OBJECT_DEPTH)
        return dict(child.members)

    def octets(self, name: str, limit: int) -> bytes:
        """Bytes: as such, or as ``{"$bytes": base64}`` with or without padding."""
        value, path = self.value(name), self.at(name)
        if isinstance(value, Mapping):
            value = _base64(Body(value, path).value("$bytes"), path, limit)
        if not isinstance(value, bytes):
            raise InvalidRecord(path, f"expected bytes, got {_kind(value)}")
        if len(value) > limit:
            raise InvalidRecord(path, f"{len(value)} bytes, at most {limit} are allowed")
        return value


def text(value: object, path: str, limit: int) -> str:
    """``value``, if it is Unicode text of at most ``limit`` UTF-8 bytes."""
    if not isinstance(value, str):
        raise InvalidRecord(path, f"expected text, got {_kind(value)}")
    if len(value) > limit or _utf8_length(value, path) > limit:
        raise InvalidRecord(path, f"longer than {limit} bytes: {quote(value, 40)}")
    return value


def integer(value: object, path: str) -> int:
    """``value``, if it is an integer of 64 bits; a boolean is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRecord(path, f"expected an integer, got {_kind(value)}")
    if abs(value) > MAX_INTEGER:
        raise InvalidRecord(path, "is outside 64 bits")
    return value


def array(value: object, path: str, minimum: int, maximum: int) -> list[Any]:
    """``value``, if it is an array of ``minimum`` to ``maximum`` items."""
    if not isinstance(value, list):
        raise InvalidRecord(path, f"expected an array, got {_kind(value)}")
    if not minimum <= len(value) <= maximum:
        raise InvalidRecord(path, f"has {len(value)} items, expected {minimum} to {maximum}")
    return value


def link(value: object, path: str) -> Cid:
    """A link: a ``Cid``, ``{"$link": text}``, or the bare text of old blob references."""
    if isinstance(value, Cid):
        return value
    if isinstance(value, Mapping):
        value = value.get("$link")
    if not isinstance(value, str):
        raise InvalidRecord(path, "expected a link")
    try:
        return Cid.parse(value)
    except InvalidCid as error:
        raise InvalidRecord(path, str(error)) from error


def moment(written: str) -> datetime | None:
    """The time that a ``createdAt`` means, or None if it means none. Without a zone it is UTC.

    Wider than the lexicon's ``datetime``: what writers' ``isoformat()`` gives is read as well.
    """
    try:
        time = datetime.fromisoformat(written)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # the year 1, or 9999, in a far time zone
        return None


def _base64(value: object, path: str, limit: int) -> bytes:
    encoded = text(value, path, limit * 4 // 3 + 4).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRecord(path, "is not base64") from error


def _utf8_length(value: str, path: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidRecord(path, "is not valid Unicode") from error


def _check_plain(value: object, path: str, depth: int) -> None:
    if depth < 0:
        raise InvalidRecord(path, "is nested too deeply")
    if isinstance(value, Mapping):
        for name, member in value.items():
            key = text(name, path, 1_000)
            _check_plain(member, f"{path}/{quote(key, 40)}", depth - 1)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_plain(item, f"{path}/{i}", depth - 1)
    elif isinstance(value, str):
        _utf8_length(value, path)
    elif isinstance(value, int) and not isinstance(value, bool):
        integer(value, path)
    elif value is not None and not isinstance(value, bool | bytes | Cid):
        raise InvalidRecord(path, f"{_kind(value)} is no value of the data model")


def _kind(value: object) -> str:
    """What a value is called in messages."""
    names = {type(None): "null", dict: "an object", list: "an array", str: "text", bytes: "bytes"}
    return names.get(type(value), type(value).__name__)

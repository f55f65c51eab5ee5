"""The protocol's identifiers, one small frozen type each; raw strings stop at the edge.

Rule: every ``parse`` raises ``InvalidSyntax`` and nothing else, for any input, in time bounded by
the length that the specification allows. ``str(x)`` gives the text back. The types are subclasses
of ``str``; their constructors check nothing and are for text that is known to be valid.
Sources: https://atproto.com/specs/{did,handle,nsid,record-key,tid,at-uri-scheme}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Self

from atdata.protocol.cid import Cid
from atdata.protocol.errors import InvalidCid, InvalidSyntax

MAX_DID = 2048
MAX_HANDLE = 253
MAX_NSID = 317
MAX_RECORD_KEY = 512
MAX_AT_URI = 8192
MAX_URI = 8192
MAX_LANGUAGE = 128
MAX_DATETIME = 64

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_TOP_LABEL = r"[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"

_DID = re.compile(r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]")
_HANDLE = re.compile(rf"(?:{_LABEL}\.)+{_TOP_LABEL}")
_NSID = re.compile(rf"{_TOP_LABEL}(?:\.{_LABEL})+\.[a-zA-Z][a-zA-Z0-9]{{0,62}}")
_RECORD_KEY = re.compile(r"[a-zA-Z0-9_~.:-]+")
_TID = re.compile(r"[2-7a-j][2-7a-z]{12}")

_TID_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
_TID_VALUES = {digit: value for value, digit in enumerate(_TID_DIGITS)}


def _checked(kind: str, value: object, limit: int, pattern: re.Pattern[str], rule: str) -> str:
    """``value`` if it is text of at most ``limit`` characters that ``pattern`` matches whole."""
    if not isinstance(value, str):
        # Not quoted: the text form of a foreign object can be endless, or fail.
        raise InvalidSyntax(kind, type(value).__name__, "it must be text")
    if len(value) > limit:
        raise InvalidSyntax(kind, value, f"{len(value)} characters, at most {limit} are allowed")
    if pattern.fullmatch(value) is None:
        raise InvalidSyntax(kind, value, rule)
    return value


class Did(str):
    """A DID of any method: ``did:plc:…``, ``did:web:example.com``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``InvalidSyntax``."""
        return cls(_checked("DID", text, MAX_DID, _DID, "expected did:method:identifier"))

    @property
    def method(self) -> str:
        """``plc``, ``web`` …"""
        return self.split(":", 2)[1]


class Handle(str):
    """A handle: a domain name, normalised to lower case by ``parse``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``InvalidSyntax``."""
        rule = "expected a domain name of two or more labels"
        return cls(_checked("handle", text, MAX_HANDLE, _HANDLE, rule).lower())


class Nsid(str):
    """A namespaced identifier such as ``ac.foundation.dataset.record``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``InvalidSyntax``."""
        rule = "expected three or more segments, the last of letters and digits"
        return cls(_checked("NSID", text, MAX_NSID, _NSID, rule))

    @property
    def authority(self) -> str:
        """The domain that owns it, in DNS order and lower case: ``dataset.foundation.ac``."""
        return ".".join(reversed(self.split(".")[:-1])).lower()

    @property
    def name(self) -> str:
        """The last segment: ``record``."""
        return self.rpartition(".")[2]


class RecordKey(str):
    """A record key of any type; at most 512 characters."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``InvalidSyntax``."""
        rule = "expected letters, digits and any of . - _ : ~"
        key = cls(_checked("record key", text, MAX_RECORD_KEY, _RECORD_KEY, rule))
        if key in {".", ".."}:
            raise InvalidSyntax("record key", text, "dots alone are a path, not a key")
        return key


class Tid(str):
    """A timestamp identifier: 53 bits of microseconds and 10 bits of clock id, sortable as text."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``InvalidSyntax``."""
        rule = "expected 13 digits of sortable base32, the first at most j"
        return cls(_checked("TID", text, 13, _TID, rule))

    @classmethod
    def from_parts(cls, us: int, clock_id: int) -> Self:
        """``us``: microseconds since 1970, below 2⁵³; ``clock_id`` below 1024.

        Raises ``InvalidSyntax`` for numbers outside these ranges.
        """
        if not (0 <= us < 1 << 53 and 0 <= clock_id < 1 << 10):
            raise InvalidSyntax("TID", f"{us:#x}, {clock_id:#x}"[:80], "a part is out of range")
        number = us << 10 | clock_id
        return cls("".join(_TID_DIGITS[number >> shift & 31] for shift in range(60, -1, -5)))

    @property
    def timestamp_us(self) -> int:
        """Microseconds since 1970 (UTC), as its writer's clock said."""
        return self._number() >> 10

    @property
    def clock_id(self) -> int:
        """0…1023, to tell writers of the same microsecond apart."""
        return self._number() & 1023

    def _number(self) -> int:
        number = 0
        for digit in self:
            number = number << 5 | _TID_VALUES[digit]
        return number


def parse_at_identifier(text: str) -> Did | Handle:
    """A DID or a handle. Raises ``InvalidSyntax``."""
    return Did.parse(text) if isinstance(text, str) and text[:4] == "did:" else Handle.parse(text)


@dataclass(frozen=True, slots=True)
class AtUri:
    """``at://authority[/collection[/rkey]]``: a repository, a collection in it, or one record.

    The restricted form that lexicons allow: no fragment, no query, no trailing slash.

    Source: the AT Protocol's AT URI scheme, restricted as its Lexicon string format ``at-uri``.
    """

    authority: Did | Handle
    collection: Nsid | None = None
    rkey: RecordKey | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``InvalidSyntax``. A handle is normalised to lower case."""
        parts = _at_uri_parts(text)
        try:
            authority = parse_at_identifier(parts[0])
            collection = Nsid.parse(parts[1]) if len(parts) > 1 else None
            rkey = RecordKey.parse(parts[2]) if len(parts) > 2 else None
        except InvalidSyntax as error:
            raise InvalidSyntax("AT URI", text, str(error)) from error
        return cls(authority, collection, rkey)

    @classmethod
    def of(cls, did: str, collection: str, rkey: str) -> Self:
        """The URI of a record, from checked parts. Raises ``InvalidSyntax``."""
        return cls(parse_at_identifier(did), Nsid.parse(collection), RecordKey.parse(rkey))

    def __str__(self) -> str:
        parts = (self.authority, self.collection, self.rkey)
        return "at://" + "/".join(part for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class BlobUri:
    """``at://did/blob/cid``: the library's name for a blob of a repository, used as a shard URL.

    It looks like an AT URI and is none, since ``blob`` is not an NSID.
    """

    did: Did
    cid: Cid

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``InvalidSyntax``."""
        parts = _at_uri_parts(text)
        if len(parts) != 3 or parts[1] != "blob":
            raise InvalidSyntax("blob URI", text, "expected at://did/blob/cid")
        try:
            return cls(Did.parse(parts[0]), Cid.parse(parts[2]))
        except (InvalidSyntax, InvalidCid) as error:
            raise InvalidSyntax("blob URI", text, str(error)) from error

    def __str__(self) -> str:
        return f"at://{self.did}/blob/{self.cid}"


_AT_URI = re.compile(r"at://[^/]+(?:/[^/]+){0,2}")


def _at_uri_parts(text: str) -> list[str]:
    rule = "expected at://authority/collection/record-key"
    return _checked("AT URI", text, MAX_AT_URI, _AT_URI, rule)[5:].split("/")


# --- text that stays text -----------------------------------------------------------------------

_DATETIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,20}))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_CALENDAR_PERIOD = 400  # years, after which the Gregorian calendar repeats


def parse_datetime(text: str) -> datetime:
    """The moment that a protocol datetime names, in UTC; digits below a microsecond are cut.

    Moments that Python cannot hold (the year 0000; 9999 west of Greenwich) become the nearest that
    it can. Raises ``InvalidSyntax``. Source: https://atproto.com/specs/lexicon#datetime.
    """
    _checked("datetime", text, MAX_DATETIME, _DATETIME, "expected YYYY-MM-DDTHH:MM:SS.sssZ")
    match = _DATETIME.fullmatch(text)
    if match is None or text.endswith("-00:00"):
        raise InvalidSyntax("datetime", text, "the offset -00:00 is not allowed")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = match.group(7, 8, 9, 10)
    # Reckon in years that leave room on both sides for the offset.
    era = _CALENDAR_PERIOD if year < 5000 else -_CALENDAR_PERIOD
    micros = int((fraction or "")[:6].ljust(6, "0"))
    try:
        moment = datetime(year + era, month, day, hour, minute, second, micros, tzinfo=UTC)
    except ValueError as error:
        raise InvalidSyntax("datetime", text, str(error)) from error
    moment -= _offset(text, sign, offset_hour, offset_minute)
    return _in_range(text, moment, moment.year - era)


def _offset(text: str, sign: str | None, hours: str | None, minutes: str | None) -> timedelta:
    if sign is None or hours is None or minutes is None:
        return timedelta()
    if int(hours) > 23 or int(minutes) > 59:
        raise InvalidSyntax("datetime", text, "the offset is out of range")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return offset if sign == "+" else -offset


def _in_range(text: str, moment: datetime, year: int) -> datetime:
    if year < 0:
        raise InvalidSyntax("datetime", text, "it lies before the year 0000")
    if year == 0:
        return datetime.min.replace(tzinfo=UTC)
    if year > 9999:
        return datetime.max.replace(tzinfo=UTC)
    return moment.replace(year=year)


_LANGUAGE = re.compile(r"(?:[a-z]{2,3}|[iIxX](?=-))(?:-[a-zA-Z0-9]{1,8})*")


def is_language(text: object) -> bool:
    """Whether ``text`` is a BCP 47 language tag: well-formed, no variant or extension twice.

    As lenient as the protocol's reference: subtags are not looked up, nor their order checked.
    Source: RFC 5646 §2.1, §2.2.9.
    """
    if not isinstance(text, str) or len(text) > MAX_LANGUAGE or not _LANGUAGE.fullmatch(text):
        return False
    lower = text.lower()
    if lower.startswith("x-"):
        return True
    subtags = lower.partition("-x-")[0].split("-")
    return len(subtags[-1]) > 1 and _without_repeats(subtags)


def _without_repeats(subtags: list[str]) -> bool:
    """Each extension has content and comes once; so does each variant before them."""
    seen: set[str] = set()
    in_extension = False
    for before, subtag in pairwise(subtags):
        singleton = len(subtag) == 1
        if singleton or (_is_variant(subtag) and not in_extension):
            if subtag in seen or (singleton and len(before) == 1):
                return False
            seen.add(subtag)
        in_extension = in_extension or singleton
    return True


def _is_variant(subtag: str) -> bool:
    return len(subtag) >= 5 or (len(subtag) == 4 and subtag[0].isdigit())


_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,80}:[!-~]+")


def is_uri(text: object) -> bool:
    """Whether ``text`` is a URI of any scheme, at most 8192 characters. Source: RFC 3986 §3."""
    return isinstance(text, str) and len(text) <= MAX_URI and _URI.fullmatch(text) is not None


_CID_TEXT = re.compile(r"(?!Qm)[a-zA-Z0-9+=]{8,256}")


def is_cid_syntax(text: object) -> bool:
    """Whether ``text`` could be a CID of any version above 0, codec, hash and base.

    For the lexicon format ``cid``. Links in data are stricter: ``Cid.parse``.
    """
    return isinstance(text, str) and len(text) <= 256 and _CID_TEXT.fullmatch(text) is not None

"""Text from the network made fit for a page: the invisible is shown, the misleading undone.

Rule: every value that a template prints passes through ``harmless`` (the environment's
``finalize``) and is then escaped; a link is made only of what ``https_url`` lets through.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from markupsafe import Markup

from atdata.protocol.views import FieldView

MAX_URL = 2_000
_KEPT = frozenset("\n\t\u200c\u200d")  # line ends, and the joiners that some scripts need
# Kept, but not seen; and letters and a sign that have no ink: fillers of Hangul, Braille's blank.
_UNSEEN = _KEPT | frozenset("\u115f\u1160\u3164\uffa0\u2800")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def harmless(value: Any) -> Any:
    """``value`` without control and format characters: those of ASCII become their symbols (␀ …),
    others (bidirectional overrides, invisible letters) become �."""
    if not isinstance(value, str) or isinstance(value, Markup) or _is_plain(value):
        return value
    return "".join(_visible(char) for char in value)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _visible(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return char
    if char < " ":
        return chr(0x2400 + ord(char))
    return "\u2421" if char == "\x7f" else "\ufffd"


def seen(text: str) -> str:
    """``text``, or that it is blank where nothing of it would be seen."""
    return text if _is_seen(text) else "(blank)"


def named(name: str, uri: str) -> str:
    """How to call a record: by its name; by what its URI ends in where nothing of that is seen."""
    return name if _is_seen(name) else f"(no name) {record_key(uri)}"


def _is_seen(text: str) -> bool:
    """Whether something is left for the eye, and for whoever is read to: letters, digits, signs."""
    shown = harmless(text)
    return any(unicodedata.category(c)[0] in "LNPSC" and c not in _UNSEEN for c in shown)


def https_url(text: str | None) -> str | None:
    """``text`` if it is an https URL that hides nothing: visible ASCII, a host, no credentials."""
    if text is None or len(text) > MAX_URL or not _is_plain(text) or " " in text:
        return None
    try:
        parts = urlsplit(text)
        fine = parts.scheme == "https" and parts.hostname and parts.username is None
    except ValueError:
        return None
    return text if fine else None


def page_url(path: str, **params: object) -> str:
    """A link within the site. None and empty values are left out; tuples are repeated."""
    pairs = {name: value for name, value in params.items() if value not in (None, "", ())}
    return f"{path}?{urlencode(pairs, doseq=True)}" if pairs else path


def thousands(number: int) -> str:
    """1234567 → ``1,234,567``."""
    return f"{number:,}"


def bytes_text(number: int) -> str:
    """Bytes in decimal units: 123456 → ``123 kB``."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1
    return f"{value:,.{digits}f} {_UNITS[unit]}"


def day(timestamp: str | None) -> str:
    """The day of a timestamp of ours; of an author's, what can be read of it."""
    if timestamp is None:
        return "unknown"
    try:
        moment = datetime.fromisoformat(timestamp)
        return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%-d %b %Y}"
    except (ValueError, OverflowError):  # 0001-01-01 at +14:00 is no day in UTC
        return timestamp[:10]


def moment(day: str) -> str:
    """A day as its first moment in UTC; anything else as it is."""
    return f"{day}T00:00:00Z" if _DAY.fullmatch(day) else day


def type_text(field: FieldView) -> str:
    """A field's type in one line: ``float32 [any, 3]``, ``uint8 array``, ``list[str]``, ``int``."""
    if field.kind == "ndarray":
        shape = "array" if field.shape is None else f"[{', '.join(map(_axis, field.shape))}]"
        return f"{field.dtype} {shape}" if field.dtype else shape
    if field.kind == "array":
        return f"list[{field.items}]" if field.items else "list"
    return field.kind


def _axis(length: int | None) -> str:
    return "any" if length is None else str(length)


def record_key(uri: str) -> str:
    """The last part of an AT URI."""
    return uri.rpartition("/")[2]


def account(handle: str | None, did: str) -> str:
    """How to call an author: by a verified handle, otherwise by DID."""
    return did if handle in (None, "handle.invalid") else f"@{handle}"

"""How text becomes search words, the same way for what is indexed and for what is asked.

Any Unicode text gives words or no words, never an error. Accents and case do not count, each Han,
Kana or Thai character is a word of its own, and compounds are found by their parts and as a whole.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

MAX_QUERY_WORDS = 32
MAX_WORD = 64  # characters; longer ones are cut, on both sides alike

_ASCII_WORD = re.compile(r"[0-9a-z]+")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")  # of a text, or of its shape
# Scripts written without spaces: Thai to Lao, Kana, Han and its outer planes.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def normal(text: str) -> str:
    """``text`` without differences of case, accents and compatibility forms."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", _unmarked(apart))


def _unmarked(apart: str) -> str:
    return "".join(char for char in apart if not unicodedata.combining(char))


def query_words(text: str, limit: int = MAX_QUERY_WORDS) -> list[str]:
    """The words that a query asks for, in order, at most ``limit``."""
    return [word[:MAX_WORD] for word in _words(normal(text))][:limit]


def index_words(text: str) -> list[str]:
    """The words under which a text can be found: those of ``query_words``, and for a compound
    (``CIFAR-10``, ``ImageSample``, ``bounding_box``) its parts and their joined whole."""
    return [
        word
        for chunk in text.split()
        for word in (_known_words if len(chunk) <= MAX_WORD else _chunk_words)(chunk)
    ]


def _chunk_words(chunk: str) -> tuple[str, ...]:
    words = list(_words(normal(chunk)))
    found = list(words)
    if len(words) > 1 and not _UNSPACED.search(chunk):
        found.append("".join(words))
    found += (part for part in map(normal, _parts(chunk)) if part not in words)
    return tuple(word[:MAX_WORD] for word in found)


def _parts(chunk: str) -> list[str]:
    """The parts of ``chunk`` that begin with a capital, and numbers; case kept, accents not."""
    if chunk.isascii():
        return _PARTS.findall(chunk)
    bare = _unmarked(unicodedata.normalize("NFKD", chunk))
    shape = "".join(map(_shape, bare))
    return [bare[slice(*part.span())] for part in _PARTS.finditer(shape)]


def _shape(char: str) -> str:
    """A letter that stands for all of the same case, a digit itself; a blank for anything else."""
    if char.isupper():
        return "A"
    return "a" if char.islower() else char if char.isascii() and char.isdigit() else " "


_known_words = lru_cache(maxsize=50_000)(_chunk_words)


def exact_form(text: str) -> str:
    """What two names have in common that differ only in case, accents, spacing or punctuation."""
    return " ".join(word[:MAX_WORD] for word in _words(normal(text)))[:500]


def whole_form(text: str) -> str:
    """What two names have in common that differ only in case and blanks; quotes say nothing."""
    apart = unicodedata.normalize("NFKC", text.casefold()).replace('"', " ")
    return " ".join(apart.split())[:500].encode("utf-8", "replace").decode()


def _words(text: str) -> Iterator[str]:
    if text.isascii():
        yield from _ASCII_WORD.findall(text)
        return
    start = None
    for at, char in enumerate(text):
        kind = unicodedata.category(char)
        alone = kind == "So" or _UNSPACED.match(char) is not None
        inside = kind[0] in "LNM" and not alone
        if not inside and start is not None:
            yield text[start:at]
            start = None
        if alone and kind[0] in "LNS":
            yield char
        elif inside and start is None:
            start = at
    if start is not None:
        yield text[start:]

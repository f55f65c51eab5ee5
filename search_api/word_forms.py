"""Other forms of a word: singular and plural, with -ing or -ed; of English and of its Latin. Pure.

Rule: this only proposes. A form that no dataset has finds nothing, so that a wrong guess costs
nothing; and two forms of one word propose each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

LEAST = 3  # letters of what endings are put to
_ROOT = 4  # letters that are left without -ing, -ed, -al, or a Latin ending
_WORD = re.compile(r"[a-z]{3,40}")
_HISSING = ("s", "x", "z", "ch", "sh")
_VOWELS = "aeiou"
# Endings of the singular and the plural: automaton, spectrum, analysis, vertex, matrix, larva.
_LATIN = (
    *(("on", "a"), ("um", "a"), ("is", "es"), ("ex", "ices"), ("ix", "ices")),
    *(("a", "ae"), ("us", "i")),
)


@lru_cache(maxsize=10_000)
def forms(word: str) -> tuple[str, ...]:
    """The other forms of ``word`` (lower case), without repeats; none of what is no word in ASCII
    letters."""
    if _WORD.fullmatch(word) is None:
        return ()
    found = dict.fromkeys(form for base in _bases(word) for form in _inflected(base))
    found.pop(word, None)
    return tuple(found)


@lru_cache(maxsize=10_000)
def roots(word: str) -> tuple[str, ...]:
    """Nouns that an adjective or adverb is made of (musical, hourly), in all their forms; for words
    that nobody uses, since "signal" is nothing like "sign"."""
    found: dict[str, None] = {}
    for ending in ("al", "ly"):
        if _WORD.fullmatch(word) and word.endswith(ending) and len(word) >= _ROOT + len(ending):
            root = word.removesuffix(ending)
            found |= dict.fromkeys((root, *forms(root)))
    return tuple(found)


def _bases(word: str) -> dict[str, None]:
    """What ``word`` may be a form of, itself among it."""
    singular = dict.fromkeys((word, *_singulars(word)))
    return singular | dict.fromkeys(base for one in singular for base in _without_ending(one))


def _singulars(word: str) -> Iterator[str]:
    if word.endswith("ies") and len(word) > LEAST + 2:
        yield word[:-3] + "y"
    if word.endswith("es") and word[:-2].endswith(_HISSING) and len(word) >= LEAST + 2:
        yield word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > LEAST:
        yield word[:-1]
    for one, many in _LATIN:
        if word.endswith(many) and len(word) >= _ROOT + len(many):
            yield word.removesuffix(many) + one


def _without_ending(word: str) -> Iterator[str]:
    """``sampling`` → sampl, sample; ``mapping`` → mapp, map."""
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root == word or len(root) < LEAST or not any(letter in _VOWELS for letter in root):
            continue
        if len(root) > LEAST and root[-1] == root[-2]:
            yield root[:-1]
        if len(root) >= _ROOT:
            yield root
        yield root + "e"


def _inflected(base: str) -> Iterator[str]:
    yield base
    if base.endswith("y") and base[-2] not in _VOWELS:
        yield base[:-1] + "ies"
    else:
        yield base + ("es" if base.endswith(_HISSING) else "s")
    for one, many in _LATIN:
        if base.endswith(one) and len(base) >= _ROOT + len(one):
            yield base.removesuffix(one) + many
    short = base.removesuffix("e")
    for stem in (short, base + base[-1]) if _doubles(base) else (short,):
        yield from (stem + "ing", stem + "ings", stem + "ed")


def _doubles(base: str) -> bool:
    """``map`` → mapping: a vowel between two consonants at the end of a short word."""
    return (
        len(base) <= LEAST + 1
        and base[-1] not in _VOWELS + "wxy"
        and base[-2] in _VOWELS
        and base[-3] not in _VOWELS
    )

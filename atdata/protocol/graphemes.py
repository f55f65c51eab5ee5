"""Counting user-perceived characters, for the lexicon limits ``minGraphemes`` and ``maxGraphemes``.

Rule: the count is that of Unicode extended grapheme clusters for ordinary text in any script, flags
and emoji sequences. It is an approximation: combining marks are told by their general category,
pictographs by block; prepended marks and Indic conjuncts (GB9b, GB9c) are counted apart.
Source: https://unicode.org/reports/tr29/#Grapheme_Cluster_Boundary_Rules.
"""

from __future__ import annotations

import unicodedata

_JOINER = "\u200d"
_NON_JOINER = "\u200c"
_MARKS = frozenset({"Mn", "Mc", "Me"})
_CONTROLS = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


def count(text: str) -> int:
    """The number of grapheme clusters of ``text``; never more than its code points."""
    if text.isascii():
        return len(text) - text.count("\r\n")
    clusters = 0
    previous = ""
    flags = 0  # regional indicators directly before this character
    pictograph = False  # whether this cluster began with a pictograph
    for char in text:
        joined = previous != "" and (
            _attaches(previous, char)
            or (_is_flag(char) and flags % 2 == 1)
            or (pictograph and previous == _JOINER and _is_pictograph(char))
        )
        if not joined:
            clusters += 1
            pictograph = _is_pictograph(char)
        flags = flags + 1 if _is_flag(char) else 0
        previous = char
    return clusters


def _attaches(before: str, char: str) -> bool:
    """Whether ``char`` belongs to ``before`` by the two alone."""
    if before == "\r":
        return char == "\n"
    if _is_control(before):
        return False
    return _extends(char) or _is_hangul_pair(before, char)


def _extends(char: str) -> bool:
    if char < "\u0300":
        return False
    point = ord(char)
    return (
        unicodedata.category(char) in _MARKS
        or char in {_JOINER, _NON_JOINER}
        or 0x1F3FB <= point <= 0x1F3FF  # skin tones
        or 0xE0020 <= point <= 0xE007F  # tags, as in the flags of regions
    )


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in _CONTROLS and not _extends(char)


def _is_flag(char: str) -> bool:
    return 0x1F1E6 <= ord(char) <= 0x1F1FF


def _is_pictograph(char: str) -> bool:
    point = ord(char)
    if point < 0x2000:
        return point in {0xA9, 0xAE}
    return 0x1F000 <= point <= 0x1FAFF or (
        point < 0x3300 and unicodedata.category(char) in {"So", "Sm", "Po"}
    )


def _is_hangul_pair(before: str, char: str) -> bool:
    """Korean syllables written as separate letters: leading, vowel, trailing."""
    if not (0x1100 <= ord(before) <= 0xD7FB and 0x1100 <= ord(char) <= 0xD7FB):
        return False
    first, second = _hangul(ord(before)), _hangul(ord(char))
    if first == "L":
        return second in {"L", "V", "S"}
    if second == "V":
        return first == "V" or (first == "S" and (ord(before) - 0xAC00) % 28 == 0)
    return second == "T" and first in {"V", "T", "S"}


def _hangul(point: int) -> str:
    """L, V, T for a letter; S for a composed syllable; nothing for other characters."""
    if 0x1100 <= point <= 0x115F or 0xA960 <= point <= 0xA97C:
        return "L"
    if 0x1160 <= point <= 0x11A7 or 0xD7B0 <= point <= 0xD7C6:
        return "V"
    if 0x11A8 <= point <= 0x11FF or 0xD7CB <= point <= 0xD7FB:
        return "T"
    return "S" if 0xAC00 <= point <= 0xD7A3 else ""

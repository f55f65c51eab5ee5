"""Counting what a reader sees as one character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol import graphemes

COUNTS = {
    "": 0,
    "abc": 3,
    "a\r\nb": 3,
    "a\n\rb": 4,
    "é": 1,
    "e\u0301": 1,
    "e\u0301\u0302x": 2,
    "\u0301": 1,
    "\n\u0301": 2,  # nothing attaches to a control character
    "각": 1,
    "\u1100\u1161\u11a8": 1,  # the same, letter by letter
    "\uac00\u11a8": 1,
    "\uac01\u1161": 2,
    "한국": 2,
    "नि": 1,
    "ก็": 1,
    "日本語": 3,
    "👍🏽": 1,
    "1️⃣": 1,
    "👨‍👩‍👧‍👧": 1,
    "👨👩": 2,
    "🏳️‍🌈": 1,
    "❤️‍🔥": 1,
    "a\u200db": 2,  # a joiner joins pictographs only
    "a\u200d👨": 2,
    "🇩🇪": 1,
    "🇩🇪🇫🇷": 2,
    "🇩🇪🇫": 2,
    "🇩x🇪": 3,
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f": 1,
    "\ud800": 1,
}


@pytest.mark.parametrize(("text", "count"), COUNTS.items(), ids=map(ascii, COUNTS))
def test_count(text: str, count: int) -> None:
    assert graphemes.count(text) == count


@given(st.text())
def test_never_more_than_code_points(text: str) -> None:
    assert min(1, len(text)) <= graphemes.count(text) <= len(text)


@given(st.text(st.characters(codec="ascii")))
def test_ascii_is_counted_alike_with_and_without_the_short_cut(text: str) -> None:
    assert graphemes.count(text + " ñ") == graphemes.count(text) + 2

"""JSON from the network: what is read, and what is refused before it can do harm."""

from __future__ import annotations

import pytest

from atdata.network.strict_json import MAX_DEPTH, parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        (' {"a": [1, -2.5, true, "ü\\u00fc\\ud83d\\ude00"]}\n', {"a": [1, -2.5, True, "üü😀"]}),
        ('"' + "[" * 100 + '"', "[" * 100),
        ('["\\"' + "{" * 100 + '"]', ['"' + "{" * 100]),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
        ("[" + ",".join(["[]"] * 1000) + "]", [[]] * 1000),
    ],
)
def test_read(text: str, value: object) -> None:
    parsed = parse_json(text.encode())
    assert value is None or parsed == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nul",
        b"'a'",
        b"{} {}",
        b"\xff\xfe",
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\uDC00": 1}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1" * 10_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * 100_000,
        b'"\\"' * 500_000,
        b'["' + b'\\"' * 500_000 + b"[" * 100,
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(data)

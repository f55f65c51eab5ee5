"""Brace patterns: what they stand for, and that no pattern costs more than it may."""

from __future__ import annotations

import tracemalloc

import pytest

from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.shard_patterns import MAX_SHARDS, expand


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{000008..000011}", ["a-000008", "a-000009", "a-000010", "a-000011"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{0..8..4}", ["0", "4", "8"]),
        ("{train,val}-{0..1}", ["train-0", "train-1", "val-0", "val-1"]),
        ("{a}{}", ["{a}{}"]),
        ("a}b{c", ["a}b{c"]),
    ],
)
def test_brace_patterns(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


@pytest.mark.parametrize(
    "pattern",
    [
        "{0..99999999999999999}",
        "{0..9999}{0..9999}",
        "{0..9}" * 40,
        "{0..199999}{0..1}" * 100,
        "{0..5..0}",
        "{" + "," * (MAX_SHARDS + 1) + "}",
    ],
)
def test_patterns_without_measure_are_refused_before_they_are_expanded(pattern: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidSyntax):
            expand(pattern)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()

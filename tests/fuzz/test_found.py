"""Inputs that the fuzzer once found, or that are of the kind that it looks for."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.checks import check
from tests.fuzz.mutations import damaged, restated
from tests.fuzz.seeds import nested, seeds

FOUND = sorted((Path(__file__).parent / "found").iterdir())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_once_broke_a_check_breaks_none(path: Path) -> None:
    check(path.read_bytes())


def test_the_seeds_break_no_check() -> None:
    count = 0
    for seed in seeds():
        check(seed)
        count += 1
    assert count > 500


@pytest.mark.parametrize("seed", range(2))
def test_mutations_of_the_seeds_break_no_check(seed: int) -> None:
    rng, start = Random(seed), list(seeds())
    for _ in range(400):
        frame = restated(rng, rng.choice(start))
        check(frame)
        check(damaged(rng, frame, start))


@pytest.mark.parametrize("depth", [10, 1_000, 100_000])
def test_nesting_breaks_no_check(depth: int) -> None:
    check(nested(depth))
    check(b"\x81" * depth)

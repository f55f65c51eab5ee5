"""One run of the fuzzer, until its time is over or an input breaks a check. Run by ``__main__``.

Arguments are libFuzzer's. Coverage is that of our own modules: what they import is native code or
not ours.
"""

from __future__ import annotations

import sys
from random import Random

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports(include=["atdata.protocol", "indexer"]):
    from tests.fuzz.checks import check
    from tests.fuzz.mutations import restated


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's own, or a change within the structure, which its own would seldom get right."""
    rng = Random(seed)
    if rng.random() < 0.5:
        changed = restated(rng, data)
        if changed != data and len(changed) <= max_size:
            return changed
    return bytes(atheris.Mutate(data, max_size))


def main() -> None:
    atheris.Setup(sys.argv, check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

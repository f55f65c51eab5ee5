"""The benchmarks of the library, one after the other: reading shards, and downloading them.

python -m tests.bench.library
"""

from __future__ import annotations

from tests.bench import download, samples
from tests.bench.goals import Goals


def main() -> None:
    """Downloads first: ``samples`` then stays on one core. Exits with 1 if a goal was missed."""
    goals = Goals()
    download.main([], goals)
    samples.main([], goals)
    goals.end()


if __name__ == "__main__":
    main()

"""The benchmarks of the library, one after the other: reading shards, and downloading them.

python -m tests.bench.library
"""

from __future__ import annotations

from tests.bench import download, samples


def main() -> None:
    """Downloads first: ``samples`` then stays on one core."""
    download.main([])
    samples.main([])


if __name__ == "__main__":
    main()

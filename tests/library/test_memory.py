"""Memory stays flat in the size of a shard, from wherever it comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.download import peak_of

MEGABYTES = 300


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("kind", ["BlobSource", "URLSource"])
def test_a_large_shard_streams_in_a_fraction_of_its_size(kind: str) -> None:
    assert peak_of(MEGABYTES, kind) < 150_000_000

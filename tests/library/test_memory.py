"""Memory stays flat in the size of a shard, from wherever it comes."""

from __future__ import annotations

import pytest

from tests.bench.download import peak_of

MEGABYTES = 300


@pytest.mark.parametrize("kind", ["BlobSource", "URLSource"])
def test_a_large_shard_streams_in_a_fraction_of_its_size(kind: str) -> None:
    assert peak_of(MEGABYTES, kind) < 200_000_000

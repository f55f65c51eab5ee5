"""Small real shards for tests of datasets and sources."""

from __future__ import annotations

import io

import numpy as np
import webdataset
from numpy.typing import NDArray

import atdata


@atdata.packable
class Feature:
    features: NDArray[np.float32]
    label: int


def features(start: int, count: int) -> list[Feature]:
    """Samples whose values say which they are."""
    return [Feature(np.full(4, i, np.float32), i) for i in range(start, start + count)]


def shard(samples: list[Feature]) -> bytes:
    """A tar as the specification's example writes it."""
    out = io.BytesIO()
    with webdataset.writer.TarWriter(out) as sink:
        for i, sample in enumerate(samples):
            sink.write({**sample.as_wds, "__key__": f"{i:06d}"})
    return out.getvalue()

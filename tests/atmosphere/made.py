"""Samples, and the shards that hold them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import webdataset as wds
from numpy.typing import NDArray

import atdata


@atdata.packable
class Feature:
    features: NDArray
    label: int
    source: str


def features(count: int) -> list[Feature]:
    rng = np.random.default_rng(7)
    return [
        Feature(features=rng.standard_normal(16).astype(np.float32), label=i % 10, source="made")
        for i in range(count)
    ]


def tar_of(samples: Iterable[Any], first: int = 0) -> bytes:
    buffer = io.BytesIO()
    with wds.writer.TarWriter(buffer, mtime=0) as sink:
        for i, sample in enumerate(samples, first):
            sink.write({**sample.as_wds, "__key__": f"{i:06d}"})
    return buffer.getvalue()

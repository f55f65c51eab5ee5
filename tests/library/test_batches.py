"""Batches: one array a field, each item copied once; samples stay what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata import Dataset
from atdata.batches import LARGE
from tests.library.test_reading import tar


@atdata.packable
class Picture:
    image: NDArray[np.uint8]
    label: int


@atdata.packable
class Copy:
    image: NDArray[np.uint8]


KEPT: list[np.ndarray] = []


@atdata.lens
def keeping(src: Picture) -> Copy:
    KEPT.append(src.image)
    return Copy(src.image)


def written(path: Path, samples: list[Picture]) -> Path:
    members = [(f"{i:06d}.msgpack", sample.packed) for i, sample in enumerate(samples)]
    path.write_bytes(tar(members))
    return path


def picture(label: int, size: int = LARGE) -> Picture:
    return Picture(np.full(size, label % 256, np.uint8), label)


@pytest.mark.parametrize("size", [8, LARGE])
def test_small_and_large_arrays_come_out_alike(tmp_path: Path, size: int) -> None:
    samples = [picture(i, size) for i in range(10)]
    dataset = Dataset[Picture](written(tmp_path / "a.tar", samples))
    batches = list(dataset.ordered(batch_size=4))
    assert [batch.image.shape for batch in batches] == [(4, size), (4, size), (2, size)]
    assert [batch.image[:, -1].tolist() for batch in batches] == [batch.label for batch in batches]
    assert [sample for batch in batches for sample in batch] == samples
    assert all(batch.image.flags.writeable for batch in batches)
    assert not any(sample.image.flags.writeable for batch in batches for sample in batch)


def test_a_large_array_is_in_memory_once(tmp_path: Path) -> None:
    dataset = Dataset[Picture](written(tmp_path / "a.tar", [picture(i) for i in range(4)]))
    (batch,) = dataset.ordered(batch_size=4)
    assert all(np.shares_memory(batch.image[i], batch.samples[i].image) for i in range(4))


@pytest.mark.parametrize("odd", [0, 2, 3])
def test_large_arrays_that_differ_stay_a_list(tmp_path: Path, odd: int) -> None:
    samples = [picture(i, LARGE + (i == odd)) for i in range(4)]
    dataset = Dataset[Picture](written(tmp_path / "a.tar", samples))
    (batch,) = dataset.ordered(batch_size=4)
    assert isinstance(batch.image, list)
    assert list(batch) == samples


def test_a_batch_larger_than_the_dataset(tmp_path: Path) -> None:
    dataset = Dataset[Picture](written(tmp_path / "a.tar", [picture(i) for i in range(3)]))
    (batch,) = dataset.ordered(batch_size=10**12)
    assert batch.image.shape == (3, LARGE)


def test_what_a_lens_has_made_is_left_alone(tmp_path: Path) -> None:
    dataset = Dataset[Picture](written(tmp_path / "a.tar", [picture(i) for i in range(3)]))
    KEPT.clear()
    (batch,) = dataset.as_type(Copy).ordered(batch_size=3)
    assert [sample.image is kept for sample, kept in zip(batch, KEPT, strict=True)] == [True] * 3
    assert batch.image.shape == (3, LARGE)

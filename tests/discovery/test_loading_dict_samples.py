"""Samples without a type: the dataset's schema says which of their bytes are arrays."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import ormsgpack
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample
from tests.discovery.host import Host
from tests.library.test_ndarray import compact
from tests.library.test_reading import tar

ONE, TWO = np.arange(3, dtype=np.float32), np.ones((2, 2), np.uint8)


@atdata.packable
class Crops:
    image: NDArray[np.float32]
    crops: list[NDArray[np.uint8]]
    mask: NDArray | None
    raw: bytes


BODY = ormsgpack.packb(
    {"image": compact(ONE), "crops": [compact(TWO)], "mask": None, "raw": compact(TWO)}
)
SHARD = tar([("0.msgpack", BODY), ("1.msgpack", ormsgpack.packb({"image": b"\x03?"}))])


def check(dataset: Dataset[DictSample]) -> None:
    first, odd = dataset
    np.testing.assert_array_equal(first.image, ONE, strict=True)
    np.testing.assert_array_equal(first.crops[0], TWO, strict=True)
    assert first.mask is None
    assert first.raw == compact(TWO)  # which the schema calls bytes
    assert odd.image == b"\x03?"  # which is no array, whatever the schema says


def test_arrays_in_the_compact_encoding_show_as_arrays(host: Host, library: Path) -> None:
    uri = host.dataset(host.schema(Crops), [SHARD])
    loaded = atdata.load_dataset(uri, DictSample)
    check(loaded)
    check(pickle.loads(pickle.dumps(loaded)))
    atdata.pull(uri)
    check(atdata.load_dataset(uri, DictSample))
    (named, _) = loaded.wds()
    np.testing.assert_array_equal(named["image"], ONE, strict=True)


def test_for_shards_without_a_record_the_fields_are_named(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(SHARD)
    check(Dataset(tmp_path / "0.tar", arrays=["image", "crops"]))
    first, _ = Dataset(tmp_path / "0.tar")
    assert first.image == compact(ONE)

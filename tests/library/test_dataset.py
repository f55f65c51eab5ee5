"""Datasets over real shards: order, batches, shuffling, types, and errors that say where."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import IO

import numpy as np
import ormsgpack
import pytest
import webdataset

import atdata
from atdata import Dataset, DictSample, LocalSource
from atdata.index import DataSource
from atdata.protocol.errors import InvalidSample, InvalidShard, TypeMismatch, UnsupportedType
from tests.library.shards import Feature, features, shard


@atdata.packable
class Label:
    label: int


@atdata.lens
def only_label(src: Feature) -> Label:
    return Label(src.label)


@pytest.fixture
def pattern(tmp_path: Path) -> str:
    """Thirty samples in three shards, as the pattern that names them."""
    for i in range(3):
        (tmp_path / f"data-{i:06d}.tar").write_bytes(shard(features(10 * i, 10)))
    return str(tmp_path / "data-{000000..000002}.tar")


def labels(samples: object) -> list[int]:
    return [sample.label for sample in samples]  # type: ignore[attr-defined]


def test_samples_come_in_order_as_they_were_written(pattern: str) -> None:
    dataset = Dataset[Feature](pattern)
    assert list(dataset.ordered()) == features(0, 30)
    assert list(dataset) == list(dataset)  # each iteration starts anew
    assert dataset.sample_type is Feature
    assert dataset.url == pattern
    assert len(dataset.list_shards()) == 3


def test_batches_stack_arrays_and_keep_the_rest_that_is_left(pattern: str) -> None:
    batches = list(Dataset[Feature](pattern).ordered(batch_size=8))
    assert [batch.features.shape for batch in batches] == [(8, 4), (8, 4), (8, 4), (6, 4)]
    assert [label for batch in batches for label in batch.label] == list(range(30))


@pytest.mark.parametrize("buffer_size", [1, 7, 1000])
def test_shuffling_loses_nothing_and_repeats_with_its_seed(pattern: str, buffer_size: int) -> None:
    dataset = Dataset[Feature](pattern)
    once = labels(dataset.shuffled(buffer_size, seed=1))
    assert sorted(once) == list(range(30))
    assert once == labels(dataset.shuffled(buffer_size, seed=1))
    assert any(once != labels(dataset.shuffled(buffer_size, seed=seed)) for seed in range(2, 9))
    batches = dataset.shuffled(buffer_size, batch_size=8, seed=1)
    assert [label for batch in batches for label in batch.label] == once


def test_a_batch_or_buffer_of_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        Dataset[Feature](pattern).ordered(batch_size=0)
    with pytest.raises(ValueError, match="buffer_size"):
        Dataset[Feature](pattern).shuffled(0)


# --- types ---------------------------------------------------------------------------------------


def test_without_a_type_samples_show_what_is_there(pattern: str) -> None:
    for dataset in (Dataset(pattern), Dataset[DictSample](pattern)):
        first = next(iter(dataset))
        assert isinstance(first, DictSample)
        assert first.features.tolist() == [0, 0, 0, 0]


def test_a_lens_shows_samples_as_another_type(pattern: str) -> None:
    view = Dataset[Feature](pattern).as_type(Label)
    assert view.sample_type is Label
    assert next(iter(view)) == Label(0)
    assert labels(view.shuffled(5, seed=3)) == labels(Dataset[Feature](pattern).shuffled(5, seed=3))
    assert [len(batch) for batch in view.ordered(batch_size=20)] == [20, 10]


def test_dict_samples_and_types_lead_to_each_other(pattern: str) -> None:
    assert list(Dataset(pattern).as_type(Feature)) == features(0, 30)
    assert next(iter(Dataset[Feature](pattern).as_type(DictSample))).label == 0
    assert next(iter(Dataset(pattern).as_type(Feature).as_type(Label))) == Label(0)
    assert list(Dataset[Feature](pattern).as_type(Feature)) == features(0, 30)


def test_without_a_lens_the_types_are_named(pattern: str) -> None:
    with pytest.raises(TypeMismatch, match="from Label to Feature"):
        Dataset[Label](pattern).as_type(Feature)


@pytest.mark.parametrize("not_a_sample", [int, dict, Path])
def test_what_is_no_sample_type_is_refused_at_once(not_a_sample: type) -> None:
    with pytest.raises(UnsupportedType, match="packable"):
        Dataset[not_a_sample]
    with pytest.raises(UnsupportedType, match="packable"):
        Dataset("data.tar").as_type(not_a_sample)


def test_a_dataset_goes_to_worker_processes(pattern: str) -> None:
    again = pickle.loads(pickle.dumps(Dataset[Feature](pattern)))
    assert again.sample_type is Feature
    assert list(again) == features(0, 30)


# --- sources -------------------------------------------------------------------------------------


class InMemory:
    """A source of one's own; it needs only the protocol."""

    def __init__(self, shards: dict[str, bytes]) -> None:
        self._shards = shards

    def list_shards(self) -> list[str]:
        return list(self._shards)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        return io.BytesIO(self._shards[shard_id])

    @property
    def shards(self) -> object:
        return ((name, self.open_shard(name)) for name in self._shards)


def test_any_source_will_do() -> None:
    source = InMemory({"a": shard(features(0, 2)), "b": shard(features(2, 2))})
    assert isinstance(source, DataSource)
    dataset = Dataset[Feature](source, metadata={"split": "train"})
    assert list(dataset) == features(0, 4)
    assert dataset.source is source
    assert dataset.url is None
    assert dataset.metadata == {"split": "train"}


def test_paths_and_lists_of_them(pattern: str) -> None:
    paths = LocalSource(pattern).list_shards()
    assert list(Dataset[Feature](paths)) == features(0, 30)
    assert list(Dataset[Feature](Path(paths[1]))) == features(10, 10)


# --- upstream readers ----------------------------------------------------------------------------


def test_plain_webdataset_numpy_and_ormsgpack_read_what_is_written(pattern: str) -> None:
    read = webdataset.WebDataset(pattern, shardshuffle=False)
    values = [ormsgpack.unpackb(sample["msgpack"]) for sample in read]
    assert [value["label"] for value in values] == list(range(30))
    array = np.load(io.BytesIO(values[7]["features"]), allow_pickle=False)
    np.testing.assert_array_equal(array, np.full(4, 7, np.float32), strict=True)


# --- errors that say where -----------------------------------------------------------------------


def test_a_broken_sample_names_shard_member_and_byte() -> None:
    samples = [features(0, 1)[0].as_wds, {"msgpack": b"\xc1"}, features(2, 1)[0].as_wds]
    out = io.BytesIO()
    with webdataset.writer.TarWriter(out, mtime=0) as sink:
        for i, sample in enumerate(samples):
            sink.write({**sample, "__key__": f"{i:06d}"})
    reading = iter(Dataset[Feature](InMemory({"broken.tar": out.getvalue()})))
    assert next(reading).label == 0
    with pytest.raises(InvalidSample) as caught:
        next(reading)
    error = caught.value
    assert (error.shard, error.member) == ("broken.tar", "000001.msgpack")
    assert error.offset is not None
    assert out.getvalue()[error.offset :].startswith(b"000001.msgpack\0")


def test_samples_of_another_type_name_the_field() -> None:
    with pytest.raises(InvalidSample, match=r"shard 's', member '000000\.msgpack'.*Label has no"):
        next(iter(Dataset[Label](InMemory({"s": shard(features(0, 1))}))))


def test_a_shard_cut_short_yields_what_was_whole_and_then_fails() -> None:
    data = shard(features(0, 10))
    got: list[Feature] = []
    with pytest.raises(InvalidShard, match=r"s\.tar"):
        got.extend(Dataset[Feature](InMemory({"s.tar": data[: len(data) // 2]})))
    assert got == features(0, len(got))
    assert len(got) in range(3, 8)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tar"):
        list(Dataset[Feature]("/nowhere.tar"))

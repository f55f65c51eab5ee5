"""Streams for training: nothing twice, nothing lost, the same order again, and on from anywhere."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import sys
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample, URLSource, configure, settings
from atdata.batches import LARGE
from atdata.protocol.errors import MissingExtra
from atdata.schema import schema_of, type_of
from atdata.streams import Stream
from tests.library.shards import Feature, features, shard
from tests.library.test_dataset import Label
from tests.library.test_reading import tar
from tests.library.torch_stand_in import IterableDataset, WorkerInfo, modules
from tests.network.local_server import LocalServer, content

SHARDS, EACH = 7, 5


@atdata.packable
class Ragged:
    image: NDArray[np.uint8]
    crops: list[NDArray[np.uint8]]


@atdata.packable
class Counted:
    samples: int
    keys: str


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset[Feature]:
    for i in range(SHARDS):
        (tmp_path / f"{i}.tar").write_bytes(shard(features(EACH * i, EACH)))
    return Dataset[Feature](str(tmp_path / f"{{0..{SHARDS - 1}}}.tar"))


def place(number: int, count: int) -> tuple[int, int]:
    return number, count


def labels(stream: Any) -> list[int]:
    found: list[int] = []
    for item in stream:
        found += item["label"] if isinstance(item["label"], list) else [item["label"]]
    return found


EVERYTHING = list(range(SHARDS * EACH))


# --- what comes out ------------------------------------------------------------------------------


def test_samples_and_batches_are_plain_fields_with_arrays_of_their_own(
    dataset: Dataset[Feature],
) -> None:
    first = next(iter(Stream(dataset)))
    assert list(first) == ["features", "label"]
    first["features"][0] = 7  # to be written to, as PyTorch wants it
    sizes = [batch["features"].shape for batch in Stream(dataset, batch_size=16)]
    assert sizes == [(16, 4), (16, 4), (3, 4)]
    assert len(list(Stream(dataset, batch_size=16, drop_last=True))) == 2


@pytest.mark.parametrize("size", [4, LARGE])
@pytest.mark.parametrize("kind", [Ragged, DictSample])
def test_arrays_that_differ_in_shape_can_be_written_to(
    tmp_path: Path, kind: type, size: int
) -> None:
    samples = [Ragged(np.zeros(size + i, np.uint8), [np.ones(1, np.uint8)]) for i in range(4)]
    members = [(f"{i}.msgpack", sample.packed) for i, sample in enumerate(samples)]
    (tmp_path / "0.tar").write_bytes(tar(members))
    dataset = Dataset[kind](tmp_path / "0.tar")  # type: ignore[valid-type]
    (batch,) = Stream(dataset, batch_size=4)
    assert [array.shape for array in batch["image"]] == [(size + i,) for i in range(4)]
    assert all(array.flags.writeable for array in batch["image"])
    assert all(array.flags.writeable for crops in batch["crops"] for array in crops)


@pytest.mark.parametrize("kind", [Counted, DictSample])
def test_a_field_may_be_called_samples(tmp_path: Path, kind: type) -> None:
    members = [(f"{i}.msgpack", Counted(i, "a").packed) for i in range(3)]
    (tmp_path / "0.tar").write_bytes(tar(members))
    stream = Stream(Dataset[kind](tmp_path / "0.tar"), batch_size=2)  # type: ignore[valid-type]
    assert [batch["samples"] for batch in stream] == [[0, 1], [2]]
    assert [list(batch) for batch in stream] == [["samples", "keys"]] * 2


def test_lenses_and_samples_without_a_type_stream_too(dataset: Dataset[Feature]) -> None:
    assert labels(Stream(dataset.as_type(Label), batch_size=8)) == EVERYTHING
    untyped = Dataset(dataset.url or "")
    assert labels(Stream(untyped, batch_size=8)) == EVERYTHING


# --- who gets what -------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [0, 6])
@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 1), (1, 3), (2, 2), (3, 4)])
def test_ranks_and_workers_share_the_samples_out(
    dataset: Dataset[Feature], ranks: int, workers: int, shuffle: int
) -> None:
    seen: list[int] = []
    for rank in range(ranks):
        for number in range(workers):
            worker = partial(place, number, workers)
            seen += labels(Stream(dataset, shuffle=shuffle, worker=worker).shard(rank, ranks))
    assert sorted(seen) == EVERYTHING


def test_one_seed_is_one_order_and_every_epoch_another(dataset: Dataset[Feature]) -> None:
    one, two = (Stream(dataset, shuffle=10, seed=3) for _ in range(2))
    epochs = [labels(one) for _ in range(3)]
    assert epochs == [labels(two) for _ in range(3)]
    assert all(sorted(epoch) == EVERYTHING for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != labels(Stream(dataset, shuffle=10, seed=4))
    one.set_epoch(1)
    assert labels(one) == epochs[1]


def test_an_epoch_that_was_left_begins_anew(dataset: Dataset[Feature]) -> None:
    stream = Stream(dataset, shuffle=10, seed=3)
    iterator = iter(stream)
    begun = [next(iterator)["label"] for _ in range(4)]
    assert labels(stream)[:4] == begun


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"shuffle": -1}])
def test_sizes_that_make_no_sense(dataset: Dataset[Feature], options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        Stream(dataset, **options)
    with pytest.raises(ValueError, match="rank"):
        Stream(dataset).shard(2, 2)


# --- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 1, 4])
@pytest.mark.parametrize("shuffle", [0, 1, 6, 1000])
def test_from_every_position_comes_what_would_have_come(
    dataset: Dataset[Feature], shuffle: int, batch_size: int | None
) -> None:
    def stream() -> Stream:
        return Stream(dataset, shuffle=shuffle, seed=5, batch_size=batch_size).shard(1, 2)

    whole = stream()
    whole.set_epoch(2)
    states, items = [], []
    for item in whole:
        items.append(item["label"])
        states.append(json.loads(json.dumps(whole.state_dict())))
    for number, state in enumerate(states):
        again = stream()
        again.load_state_dict(state)
        assert [item["label"] for item in again] == items[number + 1 :]
        assert labels(again) == labels(whole)  # and the epoch after it
        whole.set_epoch(3)


def test_shards_that_lie_behind_are_not_opened_again(dataset: Dataset[Feature]) -> None:
    stream = Stream(dataset)
    for item in stream:
        if item["label"] == 3 * EACH + 1:
            break
    state = stream.state_dict()
    for path in dataset.list_shards()[:3]:
        Path(path).unlink()
    stream.load_state_dict(state)
    assert labels(stream) == EVERYTHING[3 * EACH + 2 :]


def test_a_position_in_something_else_is_refused(dataset: Dataset[Feature]) -> None:
    state = Stream(dataset, shuffle=4).state_dict()
    others = [
        Stream(dataset, shuffle=5),
        Stream(dataset, shuffle=4, seed=1),
        Stream(dataset, shuffle=4).shard(0, 2),
        Stream(Dataset[Feature](dataset.list_shards()[:2]), shuffle=4),
    ]
    for other in others:
        with pytest.raises(ValueError, match="another dataset, seed"):
            other.load_state_dict(state)


# --- processes -----------------------------------------------------------------------------------


def labels_of(stream: Stream, number: int, count: int) -> list[int]:
    """In a worker process, which gets the stream as a pickle."""
    stream._worker = partial(place, number, count)
    return labels(stream)


def test_spawned_workers_read_types_that_no_module_holds(dataset: Dataset[Feature]) -> None:
    made = type_of(schema_of(Feature))
    stream = Stream(Dataset[made](dataset.list_shards()), shuffle=4)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.starmap(labels_of, [(stream, 0, 2), (stream, 1, 2)])
    assert sorted(parts[0] + parts[1]) == EVERYTHING
    assert parts[0]
    assert parts[1]


def test_pickles_keep_the_type_the_lens_and_the_position(dataset: Dataset[Feature]) -> None:
    made = type_of(schema_of(Feature))
    assert pickle.loads(pickle.dumps(made)) is made
    assert pickle.loads(pickle.dumps(Dataset[made](dataset.list_shards()))).sample_type is made
    view = pickle.loads(pickle.dumps(dataset.as_type(Label)))
    assert view.sample_type is Label
    assert [sample.label for sample in view] == EVERYTHING


def read_all(dataset: Dataset[Feature], answer: Connection) -> None:
    """In a process that has been started anew, which knows of nothing but the dataset."""
    answer.send([sample.label for sample in dataset])


def test_a_process_that_is_started_anew_has_the_settings_of_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings._Holder, "current", None)
    configure(dev=True)  # which the environment does not say
    ours, theirs = multiprocessing.Pipe()
    with LocalServer({"/0.tar": content(shard(features(0, 3)))}) as server:
        dataset = Dataset[Feature](f"{server.url}/0.tar")
        process = multiprocessing.get_context("spawn").Process(
            target=read_all, args=(dataset, theirs)
        )
        process.start()
        theirs.close()
        assert ours.recv() == [0, 1, 2]
        process.join()


def test_a_pickle_holds_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings._Holder, "current", None)
    configure(dev=True)
    pickled = pickle.dumps(URLSource("https://example.org/0.tar"))
    monkeypatch.setattr(settings._Holder, "current", None)
    pickle.loads(pickled)
    assert settings._Holder.current is None


# --- PyTorch, or what stands in for it ------------------------------------------------------------


def test_without_pytorch_the_error_says_what_to_install(
    dataset: Dataset[Feature], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.data", None)
    with pytest.raises(MissingExtra, match="pip install torch"):
        dataset.torch()
    assert labels(Stream(dataset)) == EVERYTHING


def test_a_data_loader_sees_an_iterable_dataset_and_its_workers_their_part(
    dataset: Dataset[Feature], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, module in modules(None, (1, 2)).items():
        monkeypatch.setitem(sys.modules, name, module)
    stream = dataset.torch(batch_size=4, shuffle=6, seed=1)
    assert isinstance(stream, IterableDataset)
    expected = Stream(dataset, shuffle=6, seed=1).shard(1, 2)
    assert stream.list_shards() == expected.list_shards()
    whole = sorted(labels(expected))
    seen: list[int] = []
    for number in range(2):
        copy = pickle.loads(pickle.dumps(stream))
        assert isinstance(copy, IterableDataset)
        for name, module in modules(WorkerInfo(number, 2), None).items():
            monkeypatch.setitem(sys.modules, name, module)
        seen += labels(copy)
    assert sorted(seen) == whole

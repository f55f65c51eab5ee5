"""Streams in a real ``DataLoader``: in the process, in forks, and in processes started anew.

Runs where PyTorch is installed (``pip install torch``); elsewhere it is not collected.
"""

from __future__ import annotations

import json
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.utils.data import DataLoader

from atdata import Dataset, configure, settings
from atdata.streams import Stream
from tests.library.shards import Feature, features, shard
from tests.network.local_server import LocalServer, content

SHARDS, EACH = 7, 5
EVERYTHING = list(range(SHARDS * EACH))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset[Feature]:
    for i in range(SHARDS):
        (tmp_path / f"{i}.tar").write_bytes(shard(features(EACH * i, EACH)))
    return Dataset[Feature](str(tmp_path / f"{{0..{SHARDS - 1}}}.tar"))


def loader(stream: Stream, workers: int = 0, start: str | None = None, **more: Any) -> Any:
    options = {"batch_size": None, "num_workers": workers, "multiprocessing_context": start}
    return DataLoader(stream, **{**options, **more})


def labels(items: Any) -> list[int]:
    found: list[int] = []
    for item in items:
        label = item["label"]
        found += label if isinstance(label, list) else torch.as_tensor(label).reshape(-1).tolist()
    return found


# --- what comes out ------------------------------------------------------------------------------


def test_arrays_come_as_tensors_that_can_be_written_to(dataset: Dataset[Feature]) -> None:
    batch = next(iter(loader(dataset.torch(batch_size=4))))
    assert batch["features"].dtype is torch.float32
    assert batch["features"].shape == (4, 4)
    assert batch["label"] == [0, 1, 2, 3]
    batch["features"] += 1


def test_samples_can_be_put_together_by_the_loader(dataset: Dataset[Feature]) -> None:
    batch = next(iter(loader(dataset.torch(), batch_size=4)))
    assert batch["features"].shape == (4, 4)
    assert batch["label"].tolist() == [0, 1, 2, 3]


# --- workers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_workers_share_the_samples_in_an_order_that_repeats(
    dataset: Dataset[Feature], start: str
) -> None:
    stream = dataset.torch(shuffle=6, seed=1, batch_size=4)
    order = labels(loader(stream, 2, start))
    assert sorted(order) == EVERYTHING
    assert order == labels(loader(stream, 2, "fork")) != EVERYTHING


def test_persistent_workers_count_epochs_and_others_are_told(dataset: Dataset[Feature]) -> None:
    lasting = loader(dataset.torch(shuffle=6, seed=1), 2, "fork", persistent_workers=True)
    epochs = [labels(lasting) for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [EVERYTHING] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    stream = dataset.torch(shuffle=6, seed=1)
    told = loader(stream, 2, "fork")
    for number, epoch in enumerate(epochs):
        stream.set_epoch(number)
        assert labels(told) == epoch


def test_more_workers_than_shards(dataset: Dataset[Feature]) -> None:
    one = Dataset[Feature](dataset.list_shards()[:1])
    assert labels(loader(one.torch(), 2, "fork")) == EVERYTHING[:EACH]


def test_started_workers_fetch_with_the_settings_of_their_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings._Holder, "current", None)
    configure(dev=True)
    with LocalServer({f"/{i}.tar": content(shard(features(3 * i, 3))) for i in (0, 1)}) as server:
        dataset = Dataset[Feature](f"{server.url}/{{0..1}}.tar")
        assert sorted(labels(loader(dataset.torch(), 2, "spawn"))) == list(range(6))


def test_what_is_wrong_in_a_worker_is_said_in_the_training_process(
    dataset: Dataset[Feature],
) -> None:
    path = Path(dataset.list_shards()[0])
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(RuntimeError, match=r"InvalidShard.*0\.tar', byte 1024: cut short"):
        labels(loader(dataset.torch(), 2, "fork"))


# --- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 5, 17])
def test_training_goes_on_where_it_stopped(dataset: Dataset[Feature], taken: int) -> None:
    stream = dataset.torch(shuffle=6, seed=1, batch_size=2)
    reading = iter(loader(stream))
    for _ in range(taken):
        next(reading)
    state = json.loads(json.dumps(stream.state_dict()))
    rest = labels(reading)
    again = dataset.torch(shuffle=6, seed=1, batch_size=2)
    again.load_state_dict(state)
    assert labels(loader(again)) == rest
    assert labels(loader(again)) == labels(loader(stream))  # and so does the epoch after it


# --- ranks ---------------------------------------------------------------------------------------


def train(rank: int, meet: str, dataset: Dataset[Feature], answer: Connection) -> None:
    distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    answer.send(labels(loader(dataset.torch(shuffle=6, seed=1), 2)))
    distributed.destroy_process_group()


def test_ranks_of_a_process_group_share_the_samples(
    dataset: Dataset[Feature], tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    seen: list[list[int]] = []
    pipes = [context.Pipe() for _ in range(2)]
    processes = [
        context.Process(target=train, args=(rank, f"file://{tmp_path}/meet", dataset, theirs))
        for rank, (_, theirs) in enumerate(pipes)
    ]
    for process, (_, theirs) in zip(processes, pipes, strict=True):
        process.start()
        theirs.close()
    for process, (ours, _) in zip(processes, pipes, strict=True):
        seen.append(ours.recv())
        process.join()
    assert all(seen)
    assert sorted(seen[0] + seen[1]) == EVERYTHING

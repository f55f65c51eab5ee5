"""Datasets in plain WebDataset pipelines: every sample once, whoever divides the shards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import webdataset
from webdataset.shardlists import SimpleShardList, split_by_node, split_by_worker

from atdata import Dataset
from tests.library.shards import Feature, features, shard
from tests.library.torch_stand_in import WorkerInfo, modules

SHARDS, EACH = 6, 5
EVERYTHING = list(range(SHARDS * EACH))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset[Feature]:
    for i in range(SHARDS):
        (tmp_path / f"{i}.tar").write_bytes(shard(features(EACH * i, EACH)))
    return Dataset[Feature](str(tmp_path / f"{{0..{SHARDS - 1}}}.tar"))


def labels(samples: Iterable[dict[str, Any]]) -> list[int]:
    return [sample["label"] for sample in samples]


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (1, 2), (2, 2), (2, 3)])
def test_ranks_and_workers_share_the_samples_out(
    dataset: Dataset[Feature], monkeypatch: pytest.MonkeyPatch, ranks: int, workers: int
) -> None:
    pipeline = webdataset.DataPipeline(dataset.wds)
    seen: list[int] = []
    for rank in range(ranks):
        for number in range(workers):
            for name, module in modules(WorkerInfo(number, workers), (rank, ranks)).items():
                monkeypatch.setitem(sys.modules, name, module)
            seen += labels(pipeline)
    assert sorted(seen) == EVERYTHING


def before(split: Callable[..., Any], dataset: Dataset[Feature]) -> Any:
    shards = SimpleShardList(dataset.list_shards())
    return webdataset.DataPipeline(shards, split, dataset.wds)


@pytest.mark.parametrize(
    ("split", "number", "count"),
    [(split_by_worker, "WORKER", "NUM_WORKERS"), (split_by_node, "RANK", "WORLD_SIZE")],
)
def test_the_splitters_of_webdataset_divide_the_shards(
    dataset: Dataset[Feature],
    monkeypatch: pytest.MonkeyPatch,
    split: Callable[..., Any],
    number: str,
    count: str,
) -> None:
    monkeypatch.setenv(count, "2")
    parts = []
    for i in range(2):
        monkeypatch.setenv(number, str(i))
        parts.append(labels(before(split, dataset)))
    assert sorted(parts[0] + parts[1]) == EVERYTHING
    assert len(parts[0]) == len(parts[1])


def test_shards_are_given_by_name_or_as_webdataset_has_them(dataset: Dataset[Feature]) -> None:
    one, two = dataset.list_shards()[:2]
    assert labels(dataset.wds([two])) == labels(dataset.wds([{"url": two}])) == EVERYTHING[5:10]
    assert {sample["__url__"] for sample in dataset.wds([one, {"url": two}])} == {one, two}


def test_shards_are_drawn_as_they_are_read(dataset: Dataset[Feature]) -> None:
    endless = webdataset.ResampledShards(dataset.list_shards(), deterministic=True)
    pipeline = webdataset.DataPipeline(endless, dataset.wds).with_epoch(100)
    assert set(labels(pipeline)) <= set(EVERYTHING)
    assert len(list(pipeline)) == 100

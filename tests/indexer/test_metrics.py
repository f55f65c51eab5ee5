"""The metrics count what was written, whoever wrote it: live frames, fetched repos, renewals."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry

from indexer.metrics import Stage
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    reached,
    running,
    settled,
    until,
)
from tests.indexer.repo_builder import P256, create


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(f"atdata_indexer_{name}", labels) or 0.0


def dropped(registry: CollectorRegistry) -> Mapping[str, int]:
    return {
        sample.labels["reason"]: int(sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "atdata_indexer_drops_total"
    }


def test_what_a_fetch_brings_is_counted(tmp_path: Path) -> None:
    """Two records were there before, one commit came: all three are changes, and one repo more is
    known. The next repo is one whose PDS serves another's signature: a drop."""
    registry = CollectorRegistry()

    async def main() -> None:
        async with Firehose() as net:
            repo, forged = new_repo(net), new_repo(net, 1)
            first_commit(repo, "before", "earlier")
            first_commit(forged, "cats")
            async with running(net, tmp_path / "index.duckdb", registry=registry) as indexer:
                await net.send(repo.commit(create(f"{DATASET}/live", dataset("live"))))
                await reached(indexer, net)
                await settled(indexer)
                status = indexer.status()
                assert (status.changes, status.repos) == (3, 1)
                assert value(registry, "changes_total") == 3
                assert value(registry, "repos") == 1

                message = forged.commit(create(f"{DATASET}/live", dataset("live")))
                forged.key = P256  # the PDS signs what it serves with it, not the commit
                await net.send(message)
                await reached(indexer, net)
                await until(lambda: bool(indexer.status().drops), lambda: str(indexer.status()))
                assert dropped(registry) == indexer.status().drops
                assert value(registry, "changes_total") == indexer.status().changes

    asyncio.run(main())


def test_what_each_stage_of_the_writer_costs_is_counted(tmp_path: Path) -> None:
    registry = CollectorRegistry()

    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            async with running(net, tmp_path / "index.duckdb", registry=registry) as indexer:
                await reached(indexer, net)

    asyncio.run(main())
    for stage in get_args(Stage):
        assert value(registry, "stage_cpu_seconds_total", stage=stage) > 0, stage


def test_repos_that_a_list_brings_are_counted(tmp_path: Path) -> None:
    registry = CollectorRegistry()

    async def main() -> None:
        async with Firehose() as net:
            first_commit(new_repo(net), "cats")
            db = tmp_path / "index.duckdb"
            async with running(net, db, registry=registry, sweep=True) as indexer:
                await until(lambda: indexer.status().changes == 1, lambda: str(indexer.status()))
                assert value(registry, "repos") == 1
                assert value(registry, "changes_total") == 1

    asyncio.run(main())

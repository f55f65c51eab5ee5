"""The metrics count what was written, whoever wrote it: live frames, fetched repos, renewals."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

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
from tests.indexer.repo_builder import NOW_US, P256, create


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


# --- how far behind -----------------------------------------------------------------------------


@dataclass
class SlowDirectory(Firehose):
    """What it knows of an account is told while ``answers`` is set."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/did:"):
            await self.answers.wait()
        return await super()._answer(client, request)


def test_the_lag_of_a_source_that_is_lost_grows(tmp_path: Path) -> None:
    """That of one that is silent does not. Events here are of ``NOW_US``."""
    registry, now = CollectorRegistry(), [NOW_US + 300_000]

    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            db = tmp_path / "index.duckdb"
            async with running(net, db, clock=lambda: now[0], registry=registry) as indexer:

                def lag() -> float:
                    return round(value(registry, "lag_seconds", source=net.url), 3)

                def connected() -> float:
                    return value(registry, "connected", source=net.url)

                await reached(indexer, net)
                await until(lambda: lag() == 0.3, lambda: str(lag()))
                assert connected() == 1
                now[0] += 3_600_000_000
                assert lag() == 0.3
                await net.stop()
                await until(lambda: connected() == 0, lambda: "noticed")
                now[0] += 8_000_000
                assert lag() == 8.3
                await net.start()
                await until(lambda: lag() == 0.3, lambda: str(lag()))

    asyncio.run(main())


def test_the_lag_grows_while_frames_wait_for_the_writer(tmp_path: Path) -> None:
    registry, now = CollectorRegistry(), [NOW_US]

    async def main() -> None:
        async with SlowDirectory() as net:
            net.answers.set()
            await net.send(first_commit(new_repo(net), "cats"))
            db = tmp_path / "index.duckdb"
            async with running(net, db, clock=lambda: now[0], registry=registry) as indexer:

                def lag() -> float:
                    return value(registry, "lag_seconds", source=net.url)

                await reached(indexer, net)
                await settled(indexer)
                await until(lambda: lag() == 0, lambda: str(lag()))
                net.answers.clear()
                await net.send(first_commit(new_repo(net, 1), "dogs"))
                await until(lambda: indexer._processor.proving == 1, lambda: "waits")
                now[0] += 8_000_000
                assert lag() == 8
                net.answers.set()
                await reached(indexer, net)

    asyncio.run(main())


def test_what_a_receiving_process_handed_over_is_settled_once_it_is_written(tmp_path: Path) -> None:
    """At once, and not when that process answers the next time."""
    registry = CollectorRegistry()

    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            db = tmp_path / "index.duckdb"
            async with running(net, db, registry=registry, isolate=True, flush_seconds=60.0) as it:
                await reached(it, net)
                await until(
                    lambda: [link.unsettled for link in it._intake.links] == [0],
                    lambda: str(it._intake.links),
                )

    asyncio.run(main())

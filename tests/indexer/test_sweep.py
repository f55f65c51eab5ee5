"""Backfill and sweep: what was published before we came, what was missed, and how lists can lie."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from atdata.network.http import HttpClient, Policy
from indexer.batch import Position
from indexer.gaps import JUMPED, RESET, gap_between
from indexer.listing import Lister
from indexer.pipeline import Indexer
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    plc_did,
    reached,
    rows,
    running,
    settled,
    until,
)
from tests.indexer.repo_builder import NOW_US, create

POST = "app.bsky.feed.post/3k2yihcrp2c2a"
HOUR = 3_600_000_000


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"


def names(db: Path) -> list[str]:
    return [name for (name,) in rows(db, "SELECT name FROM datasets ORDER BY name")]


async def swept(indexer: Indexer, since: int | None = None) -> None:
    """Until a sweep has ended, and all that it found is fetched."""

    def done() -> bool:
        at = indexer.status().sweep.finished_at
        return at is not None and at != since

    await until(done, lambda: f"swept: {indexer.status()}")
    await settled(indexer)


# --- backfill -----------------------------------------------------------------------------------


def published_before(net: Firehose) -> None:
    """Three accounts whose events the source no longer has; one of them has nothing of ours."""
    for number, path in enumerate((f"{DATASET}/a", POST, f"{DATASET}/c")):
        new_repo(net, number).commit(create(path, dataset(f"cats {number}")))


@pytest.mark.parametrize("is_relay", [False, True])
def test_what_was_published_before_we_came_is_found(db: Path, is_relay: bool) -> None:
    async def main() -> list[str]:
        async with Firehose() as net:
            published_before(net)
            ours = [{"did": plc_did(0)}, {"did": plc_did(2)}]
            if is_relay:
                net.lists = lambda query: {
                    "repos": ours if query["collection"] == [DATASET] else []
                }
            async with running(net, db, sweep=True) as indexer:
                await swept(indexer)
                assert indexer.status().sweep.adopted == 2
            return net.asked

    asked = asyncio.run(main())
    assert names(db) == ["cats 0", "cats 2"]
    assert rows(db, "SELECT sync_state FROM repos") == [("synced",)] * 2
    assert sum("getRepo" in path for path in asked) == 2
    limit = "limit=2000" if is_relay else "limit=1000"
    assert any(limit in path for path in asked)


def test_a_source_is_listed_once_and_not_at_every_start(db: Path) -> None:
    async def main() -> int:
        async with Firehose() as net:
            published_before(net)
            async with running(net, db, sweep=True) as indexer:
                await swept(indexer)
            net.asked.clear()
            await net.send(first_commit(new_repo(net, 7), "dogs"))
            async with running(net, db, sweep=True) as indexer:
                await reached(indexer, net)
            return sum("listRepos" in path for path in net.asked)

    assert asyncio.run(main()) == 0


# --- what was missed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seq", "time", "why"),
    [
        (8, NOW_US + 100 * HOUR, None),  # the very next event of a quiet source
        (7, NOW_US, None),  # the same one again: others replay from the cursor on
        (900, NOW_US + HOUR // 2, None),
        (900, NOW_US + 2 * HOUR, JUMPED),
        (900, None, None),
        (3, NOW_US + 1, RESET),
    ],
)
def test_what_counts_as_a_gap(seq: int, time: int | None, why: str | None) -> None:
    before = Position("wss://x", 7, NOW_US, NOW_US)
    gap = gap_between(before, seq, time, longest=HOUR, at=NOW_US)
    assert (gap and gap.why) == why
    assert gap_between(Position("wss://x", 0), seq, time, longest=HOUR, at=NOW_US) is None


# --- lists that lie -----------------------------------------------------------------------------


def did(number: int) -> dict[str, str]:
    return {"did": plc_did(number)}


def test_a_list_without_end_is_cut_off() -> None:
    def more(query: dict[str, list[str]]) -> Any:
        at = int(query.get("cursor", ["0"])[0])
        return {"repos": [did(at)], "cursor": str(at + 1)}

    async def main() -> int:
        async with Firehose(lists=more) as net:
            lister = Lister(HttpClient(Policy(dev=True)), 5)
            pages = await asyncio.to_thread(lambda: list(lister.pages(net.url)))
            return len({item.did for page in pages for item in page})

    assert asyncio.run(main()) == 5

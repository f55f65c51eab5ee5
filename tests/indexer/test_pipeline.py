"""From the socket to durable rows: what the indexer keeps, refuses, counts, and comes back to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.indexer.network import (
    Firehose,
    first_commit,
    new_repo,
    reached,
    rows,
    running,
)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"


def names(db: Path) -> list[str]:
    return [name for (name,) in rows(db, "SELECT name FROM datasets ORDER BY name")]


def drops(db: Path) -> dict[str, int]:
    return dict(rows(db, "SELECT reason, count FROM drops"))


def test_a_published_dataset_becomes_rows_with_handle_and_cursor(db: Path) -> None:
    async def scenario() -> None:
        async with Firehose() as net:
            repo = new_repo(net, handle="alice.test")
            await net.send(first_commit(repo, "cats", "dogs"))
            async with running(net, db) as indexer:
                await reached(indexer, net)

    asyncio.run(scenario())
    assert names(db) == ["cats", "dogs"]
    state = "handle, handle_verified, active, sync_state"
    assert rows(db, f"SELECT {state} FROM repos") == [("alice.test", True, True, "synced")]
    assert rows(db, "SELECT cursor FROM sources") == [(1,)]
    assert drops(db) == {}

"""Faults of one repo that writes without end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import duckdb
import pytest

from atdata.protocol.syntax import Tid
from indexer.database import open_database
from indexer.machine import microseconds
from indexer.pipeline import Indexer
from tests.faults.conftest import Fault
from tests.faults.model import Model, same_as
from tests.faults.scenes import drops, indexed
from tests.indexer.flood import PATH, flood, name_of, rev_of
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    new_repo,
    running,
    until,
)
from tests.indexer.repo_builder import Repo, create, update

COMMITS = int(os.environ.get("ATDATA_FLOOD_COMMITS", "6000"))
OTHERS = 20
STEP = COMMITS // OTHERS - 1
MEMORY = 2_000_000  # bytes that may wait in memory: far less than the flood has


@pytest.mark.fault(30)
@pytest.mark.timeout(120 + COMMITS // 100)
@pytest.mark.parametrize("isolate", [False, True], ids=["one process", "two processes"])
def test_a_repo_that_floods_delays_nobody_else(fault: Fault, db: Path, isolate: bool) -> None:
    """The others write in the midst of the flood and behind it. When the last of them is visible,
    most of the flood still waits; in the end all of it is there."""

    async def main() -> int:
        async with Firehose() as net:
            loud = new_repo(net)
            first, *rest = flood(loud.did, COMMITS, seq_of)
            loud.commit(create(PATH, dataset(name_of(0))), rev=Tid(rev_of(0)))
            net.sent.append((1, first))
            await indexed(net, db)  # it is known, and synced
            fill(net, loud, rest)
            with open_database(db) as connection:
                async with running(
                    net,
                    db,
                    connection=connection,
                    isolate=isolate,
                    clock=microseconds,
                    queue_bytes=MEMORY,
                    quarantine_bytes=1_000_000,
                ) as indexer:
                    left = await when_all_others_are_there(connection, indexer)
                    await until(
                        lambda: indexer.status().sources[0].cursor == net.last,
                        lambda: str(indexer.status()),
                        seconds=30 + COMMITS / 200,
                    )
                    assert indexer.status().queue_bytes == 0
            same_as(Model.of(net), db)
            return left

    left = asyncio.run(main())
    fault.fired(left)
    assert left > COMMITS // 4
    assert drops(db) == {}


def seq_of(number: int) -> int:
    """One of the others writes after each step."""
    return 1 + number + number // STEP


def fill(net: Firehose, loud: Repo, rest: list[bytes]) -> None:
    """The flood, and what the others write: one commit each."""
    others = [new_repo(net, 1 + i) for i in range(OTHERS)]
    for number, frame in enumerate(rest, 1):
        if number % STEP == 0 and others:
            other = others.pop()
            message = other.commit(create(f"{DATASET}/quiet", dataset("quiet")))
            net.sent.append((seq_of(number) - 1, message.at(seq_of(number) - 1).frame))
        net.sent.append((seq_of(number), frame))
    last = COMMITS - 1
    loud.commit(update(PATH, dataset(name_of(last))), rev=Tid(rev_of(last)))


async def when_all_others_are_there(connection: duckdb.DuckDBPyConnection, indexer: Indexer) -> int:
    """How many commits of the flood wait then. What waits in memory never is more than it may."""

    def there() -> bool:
        assert indexer.status().queue_bytes <= MEMORY + 2_000
        query = "SELECT count(*) FROM datasets WHERE name = 'quiet'"
        (count,) = connection.cursor().execute(query).fetchone() or (0,)
        return bool(count == OTHERS)

    await until(there, lambda: str(indexer.status()), seconds=60)
    query = "SELECT name FROM datasets WHERE name LIKE 'number %'"
    (name,) = connection.cursor().execute(query).fetchone() or (name_of(0),)
    return COMMITS - int(name.split()[1]) - 1

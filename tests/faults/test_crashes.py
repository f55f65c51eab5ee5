"""Faults of our own process and disk: killed anywhere, no room, a transaction that fails."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import duckdb
import pytest

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.errors import StoreError
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.pipeline import Indexer
from tests.faults.conftest import Fault
from tests.faults.model import COLUMNS, Model, Tables, same_as, stored_tables
from tests.faults.scenes import indexed, names
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    reached,
    rows,
)
from tests.indexer.repo_builder import NOW_US, account, create, delete, update

STATEMENTS = range(7, 29)  # of a new process: from the first BEGIN to the second COMMIT
RANDOM_KILLS = 10
LONGEST_LIFE = 80  # statements
LONGEST_PAUSE = 4_000  # microseconds
SEED = 20261122
Story = dict[int, Tables]


async def told(net: Firehose) -> tuple[Model, Story]:
    """Three accounts, fifty events; and the rows that the index must have at each cursor."""
    model, story = Model.of(net), Story()
    story[0] = model.tables()
    repos = [new_repo(net, number) for number in range(3)]
    for i in range(50):
        repo = repos[i % 3]
        if i == 33:
            await net.send(account(repos[0].did, active=False, status="suspended"))
            model.hide(repos[0].did, "suspended")
        elif repo is not repos[0] or i < 33:
            fresh = create(f"{DATASET}/r{i}", dataset(f"r{i}", tags=["a", "b"]))
            old = f"{DATASET}/r{i - 3}"
            more = [update(old, dataset(f"changed {i}"))] if old in repo.paths else []
            if i % 4 == 3 and old in repo.paths:
                more = [delete(old)]
            await net.send(repo.commit(fresh, *more))
        story[net.last] = model.tables()
    return model, story


def looked_at(db: Path) -> tuple[int, Tables]:
    """Cursor and rows after a kill, from a copy: opening replays the log, which is the indexer's to
    do."""
    copy = db.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in db.parent.glob(f"{db.name}*"):
        if file.is_file():
            shutil.copy(file, copy / file.name)
    nothing: Tables = {name: [] for name in COLUMNS}
    with duckdb.connect(str(copy / db.name)) as connection:
        tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
        if "sources" not in tables:
            return 0, nothing
        cursor = connection.execute("SELECT coalesce(max(cursor), 0) FROM sources").fetchone()
        assert cursor is not None
        return int(cursor[0]), stored_tables(connection)


async def victims(db: Path, net: Firehose) -> Process:
    """The process that makes an indexer for every line that it is given."""
    command = ["-m", "tests.faults.victim", str(db), net.url, net.plc, str(net.last)]
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )


async def lived(process: Process, statements: int, microseconds: int) -> int:
    """Let one indexer live. Returns the signal that ended it, 0 if it came to the end."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"%d %d\n" % (statements, microseconds))
    return int(await process.stdout.readline())


@pytest.mark.fault(9)
def test_killed_anywhere_the_rows_are_those_of_the_cursor(fault: Fault, db: Path) -> None:
    """Before one statement after the other, and in the middle of any. After each kill, the rows are
    exactly those of the cursor that stands beside them."""
    rng = random.Random(SEED)
    lives = [(statement, 0) for statement in STATEMENTS]
    lives += [
        (rng.randrange(10, LONGEST_LIFE), rng.randrange(1, LONGEST_PAUSE))
        for _ in range(RANDOM_KILLS)
    ]

    async def main() -> None:
        async with Firehose() as net:
            model, story = await told(net)
            process = await victims(db, net)
            kills, reached_cursors = 0, set[int]()
            for statements, microseconds in lives:
                kills += await lived(process, statements, microseconds) == signal.SIGKILL
                if db.exists():
                    cursor, tables = looked_at(db)
                    assert tables == story[cursor], f"at cursor {cursor}"
                    reached_cursors.add(cursor)
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
            assert len(reached_cursors) > 3, "killed on the way, and not only at its ends"
            await indexed(net, db)
            same_as(model, db)
            fault.fired(kills)

    asyncio.run(main())


# --- the disk -----------------------------------------------------------------------------------


@pytest.mark.fault(10)
def test_a_disk_that_is_full_ends_the_run_with_its_reason(fault: Fault, db: Path) -> None:
    """The real command, not allowed to make files larger than ours plus a little."""

    async def main() -> None:
        async with Firehose() as net:
            story = Story()
            repo, model = new_repo(net), Model.of(net)
            await net.send(first_commit(repo, "cats"))
            story[1] = model.tables()
            await indexed(net, db)
            for i in range(60):
                long = dataset(f"r{i}", description="x" * 4_999, tags=["y" * 150] * 30)
                writes = [create(f"{DATASET}/r{i}x{j}", long) for j in range(5)]
                await net.send(repo.commit(*writes))
                story[net.last] = model.tables()
            status, said = await run_with_room(db, net, db.stat().st_size + 200_000)
            assert status == 1
            assert "cannot write the index" in said
            assert "File too large" in said
            cursor, tables = looked_at(db)
            assert cursor < net.last
            assert tables == story[cursor]
            await indexed(net, db)
            same_as(model, db)
            fault.fired(status)

    asyncio.run(main())


async def run_with_room(db: Path, net: Firehose, size: int) -> tuple[int, str]:
    """``python -m indexer run`` with files of at most ``size`` bytes: exit status and messages."""
    command = ["-m", "indexer", "run", "--db", str(db), "--source", net.url]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, "--plc", net.plc, "--dev"),
        stderr=PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.fault(10)
def test_a_transaction_that_fails_leaves_rows_and_cursor_where_they_were(
    fault: Fault, db: Path
) -> None:
    """Another writer holds the source's row, so that ours can't be written; the run ends and says
    so. Nothing of the transaction stays, and the next run does it again."""

    async def main() -> None:
        async with Firehose() as net:
            repo, model = new_repo(net), Model.of(net)
            await net.send(first_commit(repo, "cats"))
            with open_database(db) as connection:
                http = HttpClient(Policy(dev=True))
                config = IndexerConfig(sources=(net.url,), db=db, plc=net.plc, dev=True)
                resolver = Resolver(http, plc=net.plc)
                indexer = Indexer(config, connection, resolver, clock=lambda: NOW_US)
                task = asyncio.create_task(indexer.run())
                await reached(indexer, net)
                before = stored_tables(connection)
                rival = connection.cursor()
                rival.execute("BEGIN")
                rival.execute("DELETE FROM sources")
                await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
                with pytest.raises(StoreError, match="cannot write the index") as failure:
                    await task
                rival.execute("ROLLBACK")
                assert stored_tables(connection) == before
                http.close()
            assert rows(db, "SELECT cursor FROM sources") == [(1,)]
            assert names(db) == ["cats"]
            await indexed(net, db)
            same_as(model, db)
            fault.fired(int(failure.value is not None))

    asyncio.run(main())

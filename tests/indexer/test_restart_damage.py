"""The file of a running indexer is destroyed under it: the process goes on with the snapshot."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from indexer import snapshots
from indexer.database import open_database
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    reached,
    rows,
    running,
    until,
)
from tests.indexer.repo_builder import update

_HEADERS = 12_288  # bytes: without them the file would not even look like one of DuckDB's
_OTHERS = 5_000
_NOISE = " || ".join(["md5(random()::VARCHAR)"] * 8)
_FILL = f"""
    INSERT INTO records
    SELECT 2 * i + 1, repo, 'at://' || i, did, kind, namespace, collection, i::VARCHAR, cid, rev,
           indexed_at, created_at, sort_at, '"' || {_NOISE} || '"'
    FROM records, range({_OTHERS}) t(i)
"""  # other records, so that the file is more than DuckDB keeps in its cache


def fill(db: Path) -> None:
    """And take a snapshot of it all."""
    with open_database(db) as connection:
        connection.execute(_FILL)
        connection.execute("CHECKPOINT")
        snapshots.take(connection, snapshots.folder_of(db), at=time.time_ns() // 1_000)


def destroy(db: Path) -> None:
    """Every block, in place: the process has the file open and goes on with it."""
    with db.open("r+b") as file:
        file.seek(_HEADERS)
        file.write(os.urandom(db.stat().st_size - _HEADERS))


@asynccontextmanager
async def indexer(net: Firehose, db: Path, log: Path) -> AsyncIterator[Process]:
    command = [*("-m", "indexer", "run", "--db", str(db), "--dev"), "--source", net.url]
    environment = {
        **os.environ,
        "ATDATA_INDEXER_MEMORY_LIMIT": "20MB",
        "ATDATA_INDEXER_SWEEP": "false",
    }
    with log.open("wb") as output:
        process = await create_subprocess_exec(
            *(sys.executable, *command, "--plc", net.plc), stderr=output, env=environment
        )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


def test_a_file_destroyed_while_it_is_written_is_restored_by_the_same_process(
    tmp_path: Path,
) -> None:
    db, log = tmp_path / "index.duckdb", tmp_path / "log"

    async def main() -> int | None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db) as first:
                await reached(first, net)
            fill(db)
            async with indexer(net, db, log) as process:
                await until(lambda: len(net.seen) == 2, log.read_text, 60)
                destroy(db)
                await net.send(repo.commit(update(f"{DATASET}/cats", dataset("lions"))))
                await until(lambda: len(net.seen) == 3, log.read_text, 60)
                ended = process.returncode
            assert net.seen == [0, 1, 1], "it went on from the snapshot's cursor"
            async with running(net, db) as last:
                await reached(last, net)
            return ended

    assert asyncio.run(main()) is None, "one process all the time"
    said = log.read_text()
    assert "Corrupt database file" in said
    assert said.count("starts anew, once") == 1
    assert len([*tmp_path.glob("index.duckdb.broken-*")]) == 1, "set aside, not deleted"
    assert rows(db, "SELECT name FROM datasets") == [("lions",)]
    assert rows(db, "SELECT count(*), any_value(cursor) FROM records, sources") == [
        (_OTHERS + 1, 2)
    ]

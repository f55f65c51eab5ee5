"""Snapshots: one moment of the index in files that prove themselves, or no snapshot."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from atdata.protocol.errors import StoreError
from indexer import snapshots
from indexer.batch import Position, RepoState
from indexer.database import open_database
from indexer.snapshots import Abandoned, DamagedSnapshot, check, folder_of, opened, paths, take
from indexer.store import Store
from tests.indexer.network import Firehose, first_commit, new_repo, reached, rows, running, until

SOURCE, DID = "wss://relay.example", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """One with a few rows, opened."""
    with open_database(tmp_path / "index.duckdb") as connection:
        write(connection, 7)
        connection.execute(
            "INSERT INTO changes SELECT i, hash(i) >> 1, 'put' FROM range(25000) t(i)"
        )
        yield connection


def write(connection: duckdb.DuckDBPyConnection, cursor: int) -> None:
    store = Store(connection)
    batch = store.batch()
    batch.set_repo(RepoState(DID, handle="ä\x01", account_seq={SOURCE: 4}))
    batch.advance(Position(SOURCE, cursor, 1, 2))
    store.apply(batch)


def test_it_holds_every_row_and_names_cursors_version_and_sums(
    index: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    made = take(index, tmp_path / "kept", at=5)
    found = opened(made.path)
    assert found == made
    check(found)
    manifest = found.manifest
    assert (manifest.taken_at, manifest.changes, manifest.cursors) == (5, 24_999, {SOURCE: 7})
    assert {table.name: table.rows for table in manifest.tables} == {
        name: index.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
        for (name,) in index.execute("SHOW TABLES").fetchall()
    }
    on_disk = {path.name for path in made.path.iterdir()}
    assert on_disk == {f"{table.name}.parquet" for table in manifest.tables} | {"manifest.json"}
    read = "SELECT * FROM read_parquet(?) ORDER BY ALL"  # by another reader
    with duckdb.connect() as other:
        for table in ("changes", "repos", "sources"):
            stored = index.execute(f"SELECT * FROM {table} ORDER BY ALL").to_arrow_table()
            kept = other.execute(read, [str(made.path / f"{table}.parquet")]).to_arrow_table()
            assert kept.to_pylist() == stored.to_pylist()


def test_it_is_of_one_moment_while_the_writer_goes_on(tmp_path: Path) -> None:
    """Every transaction writes one row into each of two tables, and the cursor."""
    with open_database(tmp_path / "index.duckdb") as connection:
        store, ended = Store(connection), threading.Event()

        def writer() -> None:
            for n in range(1, 100_000):
                batch = store.batch()
                batch.note(f"n {n}", "")
                batch.set_repo(RepoState(f"did:web:n{n}.example"))
                batch.advance(Position(SOURCE, n))
                store.apply(batch)
                if ended.is_set():
                    return

        thread = threading.Thread(target=writer)
        thread.start()
        try:
            made = [take(connection, tmp_path / "kept", at=n, keep=9) for n in range(5)]
        finally:
            ended.set()
            thread.join()
    cursors = [snapshot.manifest.cursors.get(SOURCE, 0) for snapshot in made]
    assert cursors == sorted(set(cursors)), "it went on meanwhile"
    for snapshot, cursor in zip(made, cursors, strict=True):
        counted = {table.name: table.rows for table in snapshot.manifest.tables}
        assert (counted["repos"], counted["meta"] - 2) == (cursor, cursor)


def test_the_newest_are_kept(index: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made = [take(index, tmp_path, at=at, keep=2).path for at in (9, 8, 7)]
    assert paths(tmp_path) == [made[2], made[1]], "by their number, whatever the clock says"
    newest = snapshots.newest(tmp_path)
    assert newest is not None
    assert newest.path == made[2]


def flipped(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_damage_anywhere_is_found(index: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made = take(index, tmp_path, at=5)
    for path in made.path.iterdir():
        content = path.read_bytes()
        for offset in range(0, len(content), max(1, len(content) // 3)):
            flipped(path, offset)
            with pytest.raises(DamagedSnapshot):
                check(opened(made.path))
            path.write_bytes(content[:offset])
            with pytest.raises(DamagedSnapshot):
                check(opened(made.path))
            path.write_bytes(content)
        path.unlink()
        with pytest.raises(DamagedSnapshot):
            check(opened(made.path))
        path.write_bytes(content)
    check(opened(made.path))


def test_one_of_a_later_version_is_refused_and_not_called_damaged(tmp_path: Path) -> None:
    raw = json.dumps({"version": 99, "tables": []}).encode()
    path = tmp_path / f"000001-{snapshots._digest(raw)}"
    path.mkdir()
    (path / snapshots.MANIFEST).write_bytes(raw)
    with pytest.raises(StoreError, match="use the newer program") as caught:
        opened(path)
    assert not isinstance(caught.value, DamagedSnapshot)
    assert snapshots.newest(tmp_path) is None


def test_one_that_was_cut_off_is_none_and_goes_away(
    index: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Killed in the midst of it: only the folder of work in progress is there."""
    program = """
import os, sys
from pathlib import Path
from indexer import snapshots
from indexer.database import open_database

class Connection:
    def __init__(self, real): self.real = real
    def cursor(self): return self
    def close(self): pass
    def execute(self, sql, given=()):
        if "FROM labels" in sql:
            os.kill(os.getpid(), 9)
        return self.real.execute(sql, given)

snapshots.take(Connection(open_database(":memory:")), Path(sys.argv[1]), at=1)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    (left,) = tmp_path.glob(".writing*")
    assert any(left.iterdir())
    assert paths(tmp_path) == []
    made = take(index, tmp_path, at=2)
    assert paths(tmp_path) == [made.path]
    assert not left.exists()


def test_one_that_nobody_wants_any_more_leaves_nothing(
    index: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    abandoned = threading.Event()
    abandoned.set()
    folder = tmp_path / "kept"
    with pytest.raises(Abandoned):
        take(index, folder, at=5, abandoned=abandoned)
    assert list(folder.iterdir()) == []
    assert index.execute("SELECT count(*) FROM sources").fetchall() == [(1,)]


def test_what_the_writer_needs_of_the_disk_is_left(
    index: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    with pytest.raises(OSError, match="the disk is nearly full") as refused:
        take(index, folder, at=5, spare=2**60)
    assert refused.value.errno == errno.ENOSPC
    assert list(folder.iterdir()) == []
    assert take(index, folder, at=5, spare=1).manifest.changes == 24_999


# --- on a schedule ------------------------------------------------------------------------------


def test_an_indexer_writes_them_on_a_schedule_and_says_so(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            async with running(net, db, snapshot_seconds=0.05, snapshots=2) as indexer:
                await reached(indexer, net)
                await until(
                    lambda: any(s.changes == 1 for s in held()) and len(held()) == 2,
                    lambda: str(held()),
                )

    def held() -> list[snapshots.Manifest]:
        found = []
        for path in paths(folder_of(db)):
            try:
                found.append(opened(path).manifest)
            except DamagedSnapshot:  # removed just now
                continue
        return found

    asyncio.run(main())
    ((noted,),) = rows(db, "SELECT value FROM meta WHERE key = 'snapshot'")
    assert json.loads(noted)["taken_at"] == held()[0].taken_at
    assert 1 <= len(held()) <= 2


def test_a_snapshot_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"
    folder_of(db).write_text("in the way")

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db, snapshot_seconds=0.01) as indexer:
                await reached(indexer, net)
                await asyncio.sleep(0.1)
                await net.send(first_commit(new_repo(net, 2), "dogs"))
                await reached(indexer, net)

    asyncio.run(main())
    assert folder_of(db).read_text() == "in the way"
    assert rows(db, "SELECT count(*) FROM datasets") == [(2,)]


def test_one_in_the_making_is_given_up_when_the_indexer_ends(tmp_path: Path) -> None:
    """And the file is free at once: no thread reads it any more."""
    db = tmp_path / "index.duckdb"
    with open_database(db) as connection:
        query = "INSERT INTO changes SELECT i, hash(i) >> 1, 'put' FROM range(2000000) t(i)"
        connection.execute(query)

    def begun() -> bool:
        return any(folder_of(db).glob(".writing*/changes*"))

    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            async with running(net, db, snapshot_seconds=0.01):
                await until(begun, lambda: "a snapshot is begun")

    asyncio.run(main())
    assert list(folder_of(db).iterdir()) == []
    program = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", program, str(db)], check=False)
    assert done.returncode == 0

"""Fault 37: the index's file, or its write-ahead log, torn, cut short, flipped, or gone.

The files are those of a process that was killed: a snapshot, a file that is ahead of it, and a log
that is ahead of the file. Each time the index must end equal to the network, by itself.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from indexer import snapshots
from indexer.database import open_database
from indexer.recovery import RESTORED, open_or_restore
from tests.faults.conftest import Fault
from tests.faults.model import Model, same_as
from tests.faults.scenes import everything
from tests.flow.node import free_port
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
from tests.indexer.repo_builder import create, delete, update

Damage = Callable[[Path], object]


@dataclass(frozen=True)
class Scene:
    """The files of the killed process, at ``folder``, with a snapshot of ``taken_at``, and the
    network that it followed."""

    folder: Path
    taken_at: int
    model: Model
    network: dict[str, Any]

    def again(self) -> Firehose:
        """The same network, at the same address."""
        return Firehose(**self.network)


async def index(net: Firehose, db: Path) -> None:
    async with running(net, db) as indexer:
        await reached(indexer, net)
        await settled(indexer)


async def index_and_be_killed(net: Firehose, db: Path) -> None:
    """In a process of its own, at the moment at which everything is durable."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "indexer", "run", "--db", str(db), "--dev", "--plc", net.plc),
        *("--source", net.url, "--metrics-port", str(port)),
        stderr=DEVNULL,
    )

    def cursor() -> float:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        found = (line for line in lines if line.startswith("atdata_indexer_cursor{"))
        return float(next(found, "0").split()[-1])

    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    if await asyncio.to_thread(cursor) == net.last:
                        break
                except OSError:
                    assert process.returncode is None
                await asyncio.sleep(0.02)
    finally:
        process.kill()
        await process.wait()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("killed")
    db, now = folder / "index.duckdb", time.time_ns() // 1_000

    async def main() -> Scene:
        async with Firehose() as net:
            model = await everything(net)
            await index(net, db)
            with open_database(db) as connection:
                snapshots.take(connection, snapshots.folder_of(db), at=now)
            repo = next(iter(net.repos.values()))
            await net.send(repo.commit(update(f"{DATASET}/cats", dataset("later cats"))))
            await net.send(first_commit(new_repo(net, 7), "otters", "seals"))
            await index(net, db)
            await net.send(repo.commit(delete(f"{DATASET}/cats")))
            for n in range(12):
                await net.send(repo.commit(create(f"{DATASET}/new{n}", dataset(f"new {n}"))))
            await index_and_be_killed(net, db)
            names = ("sent", "documents", "handles", "blobs", "repos", "port")
            return Scene(folder, now, model, {name: getattr(net, name) for name in names})

    return asyncio.run(main())


@dataclass(frozen=True)
class Outcome:
    """``restored`` is what the index notes of itself, ``cursor`` where it went on."""

    restored: dict[str, Any] | None
    cursor: int
    aside: list[str]


def survive(scene: Scene, folder: Path, damage: Damage) -> Outcome:
    """Open the damaged files as the indexer does, follow the network, compare."""
    shutil.copytree(scene.folder, folder)
    db = folder / "index.duckdb"
    damage(db)
    connection = open_or_restore(db)
    cursor = connection.cursor()
    query = "SELECT coalesce(max(cursor), 0), coalesce(max(seq), 0) FROM sources, changes"
    ((found, _),) = cursor.execute(query).fetchall()
    noted = cursor.execute("SELECT value FROM meta WHERE key = ?", [RESTORED]).fetchall()
    cursor.close()

    async def main() -> None:
        async with (
            scene.again() as net,
            running(net, db, connection=connection) as indexer,
        ):
            await until(lambda: bool(net.seen), lambda: "connected")
            await reached(indexer, net)
            await settled(indexer)
        assert net.seen[0] == found, "it goes on from its own cursor"

    try:
        asyncio.run(main())
        same_as(scene.model, connection)
    finally:
        connection.close()
    aside = sorted(path.name for path in folder.glob("*.broken-*"))
    restored = json.loads(noted[0][0]) if noted else None
    shutil.rmtree(folder)
    return Outcome(restored, found, aside)


def log_of(db: Path) -> Path:
    return db.with_name(db.name + ".wal")


def offsets(size: int, count: int) -> Iterator[int]:
    """Spread over ``size`` bytes, the ends among them, and not at the same place of each block."""
    yield from (size * i // (count - 1) - (i == count - 1) for i in range(count))


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x10]))


def cut(path: Path, length: int) -> None:
    with path.open("r+b") as file:
        file.truncate(length)


def test_without_damage_the_log_is_replayed_and_nothing_is_restored(
    scene: Scene, tmp_path: Path
) -> None:
    log = log_of(scene.folder / "index.duckdb")
    assert log.stat().st_size > 1_000, "the process was killed before it could write its log back"
    found = survive(scene, tmp_path / "x", lambda db: None)
    assert found == Outcome(None, int(scene.network["sent"][-1][0]), [])


@pytest.mark.fault(37)
def test_a_log_cut_short_takes_the_cursor_back_with_the_rows(
    fault: Fault, scene: Scene, tmp_path: Path
) -> None:
    """DuckDB replays the whole transactions of it, and says nothing."""
    last, size = scene.network["sent"][-1][0], log_of(scene.folder / "index.duckdb").stat().st_size
    cursors = []
    for i, length in enumerate(offsets(size, 9)):
        found = survive(scene, tmp_path / str(i), lambda db: cut(log_of(db), length))  # noqa: B023
        assert found.restored is None
        cursors.append(found.cursor)
    assert cursors == sorted(cursors)
    fault.fired(sum(cursor < last for cursor in cursors))


@pytest.mark.fault(37)
def test_a_flipped_bit_in_the_log(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    size = log_of(scene.folder / "index.duckdb").stat().st_size
    restored = 0
    for i, offset in enumerate(offsets(size, 7)):
        found = survive(scene, tmp_path / str(i), lambda db: flip(log_of(db), offset))  # noqa: B023
        if found.restored is not None:
            restored += 1
            assert found.restored["snapshot_at"] == scene.taken_at
            assert len(found.aside) == 2, "the file and its log"
    fault.fired(restored)


@pytest.mark.fault(37)
def test_a_file_cut_short(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    size, restored = (scene.folder / "index.duckdb").stat().st_size, 0
    for i, length in enumerate([*offsets(size, 7), 10, 4096, 8192]):
        found = survive(scene, tmp_path / str(i), lambda db: cut(db, length))  # noqa: B023
        restored += found.restored is not None
        if length < size // 2:
            assert found.restored is not None, f"cut to {length} bytes"
            assert found.restored["set_aside"] in found.aside
    fault.fired(restored)


@pytest.mark.fault(37)
def test_a_flipped_bit_in_the_file(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    size, restored = (scene.folder / "index.duckdb").stat().st_size, 0
    for i, offset in enumerate([*offsets(size, 7), 5, 9, 13, 4100, 8200]):
        found = survive(scene, tmp_path / str(i), lambda db: flip(db, offset))  # noqa: B023
        restored += found.restored is not None
    fault.fired(restored)


def without_snapshots(db: Path) -> None:
    shutil.rmtree(snapshots.folder_of(db))


def with_bad_snapshots(db: Path) -> None:
    for path in snapshots.paths(snapshots.folder_of(db)):
        cut(path / "records.parquet", 100)


def half(db: Path) -> None:
    cut(db, db.stat().st_size // 2)


def of_zeros(db: Path) -> None:
    db.write_bytes(bytes(db.stat().st_size))


def with_a_damaged_log(db: Path) -> None:
    flip(log_of(db), log_of(db).stat().st_size // 2)


@pytest.mark.fault(37)
@pytest.mark.parametrize("lost", [without_snapshots, with_bad_snapshots])
def test_with_no_good_snapshot_it_begins_anew_from_the_network(
    fault: Fault, scene: Scene, tmp_path: Path, lost: Damage
) -> None:
    for i, damage in enumerate((half, of_zeros, with_a_damaged_log)):
        found = survive(scene, tmp_path / str(i), lambda db: (lost(db), damage(db)))  # noqa: B023
        assert found.restored is not None
        assert (found.restored["snapshot_at"], found.cursor) == (None, 0)
        assert found.restored["set_aside"] in found.aside
        fault.fired(1)


def gone(db: Path) -> None:
    db.unlink()
    log_of(db).unlink()


@pytest.mark.fault(37)
def test_files_that_are_gone(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    found = survive(scene, tmp_path / "file", Path.unlink)
    assert found.restored is not None
    assert found.restored["snapshot_at"] == scene.taken_at
    assert len(found.aside) == 1, "the log, which nothing belongs to"
    both = survive(scene, tmp_path / "both", gone)
    assert both.restored is not None
    assert both.restored["snapshot_at"] == scene.taken_at
    fault.fired(2)

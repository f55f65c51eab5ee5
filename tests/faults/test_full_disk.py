"""Fault 10 on a disk that is really full: whatever meets its end, the run says why, and nothing is
lost."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import pytest

from atdata.protocol.syntax import Tid
from tests.faults.conftest import Fault
from tests.faults.model import Model, same_as
from tests.faults.scenes import indexed
from tests.faults.small_disk import SmallDisk, missing, small_disk
from tests.faults.test_crashes import looked_at
from tests.flow.node import free_port
from tests.indexer.flood import PATH, flood, name_of, rev_of
from tests.indexer.network import DATASET, Firehose, dataset, first_commit, new_repo, until
from tests.indexer.repo_builder import Repo, create, update

pytestmark = pytest.mark.skipif(
    (reason := missing()) is not None, reason=f"left out: tests on a full disk ({reason})"
)

SIZE = 80_000_000  # of the disk
DEMANDED = 32_000_000  # bytes that the indexer leaves free, unless it is told otherwise
SECONDS = 60.0
FLOOD = 6_000  # commits, which are 7 MB of frames
DOC, RKEY = 0, 7  # columns of the model's records
SEED = 20261201


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", SIZE) as made:
        yield made


@dataclass
class Run:
    """``python -m indexer run`` with its index on the disk. ``said`` grows while it lives."""

    process: Process
    port: int
    said: list[str] = field(default_factory=list)

    async def listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said.append(line.decode())

    def count(self, words: str) -> int:
        """How many lines have ``words`` in them."""
        return sum(words in line for line in self.said)

    async def says(self, words: str, times: int = 1) -> None:
        await until(lambda: self.count(words) >= times, lambda: "".join(self.said), SECONDS)

    async def ended(self) -> int:
        """The exit status."""
        return await asyncio.wait_for(self.process.wait(), SECONDS)

    async def reached(self, seq: int) -> None:
        """Until its durable cursor is there."""
        async with asyncio.timeout(SECONDS):
            while await asyncio.to_thread(self._cursor) != seq:
                assert self.process.returncode is None, "".join(self.said)
                await asyncio.sleep(0.05)

    def _cursor(self) -> float:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return -1
        found = (line for line in lines if line.startswith("atdata_indexer_cursor{"))
        return float(next(found, "0").split()[-1])


@asynccontextmanager
async def running(disk: SmallDisk, net: Firehose, **settings: object) -> AsyncIterator[Run]:
    """Until the block ends, if it does not end by itself. ``settings`` are the indexer's own."""
    port = free_port()
    command = ["-m", "indexer", "run", "--db", str(disk.folder / "index.duckdb"), "--dev"]
    more = ["--source", net.url, "--plc", net.plc, "--metrics-port", str(port)]
    given = {f"ATDATA_INDEXER_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *disk.inside(sys.executable, *command, *more), stderr=PIPE, env={**os.environ, **given}
    )
    run = Run(process, port)
    listener = asyncio.create_task(run.listen())
    try:
        yield run
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), SECONDS)
        await listener


def copied(disk: SmallDisk, folder: Path) -> Path:
    """The files of the index, where there is room to look at them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("index.duckdb", "index.duckdb.wal"):
        if (disk.seen / name).exists():
            shutil.copy(disk.seen / name, folder / name)
    return folder / "index.duckdb"


async def put_on(disk: SmallDisk, net: Firehose, db: Path) -> None:
    """An index of all that ``net`` has so far."""
    await indexed(net, db)
    shutil.copy(db, disk.seen / "index.duckdb")


async def all_is_there(disk: SmallDisk, net: Firehose, model: Model, folder: Path) -> None:
    """Started anew on the same files, it comes to the network's end by itself."""
    async with running(disk, net) as run:
        await run.reached(net.last)
    same_as(model, copied(disk, folder))
    assert not {name for name in disk.names() if "broken" in name}, "no file is damaged"


async def tell(net: Firehose, repo: Repo, commits: int, size: int) -> None:
    """Records of ``size`` bytes that no compression makes much smaller, one a commit."""
    rng = random.Random(SEED)
    for i in range(commits):
        note = base64.b64encode(rng.randbytes(size * 3 // 4)).decode()
        await net.send(repo.commit(create(f"{DATASET}/r{i}", dataset(f"r{i}", note=note))))


async def stopped(disk: SmallDisk, net: Firehose, **settings: object) -> tuple[int, Run]:
    async with running(disk, net, **settings) as run:
        return await run.ended(), run


def is_as_told(disk: SmallDisk, net: Firehose, folder: Path) -> int:
    """The rows are those of the cursor, which is returned, and no others: each commit made one."""
    cursor, tables = looked_at(copied(disk, folder))
    made = {f"r{number - 2}" for number in range(2, cursor + 1)} | {"cats"}
    wanted = Model.of(net).tables()
    docs = {row[DOC] for row in wanted["records"] if row[RKEY] in made}
    for name, rows in wanted.items():
        assert tables[name] == [row for row in rows if row[DOC] in docs], f"at cursor {cursor}"
    return cursor


# --- the writer ---------------------------------------------------------------------------------


@pytest.mark.fault(10)
def test_the_writer_stops_before_the_disk_is_full(
    fault: Fault, disk: SmallDisk, tmp_path: Path
) -> None:
    """With its reason, after one more attempt; what it needs to go on is left."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await put_on(disk, net, tmp_path / "index.duckdb")
            await tell(net, repo, 30, 200_000)
            disk.fill(DEMANDED + 1_500_000)
            status, run = await stopped(disk, net, batch_events=1)
            assert (status, run.count("starts anew, once")) == (1, 1)
            assert "StoreError: cannot write the index: the disk is nearly full" in run.said[-1]
            assert not run.count("Traceback")
            assert DEMANDED // 2 < disk.free < DEMANDED
            assert 1 < is_as_told(disk, net, tmp_path / "copy") < net.last
            disk.make_room()
            await all_is_there(disk, net, Model.of(net), tmp_path / "copy")
            fault.fired(status)

    asyncio.run(main())


@pytest.mark.fault(10)
@pytest.mark.parametrize(
    ("room", "where"),
    [
        (0, "index.duckdb.wal"),
        (900_000, "index.duckdb.wal"),
        (22_000_000, "Failed to create checkpoint"),
    ],
    ids=["the log's first byte", "the midst of the log", "the log is written back"],
)
def test_a_transaction_meets_the_end_of_the_disk(
    fault: Fault, disk: SmallDisk, tmp_path: Path, room: int, where: str
) -> None:
    """Of an indexer that was told to leave nothing free, or whose room was taken just then."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await put_on(disk, net, tmp_path / "index.duckdb")
            await tell(net, repo, 60, 500_000)
            disk.fill(room)
            status, run = await stopped(disk, net, free_bytes=0, batch_events=2)
            assert (status, run.count("starts anew, once")) == (1, 1)
            assert run.count(where)
            assert "cannot write the index" in run.said[-1]
            assert "No space left on device" in run.said[-1]
            assert not run.count("Traceback")
            assert is_as_told(disk, net, tmp_path / "copy") < net.last
            disk.make_room()
            await all_is_there(disk, net, Model.of(net), tmp_path / "copy")
            fault.fired(status)

    asyncio.run(main())


@pytest.mark.fault(10)
@pytest.mark.parametrize("room", [0, 4_096, 20_480, 300_000])
def test_an_index_for_which_there_is_no_room_is_not_begun(
    fault: Fault, disk: SmallDisk, tmp_path: Path, room: int
) -> None:
    """And what was begun of it is no damage afterwards."""

    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            disk.fill(room)
            status, run = await stopped(disk, net, free_bytes=0)
            assert (status, len(run.said)) == (1, 1)
            assert "cannot open the index" in run.said[0]
            assert "the disk is full" in run.said[0]
            disk.make_room()
            await all_is_there(disk, net, Model.of(net), tmp_path / "copy")
            fault.fired(status)

    asyncio.run(main())


# --- what can be done without -------------------------------------------------------------------


@pytest.mark.fault(10)
def test_a_snapshot_for_which_there_is_no_room_leaves_the_writer_its_own(
    fault: Fault, disk: SmallDisk, tmp_path: Path
) -> None:
    """It is begun again and again, while commit after commit is written."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await tell(net, repo, 40, 500_000)
            await put_on(disk, net, tmp_path / "index.duckdb")
            disk.fill(7_000_000)
            settings = {"free_bytes": 1_000_000, "snapshot_seconds": 0.05}
            async with running(disk, net, **settings) as run:
                for i in range(100):
                    body = dataset(f"cats {i}")
                    await net.send(repo.commit(update(f"{DATASET}/cats", body)))
                    await asyncio.sleep(0.02)
                await run.says("snapshot not written", 3)
                await run.reached(net.last)
                failures = run.count("the disk is nearly full")
                assert failures >= 3
                assert disk.free > 4_000_000
                disk.make_room()
                await run.says("snapshot written")
            same_as(Model.of(net), copied(disk, tmp_path / "copy"))
            fault.fired(failures)

    asyncio.run(main())


@pytest.mark.fault(10)
def test_a_snapshot_that_meets_the_end_of_the_disk_is_said_and_tried_again(
    fault: Fault, disk: SmallDisk, tmp_path: Path
) -> None:
    """What there was of it is removed, so that the writer has its room again."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await tell(net, repo, 40, 500_000)
            await put_on(disk, net, tmp_path / "index.duckdb")
            disk.fill(3_000_000)
            async with running(disk, net, free_bytes=0, snapshot_seconds=2) as run:
                await run.says("snapshot not written")
                assert run.count("No space left on device")
                await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
                await run.reached(net.last)
                assert list((disk.seen / "index.duckdb.snapshots").iterdir()) == []
                disk.make_room()
                await run.says("snapshot written")
            same_as(Model.of(net), copied(disk, tmp_path / "copy"))
            fault.fired(run.count("snapshot not written"))

    asyncio.run(main())


@pytest.mark.fault(10)
@pytest.mark.parametrize("free_bytes", [1_000_000, 0], ids=["room is left", "none is left"])
def test_a_flood_for_whose_file_there_is_no_room(
    fault: Fault, disk: SmallDisk, tmp_path: Path, free_bytes: int
) -> None:
    """The source waits instead, and the run goes on. Where nothing is left for the writer, DuckDB
    ends the process with no word of ours; nothing is lost by that, either."""

    async def main() -> None:
        async with Firehose() as net:
            loud = new_repo(net)
            for number, frame in enumerate(flood(loud.did, FLOOD, lambda number: number + 1)):
                net.sent.append((number + 1, frame))
            loud.commit(create(PATH, dataset(name_of(0))), rev=Tid(rev_of(0)))
            last = FLOOD - 1
            loud.commit(update(PATH, dataset(name_of(last))), rev=Tid(rev_of(last)))
            disk.fill(6_000_000)
            settings = {"free_bytes": free_bytes, "queue_bytes": 500_000}
            async with running(disk, net, **settings) as run:
                if free_bytes:
                    await run.reached(net.last)
                    assert disk.free > free_bytes
                    fault.fired(run.count("no room for frames that wait"))
                else:
                    assert await run.ended() in (1, -signal.SIGABRT)
                    fault.fired(1)
            cursor, tables = looked_at(copied(disk, tmp_path / "copy"))
            assert [row[1] for row in tables["datasets"]] == [name_of(cursor - 1)]
            disk.make_room()
            await all_is_there(disk, net, Model.of(net), tmp_path / "copy")

    asyncio.run(main())

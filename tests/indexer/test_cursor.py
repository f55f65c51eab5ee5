"""The cursor never passes what waits, whatever becomes of what it waits in."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.server import ServerConnection

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.syntax import Tid
from indexer.batch import SyncState
from indexer.database import open_database
from indexer.frame_queue import FrameQueue
from indexer.metrics import Metrics
from indexer.processor import Outcome, Processor
from indexer.proofs import Prover
from indexer.screen import Screen
from indexer.store import Store
from indexer.turns import Turns
from tests.flow.kills import receiving
from tests.indexer.flood import PATH, flood, name_of, rev_of
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
from tests.indexer.repo_builder import NOW_US, create

FLOOD = 1_000
FIRST = 100_000  # the seq that the flood begins with


class Writer:
    """Screen, queue and processor, step by step; the queue can be lost, as with its process."""

    def __init__(self, net: Firehose, connection: duckdb.DuckDBPyConnection) -> None:
        self._url, self._generation, self._connections = net.url, 0, 0
        self.store = Store(connection)
        resolver = Resolver(HttpClient(Policy(dev=True)), plc=net.plc)
        self._writer, provers = ThreadPoolExecutor(1), ThreadPoolExecutor(2)
        self.processor = Processor(
            self.store,
            Prover(resolver, lambda: NOW_US),
            provers,
            Metrics(CollectorRegistry()),
            Turns(self.store),
            longest_pause=10**12,
        )
        self._receive_anew()

    def _receive_anew(self) -> None:
        self._screen = Screen(self._url, self.store.tracked)
        self._queue = FrameQueue(max_frames=10_000, max_bytes=64_000_000)
        self.connect()

    def lose_all_that_waits(self) -> None:
        """The receiving process is gone, and another one connects."""
        self._generation += 1
        self._connections = self._generation * 1_000_000
        self._receive_anew()

    def connect(self) -> None:
        self._connections += 1
        self._screen.begin(self._connections)

    async def push(self, *frames: bytes) -> None:
        for frame in frames:
            self._screen.take(frame, 0, len(frame))
            await self._queue.put(*self._screen.items(NOW_US))

    async def step(self) -> Outcome:
        """One turn of the writer, and what it left waiting."""
        taken = await self._queue.take(1_000, 0.01)
        outcome = await asyncio.get_running_loop().run_in_executor(
            self._writer,
            lambda: self.processor.process(taken.items, taken.held, self._generation),
        )
        self.processor.flush()
        self._screen.settle(taken.items)
        return outcome

    @property
    def cursor(self) -> int:
        return self.processor.cursor(self._url) or 0


@dataclass
class Scene:
    """A repo that floods, of which 1,000 commits wait, and a later commit of another that does
    not: it has had its turn."""

    net: Firehose
    writer: Writer
    frames: list[bytes]

    async def begin(self) -> None:
        await self.writer.push(*self.frames)
        await self.writer.step()
        late = first_commit(new_repo(self.net, 3), "c").at(FIRST + FLOOD).frame
        await self.writer.push(late)
        await self.writer.step()
        assert FIRST < self.writer.cursor < FIRST + FLOOD - 1

    def after_cursor(self) -> list[bytes]:
        return self.frames[self.writer.cursor + 1 - FIRST :]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_database(tmp_path / "index.duckdb") as opened:
        yield opened


def scene(net: Firehose, connection: duckdb.DuckDBPyConnection) -> Scene:
    loud = new_repo(net, 1)
    return Scene(net, Writer(net, connection), list(flood(loud.did, FLOOD, lambda n: FIRST + n)))


def newest(connection: duckdb.DuckDBPyConnection) -> str:
    query = "SELECT name FROM datasets WHERE name LIKE 'number %'"
    ((name,),) = connection.cursor().execute(query).fetchall()
    return str(name)


def test_what_waited_in_a_process_that_is_gone_is_asked_for_again(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Only a part of it comes before the connection is cut: the cursor is where that part ends."""

    async def main() -> None:
        async with Firehose() as net:
            told = scene(net, connection)
            await told.begin()
            again = told.after_cursor()
            told.writer.lose_all_that_waits()
            await told.writer.push(*again[:50])
            for _ in range(3):
                await told.writer.step()
            came = FLOOD - len(again) + 50
            assert told.writer.cursor == FIRST + came - 1
            assert newest(connection) == name_of(came - 1)
            await told.writer.push(*again[50:])
            for _ in range(20):
                await told.writer.step()
            assert newest(connection) == name_of(FLOOD - 1)

    asyncio.run(main())


def test_what_is_skipped_after_an_unreadable_frame_is_asked_for_again(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """The frame has a repo, but not all of it is CBOR: nothing more of its connection is read, and
    what other repos had waiting there is skipped."""

    async def main() -> None:
        async with Firehose() as net:
            told = scene(net, connection)
            await told.begin()
            good = first_commit(new_repo(net, 2), "b").at(FIRST + FLOOD + 1).frame
            await told.writer.push(good[:-1] + b"\xff")
            asked = set()
            for _ in range(10):
                asked |= (await told.writer.step()).reconnect
            assert asked == {net.url}
            assert told.writer.cursor < FIRST + FLOOD - 1
            told.writer.connect()
            await told.writer.push(*told.after_cursor())
            for _ in range(20):
                await told.writer.step()
            assert newest(connection) == name_of(FLOOD - 1)

    asyncio.run(main())


@dataclass
class CutFirehose(Firehose):
    """Its second connection ends after fifty frames."""

    served: list[int] = field(default_factory=list)

    async def _serve(self, client: ServerConnection) -> None:
        if len(self.seen) != 1:
            await super()._serve(client)
            return
        assert client.request is not None
        cursor = int(parse_qs(urlsplit(client.request.path).query)["cursor"][0])
        self.seen.append(cursor)
        for frame in [frame for seq, frame in self.sent if seq > cursor][:50]:
            await client.send(frame)
        await asyncio.sleep(0.5)


def test_the_receiving_process_is_killed_while_a_repo_floods(tmp_path: Path) -> None:
    """And the connection of the next one is cut: no commit is passed, though nobody tells of the
    repo again."""
    db, count = tmp_path / "index.duckdb", 6_000

    async def main() -> None:
        async with CutFirehose() as net:
            loud = new_repo(net)
            loud.commit(create(PATH, dataset(name_of(0))), rev=Tid(rev_of(0)))
            others = [new_repo(net, number) for number in range(1, 4)]
            for number, frame in enumerate(flood(loud.did, count, lambda n: 1 + n)):
                net.sent.append((1 + number, frame))
            for seq, other in enumerate(others, count + 1):
                commit = other.commit(create(f"{DATASET}/quiet", dataset("quiet")))
                net.sent.append((seq, commit.at(seq).frame))
            limits: dict[str, Any] = {"queue_bytes": 200_000_000, "queue_frames": 100_000}
            with open_database(db) as connection:
                async with running(net, db, connection=connection, isolate=True, **limits) as ours:
                    quiet = "SELECT count(*) FROM datasets WHERE name = 'quiet'"
                    cursor = connection.cursor()
                    await until(
                        lambda: cursor.execute(quiet).fetchall() == [(3,)], lambda: "quiet", 60.0
                    )
                    (child,) = receiving(os.getpid())
                    assert (ours.status().sources[0].cursor or 0) < count
                    os.kill(child, signal.SIGKILL)
                    await until(lambda: len(net.seen) >= 3, lambda: str(net.seen), 60.0)
                    await reached(ours, net, count + 3)
                    state = ours._store.repo(loud.did)
                    assert state is not None
                    assert state.sync_state is SyncState.SYNCED

    asyncio.run(main())
    assert rows(db, "SELECT name FROM datasets WHERE name LIKE 'number %'") == [
        (name_of(count - 1),)
    ]

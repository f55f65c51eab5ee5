"""Receiving in a process of its own: the same rows, whoever of the two is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from atdata.protocol import cbor
from indexer.intake import IntakeSettings, Orders, SourceLink, Waiting
from indexer.intake_process import serve
from indexer.intake_wire import (
    Answer,
    Channel,
    Obey,
    Order,
    Settle,
    Start,
    Take,
    Track,
    answer_of,
    order_of,
    packed,
    packed_answer,
)
from indexer.machine import microseconds
from indexer.received import Passed, Received, Taken
from indexer.subscribe import Link
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
from tests.indexer.repo_builder import Repo, create

NAMES = "SELECT d.name FROM datasets d JOIN records r USING (doc) ORDER BY d.name"
SETTINGS = IntakeSettings(
    sources=("wss://a.test", "wss://b.test"),
    from_oldest=True,
    dev=False,
    receiver="auto",
    batch_events=1,
    queue_frames=2,
    queue_bytes=3,
    spill_bytes=4,
    spill_folder="/x",
    spare_bytes=5,
    ping_seconds=0.5,
    backoff_seconds=0.25,
    backoff_max_seconds=60.0,
)


# --- what the two say to each other ---------------------------------------------------------------


@pytest.mark.parametrize(
    "order",
    [
        Start(SETTINGS, 7, {"wss://a.test": None, "wss://b.test": 2**53 - 1}, [b"did:plc:a"]),
        Track([b"did:plc:a", b"did:web:b.test"]),
        Take(0.25, 1.0),
        Settle({"wss://a.test": 5}),
        Obey(Orders({"wss://a.test": "why"}, frozenset({"x"}), frozenset({"y", "z"}))),
    ],
)
def test_orders_arrive_as_they_were_given(order: Order) -> None:
    assert order_of(packed(order)) == order


def test_what_was_taken_arrives_as_it_was() -> None:
    items = (
        Received("wss://a.test", 3, b"\x00\xffany bytes", 5, did=b"did:plc:a", seq=2**53 - 1),
        Received("wss://a.test", 3, b"", 5, oversized=True),
        Passed("wss://b.test", 1, 5, 100, 5_000, 7, None, 2),
        Passed("wss://b.test", 1, 5, 100, 5_000, 7, "2026-01-01T00:00:00Z", 0),
    )
    links = [SourceLink("wss://a.test", Link.WAITING, 3, 9, None)]
    links.append(SourceLink("wss://b.test", Link.HALTED, 1, 0, "FutureCursor"))
    answer = Answer(Taken(items, {"wss://a.test": 4}), links, Waiting(1, 2, 3, 4, 5, 6))
    assert answer_of(packed_answer(answer)) == answer


def test_an_unknown_order_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="no such order"):
        order_of(packed(Take(0, 0)).replace(b"take", b"give"))


# --- the same rows --------------------------------------------------------------------------------


def children() -> Iterator[int]:
    """The receiving processes that this one started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            if parent == os.getpid() and b"indexer.intake_process" in command:
                yield int(entry.name)


def test_what_is_published_becomes_rows_and_its_repo_is_followed(tmp_path: Path) -> None:
    """The child learns that a repo is tracked, so that its posts keep the chain."""
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with (
            Firehose() as net,
            running(net, db, isolate=True, clock=microseconds) as indexer,
        ):
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await reached(indexer, net)
            post = create("app.bsky.feed.post/3k2yihcrp2c2a", {"text": "hello"})
            await net.send(repo.commit(post))
            await reached(indexer, net)
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            await reached(indexer, net)
            assert indexer.status().sources[0].link is Link.CONNECTED
            assert len(list(children())) == 1

    asyncio.run(main())
    assert rows(db, NAMES) == [("cats",), ("dogs",)]
    assert rows(db, "SELECT sync_state FROM repos") == [("synced",)]
    assert list(children()) == []


def test_an_error_of_the_stream_halts_its_source(tmp_path: Path) -> None:
    async def main() -> tuple[str | None, int]:
        async with Firehose() as net:
            error = cbor.encode({"op": -1}) + cbor.encode({"error": "FutureCursor"})
            await net.send(first_commit(new_repo(net), "cats"), error)
            async with running(
                net, tmp_path / "index.duckdb", isolate=True, clock=microseconds
            ) as indexer:
                await until(
                    lambda: indexer.status().sources[0].link is Link.HALTED, lambda: "halted"
                )
                return indexer.status().sources[0].halted_because, len(net.seen)

    why, connections = asyncio.run(main())
    assert why is not None
    assert "FutureCursor" in why
    assert connections == 1


def test_a_frame_that_cannot_be_read_costs_a_connection(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> int:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"), b"\xff")
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            async with running(net, db, isolate=True, clock=microseconds) as indexer:
                await reached(indexer, net)
            return len(net.seen)

    assert asyncio.run(main()) == 2
    assert rows(db, NAMES) == [("cats",), ("dogs",)]


def test_killed_again_and_again_it_begins_at_the_cursors(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> list[int | None]:
        async with Firehose() as net:
            repos = [new_repo(net, i) for i in range(4)]
            async with running(net, db, isolate=True, clock=microseconds) as indexer:
                for round_ in range(3):
                    await send(net, repos, round_)
                    before = round_ + 1
                    await until(lambda: len(net.seen) >= before, lambda: "there")  # noqa: B023
                    for child in children():
                        os.kill(child, signal.SIGKILL)
                    await send(net, repos, round_ + 10)
                    await until(lambda: len(net.seen) > before, lambda: "back")  # noqa: B023
                await reached(indexer, net)
            return net.seen

    async def send(net: Firehose, repos: list[Repo], round_: int) -> None:
        for i, repo in enumerate(repos):
            name = f"r{round_:02d}-{i}"
            await net.send(repo.commit(create(f"{DATASET}/{name}", dataset(name))))

    seen = asyncio.run(main())
    rounds = (0, 1, 2, 10, 11, 12)
    expected = [f"r{round_:02d}-{i}" for round_ in rounds for i in range(4)]
    assert [name for (name,) in rows(db, NAMES)] == expected
    assert len(seen) == 4
    assert rows(db, "SELECT count(*), count(DISTINCT seq) FROM changes")[0] == (24, 24)
    assert rows(db, "SELECT DISTINCT sync_state FROM repos") == [("synced",)]
    assert list(children()) == []


def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """Also where that is killed: the socket between them ends."""
    program = f"""
import asyncio
from pathlib import Path
from indexer.machine import microseconds
from tests.indexer.network import Firehose, running, until
from tests.indexer.test_isolated import children
DB = Path({str(tmp_path / "x.duckdb")!r})
async def main():
    async with Firehose() as net:
        async with running(net, DB, isolate=True, clock=microseconds):
            await until(lambda: bool(net.seen), lambda: "connected")
            print(*children(), flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()

    async def gone() -> None:
        await until(lambda: not Path(f"/proc/{child}").exists(), lambda: "it ended")

    asyncio.run(gone())


def test_an_answer_that_nobody_waits_for_does_not_keep_it(tmp_path: Path) -> None:
    """Left behind, it would connect again beside the next one."""
    settings = replace(SETTINGS, sources=(), spill_folder=str(tmp_path))

    async def main() -> None:
        ours, theirs = socket.socketpair()
        serving = asyncio.create_task(serve(theirs))
        channel = await Channel.over(ours)
        channel.send(packed(Start(settings, 0, {}, [])))
        channel.send(packed(Take(0.0, 3600.0)))
        await asyncio.sleep(0.1)
        assert not serving.done()
        channel.close()
        await asyncio.wait_for(serving, 10)

    asyncio.run(main())

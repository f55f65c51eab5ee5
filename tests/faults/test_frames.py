"""Faults of frames: what can't be read, is not known, or has an impossible seq."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.conftest import Fault
from tests.faults.hosts import RoughFirehose
from tests.faults.model import Model, same_as
from tests.faults.scenes import asked, drops, indexed
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    reached,
    rows,
    running,
    settled,
)
from tests.indexer.repo_builder import Message, account, create


@pytest.mark.fault(1)
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "invalid_framing"),
        (b"\xa2\x61t\x67#comm", "invalid_cbor"),
        (account("did:plc:x").frame[:-3], "invalid_cbor"),
        (account("did:plc:x").frame + b"\x00", "invalid_framing"),
    ],
    ids=["empty", "cut in the header", "cut in the body", "third object"],
)
def test_a_frame_that_cannot_be_read_is_kept_and_passed_the_second_time(
    fault: Fault, db: Path, bad: bytes, reason: str
) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"), bad)
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)
            assert net.seen == [0, 1], "read again from the watermark, once"
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert drops(db) == {reason: 2}
    assert rows(db, "SELECT reason, frame FROM quarantine") == [(reason, bad)]
    fault.fired(drops(db)[reason])


@pytest.mark.fault(2)
def test_messages_of_a_later_protocol_are_counted_and_passed(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await net.send(Message("#labels", {"seq": 1}), Message("#x", {"seq": 2}, op=7))
            await net.send(Message("#commit", {"seq": 3, "more": [None]}, op=2))
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            assert net.seen == [0], "no reason to connect again"
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert drops(db) == {"unknown_type": 1, "unknown_op": 2}
    fault.fired(sum(drops(db).values()))


@pytest.mark.fault(1)
def test_a_frame_that_is_cut_on_the_way_is_asked_for_again(fault: Fault, db: Path) -> None:
    """A commit, cut at many places and with more behind it; the next connection brings it whole."""

    async def main() -> None:
        async with RoughFirehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            whole = net.sent[-1][1]
            cuts = range(1, len(whole), len(whole) // 9)
            net.farewells = [(1, whole[: cuts[0]]), *((0, whole[:cut]) for cut in cuts[1:])]
            net.farewells.append((0, whole + b"\xa0"))
            broken = len(net.farewells)
            await indexed(net, db)
            assert net.seen == [0, *([1] * broken)]
            assert sum(drops(db).values()) == broken
            assert asked(net, "getRepo") == 0, "nothing was lost"
            same_as(Model.of(net), db)
            fault.fired(net.said)

    asyncio.run(main())


IMPOSSIBLE = (2**53, 2**64 - 1, 0, -1, "7", None, True, [7])


@pytest.mark.fault(7)
def test_a_seq_that_is_none_ends_the_connection_and_loses_nothing(fault: Fault, db: Path) -> None:
    """What comes behind it on the same connection is not believed; the commit itself is passed the
    second time, and what it changed comes with the repo."""

    async def main() -> None:
        async with Firehose() as net:
            for number, seq in enumerate(IMPOSSIBLE):
                repo = new_repo(net, number)
                await net.send(first_commit(repo, "cats"))
                bad = repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))).having(seq=seq)
                await net.send(bad.frame)
                await net.send(repo.commit(create(f"{DATASET}/mice", dataset("mice"))))
            await indexed(net, db)
            assert net.seen == [0, *range(1, 2 * len(IMPOSSIBLE), 2)]
            assert drops(db) == {"invalid_seq": 2 * len(IMPOSSIBLE)}
            assert asked(net, "getRepo") == len(IMPOSSIBLE)
            same_as(Model.of(net), db)

    asyncio.run(main())
    fault.fired(drops(db)["invalid_seq"])


@pytest.mark.fault(35)
def test_a_frame_of_5_mb_is_taken_and_one_byte_more_is_passed(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            large = first_commit(repo, "cats").at(1)
            room = 5_000_000 - len(large.having(more=bytes(100_000)).frame) + 100_000
            assert len(large.having(more=bytes(room)).frame) == 5_000_000
            net.sent.append((1, large.having(more=bytes(room)).frame))
            lost = repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))).at(4)
            net.sent.append((4, lost.having(more=bytes(5_000_001)).frame))
            after = repo.commit(create(f"{DATASET}/mice", dataset("mice"))).at(5)
            net.sent.append((5, after.frame))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)
            assert net.seen == [0, 2, 3, 4], "passed seq by seq, without a loop"
            assert drops(db) == {"oversized_frame": 3}
            same_as(Model.of(net), db)

    asyncio.run(main())
    fault.fired(drops(db)["oversized_frame"])

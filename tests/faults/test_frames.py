"""Faults of frames: what can't be read, is not known, or has an impossible seq."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.conftest import Fault
from tests.faults.model import Model, same_as
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


def drops(db: Path) -> dict[str, int]:
    return dict(rows(db, "SELECT reason, count FROM drops"))


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

"""Faults of connections: errors, jumps, repetitions, dead sockets, several sources."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from atdata.protocol import cbor
from indexer.pipeline import Indexer
from tests.faults.conftest import Fault
from tests.faults.hosts import RoughFirehose, Wire, WiredFirehose
from tests.faults.model import Model, same_as
from tests.faults.scenes import asked, drops, everything, indexed
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    error_frame,
    first_commit,
    new_repo,
    reached,
    rows,
    running,
    settled,
    until,
)
from tests.indexer.repo_builder import NOW_US, Message, create

HOUR = 3_600_000_000


def cursors(db: Path) -> dict[str, int]:
    return dict(rows(db, "SELECT url, cursor FROM sources"))


@pytest.mark.fault(3)
def test_a_cursor_in_the_future_stops_that_source_alone(fault: Fault, db: Path) -> None:
    """Its cursor stays where it is: no reset behind our back."""

    async def main() -> None:
        async with RoughFirehose() as net, Firehose() as other:
            other.documents = net.documents
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await indexed(net, db)
            net.farewells = [(0, error_frame("FutureCursor"))]
            async with running(net, db, other) as indexer:
                await until(lambda: halted(indexer)[0] is not None, lambda: "halted")
                await other.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
                await reached(indexer, other)
                why, of_the_other = halted(indexer)
                assert "FutureCursor" in str(why)
                assert of_the_other is None
            assert net.seen == [0, 1], "left alone"
            assert cursors(db) == {net.url: 1, other.url: 1}
            same_as(Model.of(net), db)
            fault.fired(net.said)

    def halted(indexer: Indexer) -> list[str | None]:
        return [source.halted_because for source in indexer.status().sources]

    asyncio.run(main())


@pytest.mark.fault(4)
def test_a_source_that_finds_us_too_slow_is_given_time_and_resumed(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with RoughFirehose() as net:
            model = await everything(net)
            net.farewells = [(n, error_frame("ConsumerTooSlow")) for n in (0, 3, 1)]
            await indexed(net, db)
            assert net.seen == [0, 0, 3, 4], "each time from the watermark"
            assert drops(db)["stream_error"] == net.said == 3
            same_as(model, db)
            fault.fired(net.said)

    asyncio.run(main())


@pytest.mark.fault(5)
@pytest.mark.parametrize("says_so", [True, False], ids=["OutdatedCursor", "in silence"])
def test_a_jump_beyond_what_the_source_keeps_is_noted_and_healed(
    fault: Fault, db: Path, says_so: bool
) -> None:
    """With ``#info OutdatedCursor``, as a PDS does it, and in silence, as relays do."""

    async def main() -> None:
        async with Firehose() as net:
            quiet, busy, new = (new_repo(net, i) for i in range(3))
            await net.send(first_commit(quiet, "cats", "lynx"), first_commit(busy, "dogs"))
            async with running(net, db, sweep=True) as indexer:
                await reached(indexer, net)
                await swept(indexer)
            missed(net, says_so)
            net.asked.clear()
            async with running(net, db, sweep=True, clock=lambda: NOW_US + 25 * HOUR) as indexer:
                await reached(indexer, net)
                await swept(indexer, since=NOW_US)
            assert new.did in net.repos
            assert asked(net, "listRepos") >= 1
            same_as(Model.of(net), db)

    def missed(net: Firehose, says_so: bool) -> None:
        """Seqs 3 to 8 are never served; 9 is, 25 hours later."""
        quiet, busy, new = net.repos.values()
        quiet.commit(create(f"{DATASET}/lost", dataset("lost")))
        first_commit(new, "mice")
        later = "2023-11-15T23:13:20.000Z"
        after = busy.commit(create(f"{DATASET}/newts", dataset("newts"))).having(time=later)
        if says_so:
            info = Message("#info", {"name": "OutdatedCursor", "message": "too old"})
            net.sent.append((8.5, info.frame))
        net.sent.append((9, after.at(9).frame))

    asyncio.run(main())
    ((text,),) = rows(db, "SELECT gaps FROM sources")
    gaps: list[dict[str, Any]] = json.loads(text)
    assert {gap["from_seq"] for gap in gaps} == {2}
    assert all(gap["healed_at"] is not None for gap in gaps)
    assert any("OutdatedCursor" in gap["why"] for gap in gaps) == says_so
    fault.fired(len(gaps))


async def swept(indexer: Indexer, since: int | None = None) -> None:
    """Until a sweep has ended, and all that it found is fetched."""

    def done() -> bool:
        at = indexer.status().sweep.finished_at
        return at is not None and at != since

    await until(done, lambda: f"swept: {indexer.status()}")
    await settled(indexer)


@pytest.mark.fault(6)
def test_a_window_that_is_sent_again_changes_nothing(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with RoughFirehose() as net:
            model = await everything(net)
            every = list(net.sent)
            net.sent[5:5] = every[:5]
            net.sent.extend(every[3:])
            await indexed(net, db)
            same_as(model, db)
            fault.fired(net.delivered - len(every))

    asyncio.run(main())


@pytest.mark.fault(6)
def test_a_source_that_begins_again_with_lower_seqs_is_followed(fault: Fault, db: Path) -> None:
    """As a relay does that was set up anew: what it says under low seqs is as good as before."""

    async def main() -> None:
        async with Firehose() as net:
            model = await everything(net)
            high = net.last
            repo = new_repo(net, 7)
            low = [first_commit(repo, "owls"), repo.commit(create(f"{DATASET}/x", dataset("x")))]
            net.sent += [(high + 0.5, message.at(i + 1).frame) for i, message in enumerate(low)]
            await net.send(repo.commit(create(f"{DATASET}/y", dataset("y"))).at(high + 1))
            await indexed(net, db)
            same_as(model, db)
            ((cursor,),) = rows(db, "SELECT cursor FROM sources")
            assert cursor == high + 1
            fault.fired(len(low))

    asyncio.run(main())


@pytest.mark.fault(6)
def test_connections_that_break_in_every_place_lose_and_double_nothing(
    fault: Fault, db: Path
) -> None:
    async def main() -> None:
        async with RoughFirehose() as net:
            model = await everything(net)
            net.farewells = [(n, b"") for n in (1, 2, 0, 3, 1, 1)]
            await indexed(net, db)
            assert net.said == 6
            same_as(model, db)
            fault.fired(net.said)

    asyncio.run(main())


@pytest.mark.fault(8)
@pytest.mark.parametrize("receiver", ["bulk", "websockets"])
def test_a_dead_socket_is_replaced_and_an_idle_one_is_not(
    fault: Fault, db: Path, receiver: str
) -> None:
    """The wire dies in the middle of a frame; nobody closes anything. The other source is silent
    for as long, but answers pings."""

    async def main() -> None:
        async with WiredFirehose() as net, Firehose() as idle:
            model = await everything(net)
            async with Wire(net.port, dies_after=[600, 3_000, 5_000]) as wire:
                net.wire = wire
                options = {"ping_seconds": 0.2, "receiver": receiver}
                async with running(net, db, idle, **options) as indexer:  # type: ignore[arg-type]
                    await reached(indexer, net)
                    await settled(indexer)
                    quiet = indexer.status().sources[1].connections
                assert wire.dead == 3
                assert len(net.seen) == 4
                assert quiet == len(idle.seen) == 1
                fault.fired(wire.dead)
            same_as(model, db)

    asyncio.run(main())


@pytest.mark.fault(36)
def test_two_sources_with_their_own_seqs_bring_each_commit_once(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net, Firehose() as relay:
            model = await everything(net)
            relay.sent = [
                (1_000 + i, numbered(frame, 1_000 + i)) for i, (_, frame) in enumerate(net.sent)
            ]
            alone, both = db.with_name("alone.duckdb"), db
            await indexed(net, alone)
            async with running(net, both, relay) as indexer:
                await reached(indexer, net)
                await reached(indexer, relay)
                await settled(indexer)
            assert cursors(both) == {net.url: net.last, relay.url: relay.last}
            same_as(model, both)
            count = "SELECT count(*) FROM changes WHERE action <> 'visibility'"
            assert rows(both, count) == rows(alone, count), "each once"
            fault.fired(len(relay.seen) and len(relay.sent))

    asyncio.run(main())


def numbered(frame: bytes, seq: int) -> bytes:
    """The same frame as another source would number it."""
    for split in range(1, 40):
        try:
            head, body = cbor.decode(frame[:split]), cbor.decode(frame[split:])
        except ValueError:
            continue
        assert isinstance(head, dict)
        assert isinstance(body, dict)
        return cbor.encode(head) + cbor.encode({**body, "seq": seq})
    raise AssertionError("no frame")

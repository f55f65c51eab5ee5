"""The queue before the writer: bounded, and fair to repos and sources."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from indexer.frame_queue import SHARE, FrameQueue
from indexer.received import Item, Passed, Received, Taken


def frame(seq: int, did: bytes | None = b"did:a", size: int = 1, source: str = "a") -> Received:
    return Received(source, 1, bytes([seq % 256]) * size, 0, did=did, seq=seq if did else None)


def run(seq: int, frames: int = 5, connection: int = 1) -> Passed:
    return Passed("a", connection, seq, frames, 500, seq, f"at {seq}", 1)


def taken(*items: Item, limits: tuple[int, ...] = (10,), **options: object) -> list[Taken]:
    """What is taken under each limit, after all ``items`` were put."""

    async def main() -> list[Taken]:
        queue = FrameQueue(**{"max_frames": 10_000, "max_bytes": 1_000_000, **options})  # type: ignore[arg-type]
        await queue.put(*items)
        return [await queue.take(limit, 0) for limit in limits]

    return asyncio.run(main())


def seqs(run: Taken) -> list[int | None]:
    return [item.seq for item in run.items]


# --- fair turns -----------------------------------------------------------------------------------


def test_it_gives_what_waits_in_order_up_to_a_limit() -> None:
    found = taken(*(frame(seq) for seq in (1, 2, 3)), limits=(2, 5, 5))
    assert list(map(seqs, found)) == [[1, 2], [3], []]
    assert [one.held for one in found] == [{"a": 3}, {}, {}]


def test_a_repo_that_floods_gets_its_share_and_no_more() -> None:
    flood = [frame(seq) for seq in range(1, 1_001)]
    late = [frame(1_001, b"did:b"), frame(1_002, b"did:c")]
    found = taken(*flood, *late, limits=(1_000,) * 5)
    assert seqs(found[0]) == [*range(1, SHARE + 1), 1_001, 1_002]
    assert found[0].held == {"a": SHARE + 1}  # so the cursor stays behind
    assert [seq for one in found[1:] for seq in seqs(one)] == list(range(SHARE + 1, 1_001))
    assert found[-1].held == {}


def test_a_light_repo_waits_for_a_turn_of_the_others_at_most() -> None:
    floods = [frame(i, b"did:%d" % (i % 20)) for i in range(1, 4_001)]
    found = taken(*floods, frame(4_001, b"did:light"), limits=(1_000,) * 5)
    assert 4_001 in seqs(found[3]) + seqs(found[4])
    turns = [{item.did for item in one.items if isinstance(item, Received)} for one in found]
    assert len(set.union(*turns[:4])) == 20  # everybody was heard meanwhile


def test_it_gathers_while_something_arrives_and_not_when_nothing_does() -> None:
    async def main() -> tuple[int, int]:
        queue = FrameQueue(max_frames=10_000, max_bytes=1_000_000)
        await queue.put(frame(1))
        await queue.gather(8, 3_600)  # in vain: nobody sends
        alone = queue.frames
        gathering = asyncio.create_task(queue.gather(8, 3_600))
        for seq in range(2, 9):
            await asyncio.sleep(0.02)
            assert not gathering.done()
            await queue.put(frame(seq))
        await gathering
        return alone, queue.frames

    assert asyncio.run(asyncio.wait_for(main(), 60)) == (1, 8)


def test_one_source_does_not_keep_another_waiting() -> None:
    many = [frame(i, b"did:%d" % i) for i in range(1, 5_000)]
    (first,) = taken(*many, frame(1, source="b"), limits=(100,))
    assert [item.source for item in first.items].count("b") == 1
    assert len(first.items) <= 100


def test_a_message_of_no_repo_is_a_bar() -> None:
    """What can't be read may end the connection: all before it is done first, nothing after it."""
    flood = [frame(seq) for seq in range(1, 2 * SHARE + 1)]
    after = frame(9_000, b"did:b")
    found = taken(*flood, frame(0, None), after, limits=(1_000,) * 3)
    assert [len(one.items) for one in found] == [SHARE, SHARE + 2, 0]
    assert seqs(found[1])[-2:] == [None, 9_000]
    assert found[0].held == {"a": SHARE + 1}


def test_what_is_taken_at_once_is_bounded_in_bytes() -> None:
    large = [frame(seq, b"did:%d" % seq, size=5_000_000) for seq in range(1, 9)]
    found = taken(*large, limits=(100,) * 3, max_bytes=100_000_000)
    assert list(map(seqs, found)) == [[1, 2, 3, 4], [5, 6, 7, 8], []]


# --- runs of what does not matter -----------------------------------------------------------------


def test_runs_become_one_and_never_wait() -> None:
    flood = [frame(seq) for seq in range(1, 2 * SHARE + 1)]
    (found,) = taken(run(1), *flood, run(700), run(600), limits=(1_000,))
    assert found.items[0] == Passed("a", 1, 600, 15, 1_500, 700, "at 600", 3)
    assert len(found.items) == SHARE + 1
    assert found.held == {"a": SHARE + 1}


def test_runs_of_two_connections_stay_two() -> None:
    (found,) = taken(run(1), run(2, connection=2))
    assert [item.connection for item in found.items] == [1, 2]


def test_a_run_is_not_made_longer_than_its_time_can_say() -> None:
    (found,) = taken(run(1, frames=60_000), run(2, frames=60_000))
    assert len(found.items) == 2


def test_what_does_not_matter_does_not_wake_the_writer() -> None:
    async def main() -> list[int]:
        queue = FrameQueue(max_frames=8, max_bytes=1_000_000)
        await queue.put(run(1))
        counts = [len((await queue.take(10, 0.01)).items)]
        task = asyncio.create_task(queue.take(10, 60))
        await queue.put(run(2))
        await asyncio.sleep(0.01)
        assert not task.done()
        await queue.put(frame(3))
        counts.append(len((await task).items))
        return counts

    assert asyncio.run(main()) == [1, 2]


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "size"), [(2, 1), (100, 600_000)])
def test_it_makes_writers_wait_for_room(frames: int, size: int) -> None:
    async def main() -> tuple[int, int, int]:
        queue = FrameQueue(max_frames=frames, max_bytes=1_000_000)
        putting = [asyncio.create_task(queue.put(frame(i, size=size))) for i in range(3)]
        await asyncio.sleep(0.02)
        before = queue.frames
        await queue.take(1, 0)
        await asyncio.sleep(0.02)
        after = queue.frames
        await queue.take(10, 0)
        await asyncio.wait(putting, timeout=1)
        return before, after, queue.bytes

    before, after, held = asyncio.run(main())
    limit = min(frames, 1_000_000 // size)
    assert (before, after) == (limit, limit)
    assert held in (0, size)


def test_a_frame_larger_than_the_queue_still_passes() -> None:
    (found,) = taken(frame(1, size=100), max_frames=10, max_bytes=10)
    assert len(found.items) == 1


def test_a_flood_waits_in_a_file_and_comes_back_byte_for_byte(tmp_path: Path) -> None:
    """With room for 600 frames in memory, 5,000 of one repo do not keep another one out."""

    async def main() -> tuple[list[Received], int, int, int]:
        queue = FrameQueue(
            max_frames=600, max_bytes=1_000_000, spill_bytes=10_000_000, folder=tmp_path
        )
        flood = [frame(seq, size=1 + seq % 3_000) for seq in range(1, 5_001)]
        await asyncio.wait_for(queue.put(*flood, frame(5_001, b"did:b")), 5)
        in_memory, in_file = queue.bytes, queue.spilled_bytes
        items = [i for _ in range(30) for i in (await queue.take(1_000, 0)).items]
        received = [item for item in items if isinstance(item, Received)]
        return received, in_memory, in_file, queue.spilled_bytes

    items, in_memory, in_file, left = asyncio.run(main())
    assert in_memory < 700_000 < in_file
    assert left == 0
    assert [item.seq for item in items[: SHARE + 1]] == [*range(1, SHARE + 1), 5_001]
    of_flood = [item for item in items if item.did == b"did:a"]
    assert [item.seq for item in of_flood] == list(range(1, 5_001))
    assert all(item == frame(item.seq or 0, size=len(item.frame)) for item in of_flood)
    assert [len(item.frame) for item in of_flood] == [1 + seq % 3_000 for seq in range(1, 5_001)]
    assert not list(tmp_path.iterdir())  # it has no name


def test_when_the_file_is_full_the_source_waits(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        queue = FrameQueue(max_frames=600, max_bytes=1_000_000, spill_bytes=1_000, folder=tmp_path)
        putting = asyncio.create_task(queue.put(*(frame(i, size=10) for i in range(1, 3_001))))
        await asyncio.sleep(0.02)
        waiting = queue.frames
        count = 0
        while not putting.done() or queue.frames:
            count += len((await queue.take(1_000, 0)).items)
            await asyncio.sleep(0)
        return waiting, count

    assert asyncio.run(main()) == (600 + 100, 3_000)


def test_what_the_database_needs_of_the_disk_is_left_and_memory_must_do(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        queue = FrameQueue(
            max_frames=600,
            max_bytes=1_000_000,
            spill_bytes=1_000_000,
            spare_bytes=2**60,
            folder=tmp_path,
        )
        putting = asyncio.create_task(queue.put(*(frame(i, size=10) for i in range(1, 3_001))))
        await asyncio.sleep(0.02)
        waiting, in_file = queue.frames, queue.spilled_bytes
        count = 0
        while not putting.done() or queue.frames:
            count += len((await queue.take(1_000, 0)).items)
            await asyncio.sleep(0)
        assert count == 3_000
        return waiting, in_file

    assert asyncio.run(main()) == (600, 0)


def test_without_a_folder_to_write_to_memory_must_do(tmp_path: Path) -> None:
    items = [frame(seq) for seq in range(1, 1_001)]
    found = taken(*items, limits=(1_000,) * 5, spill_bytes=1_000, folder=tmp_path / "missing")
    assert [seq for one in found for seq in seqs(one)] == list(range(1, 1_001))

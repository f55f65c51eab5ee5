"""A million malformed frames through the real path: none stops it, nothing grows, and every good
frame in between is indexed.

A frame that can't be read costs a new connection, so that a million of them would be a million
handshakes. Therefore most go in process through what receives and writes – screen, processor,
prover, store on disk – each under a connection number of its own, as if it had come after a
reconnect. A part of them, one in 2,000, goes over a socket: a server process sends them in bulk,
and the indexer as it runs reconnects after each one that it can't place.

A frame counts as malformed when it was dropped by name. The others that are sent say something that
is still valid, of accounts that nobody compares.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

from indexer.drops import InvalidEvent
from indexer.frames import peek
from indexer.received import Item
from indexer.screen import Screen
from tests.fuzz.mutations import damaged, restated
from tests.indexer.network import DATASET, Firehose, dataset, plc_did, rows, running, until
from tests.indexer.repo_builder import NOW_US, Message, Repo, create
from tests.properties.networks import Network
from tests.properties.offline import offline_index

SOURCE = "wss://relay.invalid"
WARM = 200_000  # frames, until the quarantine, the caches and the database's buffers are full
# Resident memory goes up and down with the database's checkpoints, by as much as PEAK_MB; what must
# not grow is its lowest point of each twentieth of the run.
GROWTH_MB, PEAK_MB = 64, 160
OVER_SOCKET = 2_000  # one in so many: each costs up to a second

_RUN = 1_000  # frames in one transaction
_GOOD_IN_RUN = 2
_GOOD_AUTHORS = 20
_FIRST_GOOD = 500_000  # the number of the first author, far from those that are damaged
_RESTATED = 0.1  # of the malformed; they have to be signed, which takes most of the time
_BAD_BETWEEN = 4  # over the socket, at most so many between two good ones
_FIRST_SEQ = 1_000_000  # over the socket; a seq that is left in a bad frame is below
_SOCKET_SECONDS = 24 * 3_600.0


def good() -> Iterator[Message]:
    """Commits of a few accounts in turn, each with one more dataset."""
    authors = [Repo(did=plc_did(_FIRST_GOOD + n)) for n in range(_GOOD_AUTHORS)]
    while True:
        for repo in authors:
            path = f"{DATASET}/{repo.next_rev()}"
            yield repo.commit(create(path, dataset(f"good {repo.commits}")))


def bad(rng: Random) -> Iterator[bytes]:
    """Frames of everything that a network sends, damaged or restated."""
    frames = [message.at(1_000 + n).frame for n, message in enumerate(Network(rng, 5, 400).events)]
    while True:
        frame = rng.choice(frames)
        if rng.random() < _RESTATED:
            yield restated(rng, frame)
        else:
            yield damaged(rng, frame, frames)


def uris(messages: list[Message]) -> set[str]:
    return {f"at://{m.body['repo']}/{op['path']}" for m in messages for op in m.body["ops"]}


def resident_mb() -> float:
    """Of this process."""
    with Path("/proc/self/status").open(encoding="ascii") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


class Memory:
    """Of this process: the lowest point of each stage of a run, once it is warm."""

    def __init__(self) -> None:
        self._by_stage: dict[int, float] = {}

    @property
    def lows(self) -> list[float]:
        return list(self._by_stage.values())

    def look(self, stage: int, *, warm: bool) -> None:
        """Raises ``AssertionError`` once a whole stage lies higher than it may."""
        if not warm:
            return
        now = resident_mb()
        if stage not in self._by_stage and self.lows:
            growth = self.lows[-1] - self.lows[0]
            assert growth < GROWTH_MB, f"memory grows: {self.lows}"
        self._by_stage[stage] = min(now, self._by_stage.get(stage, now))
        assert now < self.lows[0] + PEAK_MB, f"{now:.0f} MB, after {self.lows}"


# --- in process -------------------------------------------------------------------------------


def in_process(frames: int, seed: int) -> None:
    """Until ``frames`` were dropped by name. Raises ``AssertionError``."""
    rng, sent = Random(seed), set[str]()
    good_frames, bad_frames = good(), bad(rng)
    began, taken, shown, memory = time.monotonic(), 0, -1, Memory()
    with (
        tempfile.TemporaryDirectory() as folder,
        offline_index(Path(folder) / "index.duckdb") as (processor, store, connection),
    ):
        screen = Screen(SOURCE, store.tracked)
        while (dropped := sum(store.drops.values())) < frames:
            run: list[bytes] = list(islice(bad_frames, _RUN - _GOOD_IN_RUN))
            for message in islice(good_frames, _GOOD_IN_RUN):
                sent |= uris([message])
                run.insert(rng.randrange(len(run) + 1), message.at(len(sent)).frame)
            items = list(_received(screen, run, first=taken + 1))
            processor.process(items)
            screen.settle(items)
            taken += len(run)
            memory.look(20 * dropped // frames, warm=dropped >= WARM)
            if 20 * dropped // frames != shown:
                shown = 20 * dropped // frames
                _show(began, taken, dropped, len(sent))
        processor.flush()
        found = {u for (u,) in connection.execute("SELECT uri FROM records").fetchall()}
        missing = sent - found
        reasons = store.drops
    assert not missing, f"{len(missing)} good frames are not indexed: {sorted(missing)[:3]}"
    _show(began, taken, sum(reasons.values()), len(sent))
    print(f"  lowest memory of each twentieth: {', '.join(f'{low:.0f}' for low in memory.lows)} MB")
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        print(f"  {count:>9,} {reason}")


def _received(screen: Screen, frames: list[bytes], first: int) -> Iterator[Item]:
    """What the screen hands over, each frame under the number of a connection of its own."""
    for number, frame in enumerate(frames, first):
        screen.begin(number)
        screen.take(frame, 0, len(frame))
        yield from screen.items(NOW_US)


def _show(began: float, taken: int, dropped: int, good_ones: int) -> None:
    print(
        f"  {time.monotonic() - began:6.0f} s  {taken:>9,} frames, {dropped:>9,} dropped, "
        f"{good_ones:,} good, {resident_mb():.0f} MB",
        flush=True,
    )


# --- over a socket ----------------------------------------------------------------------------


def stream(frames: int, seed: int) -> tuple[list[tuple[float, bytes]], list[Message]]:
    """``(place, frame)`` in order, and the good ones: their places are their seqs. A bad one with
    a seq above theirs is left out: a source that jumps ahead is believed."""
    rng, sent, placed, count = Random(seed), list[Message](), list[tuple[float, bytes]](), 0
    bad_frames = (frame for frame in bad(rng) if not _jumps(frame))
    for seq, message in enumerate(good(), _FIRST_SEQ):
        sent.append(message)
        placed.append((seq, message.at(seq).frame))
        if count >= frames:
            return placed, sent
        for n in range(rng.randint(0, _BAD_BETWEEN)):
            placed.append((seq + (n + 1) / 10, next(bad_frames)))
            count += 1
    raise AssertionError("good frames do not end")


def _jumps(frame: bytes) -> bool:
    try:
        seq = peek(frame).seq
    except InvalidEvent:
        return False
    return seq is not None and seq >= _FIRST_SEQ


def serve(frames: int, seed: int) -> None:
    """In a process of its own: prints its port, and ends with its standard input."""

    async def main() -> None:
        placed, sent = stream(frames, seed)
        async with Firehose(sent=placed) as net:
            for did in {message.body["repo"] for message in sent}:
                net.knows(did)
            print(net.port, flush=True)
            await asyncio.to_thread(sys.stdin.read)

    asyncio.run(main())


def over_a_socket(frames: int, seed: int) -> None:
    """All of ``stream``, from a server process. Raises ``AssertionError``."""
    placed, sent = stream(frames, seed)
    command = [sys.executable, "-m", "tests.soak", "serve", str(frames), str(seed)]
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server,
    ):
        assert server.stdout is not None
        net = Firehose(port=int(server.stdout.readline()), sent=placed)
        db = Path(folder) / "index.duckdb"
        connections = asyncio.run(_follow(net, db))
        server.communicate()
        missing = uris(sent) - {uri for (uri,) in rows(db, "SELECT uri FROM records")}
        dropped = sum(count for (count,) in rows(db, "SELECT count FROM drops"))
    assert not missing, f"{len(missing)} good frames are not indexed: {sorted(missing)[:3]}"
    print(
        f"  {time.monotonic() - began:6.0f} s  {len(placed):,} frames over {connections:,} "
        f"connections, {dropped:,} dropped, {len(sent):,} good, {resident_mb():.0f} MB",
        flush=True,
    )


async def _follow(net: Firehose, db: Path) -> int:
    """Returns how often it connected."""
    async with running(net, db, backoff_seconds=0.002, backoff_max_seconds=0.004) as indexer:

        def reached() -> bool:
            return indexer.status().sources[0].cursor == net.last

        await until(reached, lambda: str(indexer.status()), _SOCKET_SECONDS)
        return indexer.status().sources[0].connections

"""A pulling process killed (SIGKILL) at many random bytes: nothing is lost, nothing wrong kept."""

from __future__ import annotations

import os
import queue
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import atdata
from atdata.library import Library, file_cid
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import NotFound
from atdata.protocol.syntax import AtUri
from tests.discovery.host import Host
from tests.discovery.puller import Puller, puller
from tests.library.shards import Feature, features, shard

SHARDS = [shard(features(start, 60)) for start in (0, 60, 120)]
WHOLE = sum(map(len, SHARDS))
KILLS = 25
SEEN_SECONDS = 20.0

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="left out: needs fork")


@pytest.fixture(scope="module")
def process() -> Iterator[Puller]:
    with puller() as running:
        yield running


@dataclass
class Deadly:
    """Sends so many bytes to a process, sees them arrive in its files, and kills it."""

    folder: Path
    left: int
    sent: int = 0
    killed: bool = False
    pid: queue.Queue[int] = field(default_factory=queue.Queue)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        """One request at a time, so that the last byte that is sent is the last one there is."""
        (cid,) = parse_qs(urlsplit(request.path).query)["cid"]
        (whole,) = (shard for shard in SHARDS if str(Cid.of(shard, RAW)) == cid)
        with self.lock:
            mine = data[: self.left]
            request.wfile.write(mine)
            self.left, self.sent = self.left - len(mine), self.sent + len(mine)
            self._see(cid, len(whole) - len(data) + len(mine))
            if self.left == 0 and not self.killed:
                self.killed = True
                os.kill(self.pid.get(timeout=20), signal.SIGKILL)
            if self.left == 0:
                request.close_connection = True

    def _see(self, cid: str, size: int) -> None:
        """Wait until so many bytes are in the file. Those written over others cannot be seen."""
        deadline = time.monotonic() + SEEN_SECONDS
        while size > max((p.stat().st_size for p in self.folder.glob(f"{cid}.*")), default=0):
            assert time.monotonic() < deadline, "the bytes that were sent do not arrive"
            time.sleep(0.001)


def held(folder: Path) -> int:
    """Bytes of shards, whole or in part."""
    total = 0
    for path in folder.glob("bafk*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # renamed meanwhile
            return held(folder)
    return total


def finished(folder: Path) -> int:
    """Bytes of shards that are whole, whether or not they got their name in time."""
    sizes = [path.stat().st_size for path in folder.glob("bafk*")]
    return sum(size for size in sizes if size in map(len, SHARDS))


def check_kept(folder: Path, uri: str, library: Path) -> int:
    """Every file is right as far as it goes. Returns how many bytes there are."""
    for path in folder.glob("bafk*"):
        name, _, rest = path.name.partition(".")
        data = path.read_bytes()
        if rest == "tar":
            assert str(file_cid(path)) == name
        else:
            assert any(whole.startswith(data) for whole in SHARDS), path
    with pytest.raises(NotFound):
        Library(library).find(AtUri.parse(uri))
    return held(folder)


@pytest.mark.parametrize("ranges", [True, False], ids=["with ranges", "as a PDS"])
@pytest.mark.parametrize("workers", [1, 3])
def test_killed_at_any_byte_it_resumes_and_loses_nothing(
    host: Host, library: Path, process: Puller, ranges: bool, workers: int
) -> None:
    uri = host.dataset(host.schema(Feature), SHARDS)
    folder = Library(library).folder(AtUri.parse(uri))
    host.ranges = ranges
    rng = random.Random(f"{ranges} {workers}")
    kept, killed_at = 0, set()
    for _ in range(KILLS):
        # With ranges all that arrives counts, without them only whole shards do.
        room = (WHOLE - kept) // 8 if ranges else WHOLE - finished(folder) - 1
        deadly = Deadly(folder, rng.randint(1, room))
        host.write = deadly.write
        deadly.pid.put(process.start(host.server.url, uri, library, workers))
        assert process.end() == -signal.SIGKILL
        there = check_kept(folder, uri, library)
        assert there >= kept, "an interruption lost bytes"
        kept = there
        killed_at.add(deadly.sent)
    assert len(killed_at) > KILLS // 2, "the kills fell on different bytes"
    assert kept > WHOLE // 3

    last = Deadly(folder, left=10 * WHOLE)
    host.write = last.write
    process.start(host.server.url, uri, library, workers)
    assert process.end() == 0
    if ranges:
        assert last.sent == WHOLE - kept, "only what was missing"
    assert [path.read_bytes() for path in atdata.pull(uri)] == SHARDS
    host.server.seen.clear()
    assert list(atdata.load_dataset(uri, Feature, verify=True)) == features(0, 180)
    assert host.server.seen == []

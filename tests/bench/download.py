"""How fast blobs and shards come from a PDS, and what memory that takes, measured in one run.

A server in a process of its own makes up a shard as it sends it, as a PDS sends a blob (no ranges).
Ours, which checks every byte against the CID before it hands out the first, is held against a bare
``http.client`` that hashes what it reads and keeps nothing. They take turns; a ratio is the median
over the rounds, by the reader's time on its core, which counts, and by the clock.

    python -m tests.bench.download [--megabytes 2000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import io
import multiprocessing
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

import atdata
from atdata import BlobSource, Dataset, URLSource
from atdata.protocol.cid import RAW, Cid
from atdata.settings import configure
from tests.bench.goals import Goals

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
MEMBER = 1 << 20
GET_BLOB = "/xrpc/com.atproto.sync.getBlob"


@atdata.packable
class Big:
    data: NDArray[np.uint8]


def member() -> bytes:
    """One sample of a megabyte as a member of a tar, header and padding."""
    data = Big(np.arange(MEMBER, dtype=np.uint8)).packed
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("sample.msgpack")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        return out.getvalue()[: tar.offset]


def named(sample: bytes, number: int) -> bytes:
    """The member under a name of its own, which needs a checksum of its own."""
    header = bytearray(sample[:512])
    header[:100] = (b"%09d.msgpack" % number).ljust(100, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def pieces(members: int) -> Iterator[bytes]:
    """A whole shard; the bulk of it is the same memory again and again."""
    sample = member()
    body = sample[512:]
    for number in range(members):
        yield named(sample, number)
        yield body
    yield bytes(1024)


def length(members: int) -> int:
    return members * len(member()) + 1024


def serve(members: int, ready: Connection) -> None:
    size = length(members)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            for piece in pieces(members):
                self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_address[1])
    server.serve_forever()


class Server:
    """The server process, for as long as the ``with`` lasts. ``cid`` is that of its shard."""

    def __init__(self, members: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(members, theirs), daemon=True)
        self._process.start()
        self.size = length(members)
        self.url = f"http://127.0.0.1:{ours.recv()}"
        sha256 = hashlib.sha256()
        for piece in pieces(members):
            sha256.update(piece)
        self.cid = str(Cid(bytes((1, RAW, 0x12, 0x20)) + sha256.digest()))
        self.blob = BlobSource.from_refs([{"did": DID, "cid": self.cid}], pds_endpoint=self.url)

    def address(self) -> URLSource:
        return URLSource(f"{self.url}/shard.tar")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


# --- readers: each returns the bytes that it has seen --------------------------------------------


def bare(server: Server) -> int:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.request("GET", f"{GET_BLOB}?did={DID}&cid={server.cid}")
    response, sha256, seen = connection.getresponse(), hashlib.sha256(), 0
    buffer = memoryview(bytearray(1 << 18))
    while count := response.readinto(buffer):
        sha256.update(buffer[:count])
        seen += count
    connection.close()
    return seen


def from_blob(server: Server) -> int:
    """Downloaded and checked; opened, not yet read."""
    with server.blob.open_shard(server.blob.list_shards()[0]) as stream:
        return stream.seek(0, io.SEEK_END)


def from_address(server: Server) -> int:
    """Streamed and hashed."""
    sha256, seen = hashlib.sha256(), 0
    buffer = memoryview(bytearray(1 << 18))
    with server.address().open_shard(server.address().list_shards()[0]) as stream:
        while count := stream.readinto(buffer):  # type: ignore[attr-defined]
            sha256.update(buffer[:count])
            seen += count
    return seen


READERS: dict[str, Callable[[Server], int]] = {
    "http.client": bare,
    "BlobSource": from_blob,
    "URLSource": from_address,
}


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds that one reader took for the shard: on its core, and by the clock."""

    core: float
    clock: float


def measure(server: Server, rounds: int) -> dict[str, list[Took]]:
    """What every reader took, round by round. The first round, in which connections and files are
    made, does not count: a dataset has many shards."""
    found: dict[str, list[Took]] = {name: [] for name in READERS}
    for turn in range(rounds + 1):
        for name, read in READERS.items():
            core, clock = time.process_time(), time.perf_counter()
            seen = read(server)
            took = Took(time.process_time() - core, time.perf_counter() - clock)
            if seen != server.size:
                raise SystemExit(f"{name} saw {seen} of {server.size} bytes")
            if turn:
                found[name].append(took)
    return found


def report(size: int, found: dict[str, list[Took]], goals: Goals) -> None:
    rates = (
        f"{name} {size / median(t.core for t in took) / 1e9:.2f} GB/s of core, "
        f"{size / median(t.clock for t in took) / 1e9:.2f} by the clock"
        for name, took in found.items()
    )
    print("    " + "\n    ".join(rates))
    for name in ("BlobSource", "URLSource"):
        pairs = list(zip(found["http.client"], found[name], strict=True))
        core = median(other.core / ours.core for other, ours in pairs)
        clock = median(other.clock / ours.clock for other, ours in pairs)
        what = f"{name} / http.client, {size / 1e6:.0f} MB: {core:.2f}"
        print(f"    {what}, by the clock {clock:.2f}  {goals.verdict(what, '0.8', core >= 0.8)}")


def peak_memory(members: int, kind: str, answer: Connection) -> None:
    """Read every sample in a process of its own; answers its largest resident set, in bytes."""
    configure(dev=True)
    with Server(members) as server:
        source = server.blob if kind == "BlobSource" else server.address()
        count = sum(1 for _ in Dataset[Big](source))
        if count != members:
            raise SystemExit(f"{count} of {members} samples")
        answer.send(largest_resident())


def largest_resident() -> int:
    """Of this process since its program was started, in bytes; ``ru_maxrss`` would count what its
    parent had when it forked."""
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) * 1024


def peak_of(members: int, kind: str) -> int:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=peak_memory, args=(members, kind, theirs))
    process.start()
    theirs.close()
    try:
        peak: int = ours.recv()
    finally:
        process.join()
    return peak


def main(arguments: list[str] | None = None, goals: Goals | None = None) -> None:
    """Exits with 1 if a goal was missed, unless there are ``goals`` to take that."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=2000, help="of the shard, for its memory")
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args(arguments)
    ours = goals or Goals()
    configure(dev=True)
    for megabytes in (48, 400):  # as large as a PDS has it, and larger
        print(f"a shard of {megabytes} MB")
        with Server(megabytes) as server:
            report(server.size, measure(server, chosen.rounds), ours)
    for name in ("BlobSource", "URLSource"):
        peak = peak_of(chosen.megabytes, name) / 1e6
        what = f"{chosen.megabytes} MB as samples of 1 MB from a {name}: {peak:.0f} MB resident"
        print(f"{what}  {ours.verdict(what, 'below 200 MB', peak < 200)}")
    if goals is None:
        ours.end()


if __name__ == "__main__":
    main()

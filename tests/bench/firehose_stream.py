"""A relay's catch-up stream for the benchmarks: made beforehand, served from a process of its own.

Every frame is valid. Noise is commits of real repos of 4–5 kB, with 0.5 % #identity and #account;
0.2 % of all frames are commits in an indexed collection, each signed and chained, each sent once.
WebSocket frames are made once and written in bulk; between two laps only the seq of the noise is
set, in place. So the server costs a copy to the kernel, and is never the limit.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from websockets.utils import accept_key

from tests.indexer.flood import flood
from tests.indexer.network import DATASET, dataset, plc_did
from tests.indexer.repo_builder import K256, Repo, account, create, identity

FIRST_SEQ = 1 << 33
TAPE = "tape"
COLLECTIONS = ("app.bsky.feed.like", "app.bsky.feed.post", "app.bsky.feed.repost")
_SEQ = b"cseq\x1b"


@dataclass(frozen=True)
class Plan:
    """``frames`` in all, of them one in ``matching_every`` in an indexed collection."""

    frames: int
    lap: int = 5_000
    matching_every: int = 500
    authors: int = 40


def websocket_frame(payload: bytes) -> bytes:
    """As a server sends it: whole, binary, unmasked."""
    n = len(payload)
    if n < 126:
        return struct.pack(">BB", 0x82, n) + payload
    if n < 65_536:
        return struct.pack(">BBH", 0x82, 126, n) + payload
    return struct.pack(">BBQ", 0x82, 127, n) + payload


def noise(count: int, seed: int = 1) -> list[bytes]:
    """Frames that do not matter, under ``FIRST_SEQ``."""
    rng = random.Random(seed)
    repos = [Repo(did=plc_did(1_000_000 + i)) for i in range(max(1, count // 10))]
    frames = []
    for i in range(count):
        repo = repos[i % len(repos)]
        if i % 400 == 399:
            message = identity(repo.did, handle="someone.test")
        elif i % 400 == 199:
            message = account(repo.did)
        else:
            text = "".join(
                rng.choices("abcdefghijklmnopqrstuvwxyz     ", k=rng.randrange(3_000, 4_600))
            )
            path = f"{rng.choice(COLLECTIONS)}/{Repo.next_rev(repo)}"
            message = repo.commit(create(path, {"text": text}))
        frames.append(message.at(FIRST_SEQ).frame)
    return frames


def matching(count: int, authors: int) -> list[bytes]:
    """``count`` chained commits in an indexed collection, in the order of their repos' revs."""
    repos = [Repo(did=plc_did(i)) for i in range(authors)]
    frames = []
    for i in range(count):
        repo = repos[i % authors]
        message = repo.commit(create(f"{DATASET}/{repo.next_rev()}", dataset(f"dataset {i}")))
        frames.append(message.at(FIRST_SEQ).frame)
    return frames


class Stream:
    """All of a plan: noise in segments, each followed by one matching commit."""

    others = 0

    def __init__(self, plan: Plan) -> None:
        laps = max(1, round(plan.frames / plan.lap))
        each = plan.matching_every - 1
        segments = max(1, plan.lap // plan.matching_every)
        frames = noise(segments * each)
        self._segments = [Segment(frames[i * each : (i + 1) * each]) for i in range(segments)]
        self._matching = [Segment([f]) for f in matching(laps * segments, plan.authors)]
        self.frames = laps * segments * plan.matching_every
        self.last_seq = FIRST_SEQ + self.frames
        self.matching = len(self._matching)
        self.bytes = laps * sum(len(s.data) for s in self._segments) + sum(
            len(m.data) for m in self._matching
        )

    def messages(self) -> Iterator[bytes]:
        """Every frame as it is sent, without its WebSocket head."""
        seq = FIRST_SEQ
        for i, commit in enumerate(self._matching):
            segment = self._segments[i % len(self._segments)]
            seq = commit.number(segment.number(seq))
            yield from segment.messages()
            yield from commit.messages()

    def send(self, client: socket.socket) -> None:
        """Everything, under rising seqs."""
        seq = FIRST_SEQ
        for i, commit in enumerate(self._matching):
            segment = self._segments[i % len(self._segments)]
            seq = commit.number(segment.number(seq))
            client.sendall(segment.data)
            client.sendall(commit.data)


class Only:
    """A stream of matching commits and nothing else, or of the frames that are given."""

    others = 0

    def __init__(self, frames: list[bytes]) -> None:
        self._segment = Segment(frames)
        self.frames = self.matching = len(frames)
        self.last_seq = FIRST_SEQ + self.frames
        self.bytes = len(self._segment.data)

    def send(self, client: socket.socket) -> None:
        self._segment.number(FIRST_SEQ)
        client.sendall(self._segment.data)


class Flood:
    """One repo's commits without a pause, and between them one commit each of ``others``. Prints
    when each of these was handed to the system, by DID."""

    def __init__(self, commits: int, others: int = 40) -> None:
        frames = list(flood(plc_did(0), commits, lambda number: FIRST_SEQ + 1 + number))
        step = commits // others
        self._parts: list[tuple[Segment, str | None]] = []
        for i in range(others):
            repo = Repo(did=plc_did(1 + i))
            quiet = repo.commit(create(f"{DATASET}/quiet", dataset("quiet"))).at(FIRST_SEQ).frame
            self._parts.append((Segment(frames[i * step : (i + 1) * step]), None))
            self._parts.append((Segment([quiet]), repo.did))
        self.matching, self.others = commits, others
        self.frames = step * others + others
        self.last_seq = FIRST_SEQ + self.frames
        self.bytes = sum(len(segment.data) for segment, _ in self._parts)

    def send(self, client: socket.socket) -> None:
        seq, sent = FIRST_SEQ, {}
        for segment, did in self._parts:
            seq = segment.number(seq)
            client.sendall(segment.data)
            if did is not None:
                sent[did] = time.time()
        sys.stdout.write(json.dumps(sent) + "\n")
        sys.stdout.flush()


class Segment:
    """WebSocket frames in one buffer. ``number`` gives them the seqs above ``seq``."""

    def __init__(self, frames: list[bytes]) -> None:
        self.data = bytearray()
        self._at: list[int] = []
        self._bounds: list[tuple[int, int]] = []
        for frame in frames:
            self.data += websocket_frame(frame)
            self._bounds.append((len(self.data) - len(frame), len(self.data)))
            # The bytes are ours, so that a search is safe: before the blocks there is but one.
            self._at.append(len(self.data) - len(frame) + frame.index(_SEQ) + len(_SEQ))

    def messages(self) -> Iterator[bytes]:
        for start, end in self._bounds:
            yield bytes(self.data[start:end])

    def number(self, seq: int) -> int:
        pack = struct.Struct(">Q").pack_into
        for at in self._at:
            seq += 1
            pack(self.data, at, seq)
        return seq


AnyStream = Stream | Only | Flood


def serve(stream: AnyStream) -> None:
    """Prints its port and what it holds as one JSON line; serves until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, stream), daemon=True).start()
    about = {
        "port": listener.getsockname()[1],
        "frames": stream.frames,
        "bytes": stream.bytes,
        "matching": stream.matching,
        "last_seq": stream.last_seq,
        "others": stream.others,
    }
    sys.stdout.write(json.dumps(about) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def _accept(listener: socket.socket, stream: AnyStream) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_answer, args=(client, stream), daemon=True).start()


def _answer(client: socket.socket, stream: AnyStream) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65_536)
    path = head.split()[1].decode()
    if "subscribeRepos" not in path:
        body = json.dumps(document(urlsplit(path).path.strip("/"))).encode()
        lines = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        client.sendall(lines.encode() + body)
        client.close()
        return
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
    key = next(v for k, v in fields.items() if k.lower() == "sec-websocket-key")
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
    )
    cursor = parse_qs(urlsplit(path).query).get("cursor", ["0"])[0]
    try:
        if int(cursor) < stream.last_seq:
            stream.send(client)
        while client.recv(65_536):
            pass  # pings and a goodbye: nobody waits for an answer here
    except OSError:
        return
    finally:
        client.close()


def document(did: str) -> dict[str, object]:
    """Every author signs with one key, and lives nowhere."""
    method = {
        "id": f"{did}#atproto",
        "type": "Multikey",
        "controller": did,
        "publicKeyMultibase": K256.multibase,
    }
    return {"id": did, "alsoKnownAs": [], "verificationMethod": [method], "service": []}


def main(arguments: list[str]) -> None:
    kind, count = arguments[0], int(arguments[1])
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if kind == "mixed":
        serve(Stream(Plan(count)))
    elif kind == "matching":
        serve(Only(matching(count, authors=40)))
    elif kind == "flood":
        serve(Flood(count))


if __name__ == "__main__":
    main(sys.argv[1:])

"""The screen behind each socket: which frames matter, and what the cursor needs of all the others.

Pure. Rule: a frame passes by only if it was read far enough to know that it is a message of a repo
that is neither tracked nor on its way to be, without an op in an indexed collection. Doubt hands it
over: too much costs time, too little would lose records.

An ordinary commit is read by its shape: canonical DAG-CBOR puts the fields of a map in one order
(``ops rev seq repo time blobs since blocks commit rebase tooBig prevData``), each with a definite
length. So one anchored expression reads all that is before ``blocks``, and the frame's own length
must be what the fields say to the last byte. Nothing is searched for; what has any other shape, an
op in an indexed collection among it, is decoded in full.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Protocol

from atdata.protocol.namespaces import SCAN_PREFIXES
from indexer.drops import InvalidEvent
from indexer.frames import mentions_collection, peek
from indexer.received import Item, Passed, Received

Buffer = bytes | bytearray | memoryview


class Sink(Protocol):
    """Where a connection puts its messages."""

    def skim(self, buffer: Buffer, at: int, end: int) -> int:
        """Take messages as they lie in the stream, WebSocket heads included, from ``at`` on, for as
        long as they are of the ordinary kind; where the first other one begins."""

    def take(self, buffer: Buffer, start: int, end: int) -> None:
        """One message. The bytes may be overwritten after the call."""

    def begin(self, connection: int) -> None:
        """What follows comes over the connection of that number."""

    def items(self, at: int) -> list[Item]:
        """What was taken since the last call. ``at`` is in microseconds since 1970."""

    @property
    def urgent(self) -> bool:
        """Whether there is more to take from here than what passed by."""


_MESSAGE = 1
_REPO_TYPES = frozenset({"#commit", "#sync", "#identity", "#account"})

_LINK = rb"\xd8\x2a\x58\x25\x00.{36}"
# Paths of 24 to 87 characters: the most frequent first, since they are tried in turn.
_LENGTHS = (32, 35, 34, 33, *range(24, 32), *range(36, 88))
_NOT_OURS = b"(?!" + b"|".join(map(re.escape, SCAN_PREFIXES)) + b")"


def _ops(collections: bytes) -> bytes:
    """Up to three ops; ``collections`` looks ahead at each one's."""
    path = (
        b"x(?:"
        + b"|".join(re.escape(bytes((n,))) + collections + b"[ -~]{%d}" % n for n in _LENGTHS)
        + b")"
    )
    op = (
        rb"(?:\xa3ccid(?:" + _LINK + rb"|\xf6)dpath" + path + rb"faction"
        rb"|\xa4ccid(?:" + _LINK + rb"|\xf6)dpath" + path + rb"dprev" + _LINK + rb"faction)"
        rb"f(?:create|update|delete)"
    )
    return rb"(?:\x81" + op + rb"|\x80|\x82(?:" + op + rb"){2}|\x83(?:" + op + rb"){3})"


# Numbers in their shortest form only, and of two lengths of head each.
_SEQ = rb"(\x1b\x00(?!\x00{3})[\x00-\x1f].{6}|\x1a(?!\x00\x00).{4})"
_BEFORE = rb"\xa2atg#commitbop\x01(\xab|\xac)cops"
_BEHIND = (
    rb"crevm[ -~]{13}cseq"
    + _SEQ
    + rb"drepox\x20([ -~]{32})dtimex(?:\x18[ -~]{24}|\x1b[ -~]{27})eblobs\x80"
    rb"esince(?:m[ -~]{13}|\xf6)fblocks"
)
_SHORT_BLOCKS = rb"\x59([\x01-\xff].)"
_LONG_BLOCKS = rb"\x5a(\x00[\x01-\xff]..)"
_BLOCKS = rb"(?:" + _SHORT_BLOCKS + rb"|" + _LONG_BLOCKS + rb")"
_ALONE = re.compile(_BEFORE + _ops(_NOT_OURS) + _BEHIND + _BLOCKS, re.DOTALL).match
_OF_ANY = re.compile(_BEFORE + _ops(b"") + _BEHIND + _BLOCKS, re.DOTALL).match
# In a stream only those below 64 KB, which nearly all are: the others go the long way.
_IN_STREAM = re.compile(
    rb"\x82\x7e(..)" + _BEFORE + _ops(_NOT_OURS) + _BEHIND + _SHORT_BLOCKS, re.DOTALL
).match
# Bytes after the blocks, by the number of fields: commit, rebase, tooBig; with prevData.
_AFTER = {b"\xab": 64, b"\xac": 114}

_int = int.from_bytes


@dataclass(slots=True)
class _Run:
    """Of what passed by. ``latest`` and ``high``, for those that did not rise, are seqs as they are
    on the wire, which sort as their numbers do; ``time`` is the latest one's, b"" if unknown."""

    frames: int = 0
    size: int = 0
    regressed: int = 0
    high: bytes = b""
    time: bytes = b""
    latest: bytes = b""


@dataclass(frozen=True, slots=True)
class _Frame:
    """One that is handed over; ``seq`` as it is on the wire."""

    data: bytes
    did: bytes | None
    seq: bytes | None


class Everything:
    """The sink of those who want every message: nothing passes by."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._connection = 0
        self._taken: list[bytes] = []

    def begin(self, connection: int) -> None:
        self._connection = connection

    def skim(self, buffer: Buffer, at: int, end: int) -> int:
        return at

    def take(self, buffer: Buffer, start: int, end: int) -> None:
        self._taken.append(bytes(buffer[start:end]))

    @property
    def urgent(self) -> bool:
        return bool(self._taken)

    def items(self, at: int) -> list[Item]:
        taken, self._taken = self._taken, []
        return [Received(self._source, self._connection, frame, at) for frame in taken]


class Screen:
    """For the connections of one source. ``tracked`` holds the DIDs (ASCII) that are known to the
    writer; it may grow at any time.

    A repo becomes tracked when the writer has taken in its first commit. Until then that commit is
    under way, and so the repo's later frames are handed over as well: ``settle`` takes a DID off
    this list only after the writer has put it, if need be, on the other.
    """

    def __init__(self, source: str, tracked: Container[bytes]) -> None:
        self._source, self._tracked = source, tracked
        self._under_way: Counter[bytes] = Counter()
        # What was taken: frames, and between them the runs of what passed by.
        self._taken: list[_Frame | _Run] = []
        self._run = _Run()
        self._connection = 0
        self._last = b""

    @property
    def under_way(self) -> int:
        """Of how many repos a frame was handed over that is not settled."""
        return len(self._under_way)

    def settle(self, items: Iterable[Item]) -> None:
        """The writer is done with ``items``, which were handed over."""
        for item in items:
            if isinstance(item, Received) and item.did is not None:
                self._under_way[item.did] -= 1
                if not self._under_way[item.did]:
                    del self._under_way[item.did]

    def begin(self, connection: int) -> None:
        self._connection, self._last = connection, b""

    def skim(self, buffer: Buffer, at: int, end: int) -> int:
        tracked, under_way, last = self._tracked, self._under_way, self._last
        first, frames, regressed, high, did_ends = at, 0, 0, b"", 0
        while (match := _IN_STREAM(buffer, at, end)) is not None:
            size, fields, seq, did, blocks = match.groups()
            stop = at + 4 + _int(size, "big")
            if match.end() + _int(blocks, "big") + _AFTER[fields] != stop or stop > end:
                break
            if did in tracked or did in under_way:
                break
            if seq <= last:
                regressed += 1
                high = max(high, last)
            at, last, did_ends = stop, seq, match.end(4)
            frames += 1
        if frames:
            run = self._run
            run.frames += frames
            run.size += at - first
            run.regressed += regressed
            run.high, run.latest = max(run.high, high), last
            self._last = last
            run.time = _time(buffer, did_ends)
        return at

    def take(self, buffer: Buffer, start: int, end: int) -> None:
        match = noise = _ALONE(buffer, start, end)
        if match is None:
            match = _OF_ANY(buffer, start, end)
        if match is not None:
            fields, seq, did, blocks, more_blocks = match.groups()
            size = _int(more_blocks if blocks is None else blocks, "big")
            if match.end() + size + _AFTER[fields] == end:
                if noise is None or did in self._tracked or did in self._under_way:
                    self._hand_over(_Frame(bytes(buffer[start:end]), did, seq))
                else:
                    self._pass(seq, end - start)
                    self._run.time = _time(buffer, match.end(3))
                return
        self._take_other(bytes(buffer[start:end]))

    def _take_other(self, frame: bytes) -> None:
        """What is no ordinary commit is decoded. Only messages of a repo can pass by; anything
        else, and what can't be read, the writer must see."""
        try:
            seen = peek(frame)
        except InvalidEvent:
            seen = None
        of_repo = seen is not None and seen.op == _MESSAGE and seen.t in _REPO_TYPES
        if seen is None or not of_repo or seen.seq is None or seen.did is None:
            self._hand_over(_Frame(frame, None, None))
            return
        did, seq = seen.did.encode(), _on_the_wire(seen.seq)
        if mentions_collection(frame) or did in self._tracked or did in self._under_way:
            self._hand_over(_Frame(frame, did, seq))
            return
        self._pass(seq, len(frame))
        self._run.time = (seen.time or "").encode() or self._run.time

    def _pass(self, seq: bytes, size: int) -> None:
        run, last = self._run, self._last
        run.frames += 1
        run.size += size
        if seq <= last:
            run.regressed += 1
            run.high = max(run.high, last)
        self._last = run.latest = seq

    @property
    def urgent(self) -> bool:
        return bool(self._taken)

    def items(self, at: int) -> list[Item]:
        self._end_run()
        taken, self._taken = self._taken, []
        return [
            self._passed(one, at) if isinstance(one, _Run) else self._received(one, at)
            for one in taken
        ]

    def _hand_over(self, frame: _Frame) -> None:
        self._end_run()
        if frame.did is not None:
            self._under_way[frame.did] += 1
        self._last = frame.seq or self._last
        self._taken.append(frame)

    def _end_run(self) -> None:
        if self._run.frames:
            self._taken.append(self._run)
            self._run = _Run()

    def _received(self, frame: _Frame, at: int) -> Received:
        seq = None if frame.seq is None else _int(frame.seq[1:], "big")
        return Received(self._source, self._connection, frame.data, at, did=frame.did, seq=seq)

    def _passed(self, run: _Run, at: int) -> Passed:
        return Passed(
            source=self._source,
            connection=self._connection,
            at=at,
            frames=run.frames,
            bytes=run.size,
            seq=_int(max(run.high, run.latest)[1:], "big"),
            time=run.time.decode() or None,
            regressed=run.regressed,
        )


def _time(buffer: Buffer, did_ends: int) -> bytes:
    """The field after the DID: ``dtimex``, its length, the text."""
    start = did_ends + 7
    return bytes(buffer[start : start + buffer[start - 1]])


def _on_the_wire(seq: int) -> bytes:
    """As an ordinary commit has it; small numbers in four bytes, too, so that all of them sort."""
    if seq >> 32:
        return b"\x1b" + seq.to_bytes(8, "big")
    return b"\x1a" + seq.to_bytes(4, "big")

"""The screen behind each socket: which frames matter, and what the cursor needs of all the others.

Pure. Rule: a frame passes by only if it was read far enough to know that it is a message of a repo
that is neither tracked nor on its way to be, without an op in an indexed collection. Doubt hands it
over: too much costs time, too little would lose records.

An ordinary commit is read by its shape: canonical DAG-CBOR puts the fields of a map in one order
(``ops rev seq repo time blobs since blocks commit rebase tooBig prevData``), each with a definite
length, so that one anchored expression reads what is before ``blocks``, and a second one what is
after, to the frame's last byte. No field is searched for. Any other shape is decoded in full.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Container, Iterable

from atdata.protocol.namespaces import SCAN_PREFIXES
from indexer.drops import InvalidEvent
from indexer.frames import mentions_collection, peek
from indexer.received import Item, Passed, Received

Piece = tuple[bytes | bytearray, int, int]
"""One frame: a buffer, where it starts, where it ends."""

_MESSAGE = 1
_REPO_TYPES = frozenset({"#commit", "#sync", "#identity", "#account"})

_LINK = rb"\xd8\x2a\x58\x25\x00.{36}"
# Paths of 24 to 87 characters: the most frequent first, since they are tried in turn.
_LENGTHS = (32, 35, 34, 33, *range(24, 32), *range(36, 88))
_PATH = b"x(?:" + b"|".join(re.escape(bytes((n,))) + b"[ -~]{%d}" % n for n in _LENGTHS) + b")"
_OP = (
    rb"(?:\xa3ccid(?:" + _LINK + rb"|\xf6)dpath" + _PATH + rb"faction"
    rb"|\xa4ccid(?:" + _LINK + rb"|\xf6)dpath" + _PATH + rb"dprev" + _LINK + rb"faction)"
    rb"f(?:create|update|delete)"
)
_OPS = rb"(?:\x81" + _OP + rb"|\x80|\x82(?:" + _OP + rb"){2}|\x83(?:" + _OP + rb"){3})"
_FRONT = re.compile(
    rb"\xa2atg#commitbop\x01(?:\xab|\xac)cops" + _OPS + rb"crevm[ -~]{13}"
    rb"cseq(\x1b\x00[\x00-\x1f].{6}|\x1a.{4}|\x19.{2})drepox\x20([ -~]{32})"
    rb"dtimex(\x18[ -~]{24}|\x1b[ -~]{27})eblobs\x80esince(?:m[ -~]{13}|\xf6)"
    rb"fblocks(?:\x59(.{2})|\x5a(.{4}))",
    re.DOTALL,
)
_BACK = re.compile(
    rb"fcommit" + _LINK + rb"frebase[\xf4\xf5]ftooBig[\xf4\xf5]"
    rb"(hprevData(?:" + _LINK + rb"|\xf6))?",
    re.DOTALL,
)
_FIELDS_AT = 15  # the byte after the header: how many fields the body has …
_WITHOUT, _WITH = 0xAB, 0xAC  # … without and with prevData
# By bytes of an integer's head: the greatest number that a shorter head could hold.
_SHORTER = {9: 0xFFFF_FFFF, 5: 0xFFFF, 3: 0xFF}


Glance = tuple[int, bytes, bytes, bool]
"""Of an ordinary commit: seq, DID and time (both ASCII), and whether anything before ``seq``, such
as an op's path, holds the prefix of an indexed collection."""


def glance(buffer: bytes | bytearray, start: int, end: int) -> Glance | None:
    """The frame from ``start`` to ``end`` if it has the shape of an ordinary commit, None if not:
    then ``frames.peek`` or ``frames.parse`` says what it is. The CAR is not opened."""
    front = _FRONT.match(buffer, start, end)
    if front is None:
        return None
    head, did, time, short, long = front.groups()
    seq, size = int.from_bytes(head[1:], "big"), int.from_bytes(short or long, "big")
    if seq <= _SHORTER[len(head)] or size <= (0xFFFF if short is None else 0xFF):
        return None  # a number that is not in its shortest form
    back = _BACK.match(buffer, front.end() + size, end)
    if back is None or back.end() != end:
        return None
    if buffer[start + _FIELDS_AT] != (_WITHOUT if back.start(1) < 0 else _WITH):
        return None
    ops = front.start(1)
    for prefix in SCAN_PREFIXES:
        if buffer.find(prefix, start, ops) >= 0:
            return seq, did, time[1:], True
    return seq, did, time[1:], False


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
        self._handed: deque[bytes | None] = deque()
        self._connection = self._last = 0

    def hand_over(self) -> None:
        """An item goes to the writer that did not come through ``sort``."""
        self._handed.append(None)

    def settle(self, items: int) -> None:
        """The writer is done with the ``items`` that were handed over first."""
        for _ in range(items):
            did = self._handed.popleft()
            if did is not None:
                self._under_way[did] -= 1
                if not self._under_way[did]:
                    del self._under_way[did]

    def sort(self, pieces: Iterable[Piece], connection: int, at: int) -> list[Item]:
        """What to hand over, in order: frames that matter, and runs of those that do not. ``at`` is
        in microseconds since 1970."""
        if connection != self._connection:
            self._connection, self._last = connection, 0
        items: list[Item] = []
        tracked, under_way, last = self._tracked, self._under_way, self._last
        frames = size = high = regressed = 0
        time: bytes | None = None
        for buffer, start, end in pieces:
            seen = glance(buffer, start, end) or _peek(buffer, start, end)
            if seen is not None:
                seq, did, claimed, matters = seen
                if not (matters or did in tracked or did in under_way):
                    frames += 1
                    size += end - start
                    time = claimed or time
                    if seq <= last:
                        regressed += 1
                    last = seq
                    high = max(high, seq)
                    continue
                last, about = seq, did
                under_way[did] += 1
            if frames:
                items.append(self._passed(at, frames, size, high, time, regressed))
                frames = size = high = regressed = 0
            self._handed.append(None if seen is None else about)
            items.append(Received(self._source, connection, bytes(buffer[start:end]), at))
        if frames:
            items.append(self._passed(at, frames, size, high, time, regressed))
        self._last = last
        return items

    def _passed(
        self, at: int, frames: int, size: int, seq: int, time: bytes | None, regressed: int
    ) -> Passed:
        self._handed.append(None)
        text = None if time is None else time.decode()
        return Passed(self._source, self._connection, at, frames, size, seq, text, regressed)


def _peek(buffer: bytes | bytearray, start: int, end: int) -> Glance | None:
    """What the cursor and the screen need of a message of a repo, read in full; None for anything
    else, and for what can't be read: those the writer must see."""
    frame = bytes(buffer[start:end])
    try:
        seen = peek(frame)
    except InvalidEvent:
        return None
    if seen.op != _MESSAGE or seen.t not in _REPO_TYPES or seen.seq is None or seen.did is None:
        return None
    return seen.seq, seen.did.encode(), (seen.time or "").encode(), mentions_collection(frame)

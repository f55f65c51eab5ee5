"""The part of an archive that is in memory: filled in large pieces, walked without copying.

Rule: what is allocated follows the bytes that have come, never a size that somebody states. Files
are read, not mapped: a mapped file that another program cuts short kills the process (SIGBUS),
where a read ends, and the archive is reported as cut short.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NoReturn

CHUNK = 1 << 19  # bytes in memory at a time, unless a member is larger
STEP = 32 * CHUNK  # bytes by which a window grows for a member that says it is large
GZIP_MAGIC = b"\x1f\x8b"


class Window:
    """``buffer[at:end]`` is what has been read and not yet walked over, ``view`` the same memory
    read-only, and ``buffer[0]`` byte ``base`` of the archive. Through gzip if the stream begins
    like gzip.

    ``fail(why, offset)`` raises; it is asked for a stream that ends early, for broken gzip and for
    more than ``max_bytes``. With ``keep`` every view stays valid, and memory is not used again.
    """

    def __init__(
        self,
        stream: IO[bytes],
        max_bytes: int,
        fail: Callable[[str, int], NoReturn],
        *,
        keep: bool = False,
    ) -> None:
        self.base = self.at = self.end = 0
        self._max_bytes, self._fail, self._keep = max_bytes, fail, keep
        self.buffer = bytearray(CHUNK)
        self.view = memoryview(self.buffer).toreadonly()
        self._stream = self._opened(stream)

    def take(self, size: int, padded: int) -> memoryview:
        """The next ``size`` bytes, and past ``padded`` bytes."""
        if self.at + padded > self.end:
            self.refill(padded)
        at = self.at
        self.at = at + padded
        return self.view[at : at + size]

    def refill(self, size: int) -> None:
        """Read on until at least ``size`` bytes are at hand, all of them in one view."""
        at = self.base + self.at
        if at + size > self._max_bytes:
            self._fail(f"more than {self._max_bytes} bytes", at)
        self._move_to_front(min(max(size, CHUNK), STEP))
        while self.end < size:
            if self.end == len(self.buffer):  # bytes came for all that there was room for
                self._move_to_front(min(size, 2 * self.end))
            count = self._read()
            if not count:
                self._fail(f"cut short: {size} bytes expected here, {self.end} left", at)
            self.end += count

    def rest(self) -> Iterator[memoryview]:
        """All that is left of the stream, in pieces."""
        while True:
            yield self.view[self.at : self.end]
            self.base += self.end
            self.at = self.end = 0
            if self.base > self._max_bytes:
                self._fail(f"more than {self._max_bytes} bytes", self.base)
            if self._keep:
                self._replace(CHUNK)
            self.end = self._read()
            if not self.end:
                return

    def _move_to_front(self, room: int) -> None:
        left = self.view[self.at : self.end]
        if self._keep or len(self.buffer) != room:
            self._replace(room)
        self.buffer[: len(left)] = left
        self.base += self.at
        self.at, self.end = 0, len(left)

    def _replace(self, room: int) -> None:
        self.buffer = bytearray(room)
        self.view = memoryview(self.buffer).toreadonly()

    def _read(self) -> int:
        """Fill what is free of the buffer with what comes; 0 at the end of the stream."""
        try:
            return self._read_into(memoryview(self.buffer)[self.end :])
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self._fail(f"broken gzip: {error}", self.base + self.end)

    def _read_into(self, free: memoryview) -> int:
        if isinstance(self._stream, gzip.GzipFile):
            # One step: what was unpacked before the stream breaks off is not lost with it.
            part = self._stream.read1(len(free))
            free[: len(part)] = part
            return len(part)
        if isinstance(self._stream, io.BufferedIOBase):
            return self._stream.readinto(free)
        part = self._stream.read(len(free))
        free[: len(part)] = part
        return len(part)

    def _opened(self, stream: IO[bytes]) -> IO[bytes] | io.BufferedIOBase:
        first = stream.read(len(GZIP_MAGIC))
        if len(first) == 1:
            first += stream.read(1)
        if first == GZIP_MAGIC:
            unread = io.BufferedReader(_Rejoined(first, stream), CHUNK)
            return gzip.GzipFile(fileobj=unread)
        self.buffer[: len(first)] = first
        self.end = len(first)
        return stream


class _Rejoined(io.RawIOBase):
    """A stream with the bytes that were read from it put back in front."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._first[: len(buffer)] or self._rest.read(len(buffer))
        self._first = self._first[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

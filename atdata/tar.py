"""A strict tar reader over a byte stream: ustar, pax, GNU long names, gzip around any of them.

Rule: nothing is guessed and nothing touches a path. Every header's checksum is verified, every size
is bounded before it is read, and an archive that does not end as archives end is an error that
names shard, member and byte, never a shorter dataset.
Source: POSIX.1-2017 "pax Interchange Format"; GNU tar manual, "Basic Tar Format"; WebDataset's rule
that the extension is everything after the first dot of the base name.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, NamedTuple

from atdata.protocol.errors import InvalidShard, quote

BLOCK = 512
CHUNK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
SAMPLE_EXTENSION = "msgpack"

_ZEROS = bytes(BLOCK)
_HEADER = struct.Struct("100s 24x 12s 12x 8s c 355x")  # name, size, checksum, type
_ADLER_MODULUS = 65_521

_REGULAR = frozenset({b"0", b"\0", b"7"})
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})  # whatever size these claim
_PAX = frozenset({b"x", b"X"})  # X: the same, from Solaris
# What nearly every pax header is, one before each member: a time that no sample needs.
_PAX_TIME = re.compile(rb"\d{1,3} [acm]time=[\d.]{1,40}\n")
_LONG_NAME, _SPARSE = b"L", b"S"
_FOR_THE_NEXT = frozenset({b"g", b"K"})  # extension headers that say nothing about data


@dataclass(frozen=True, slots=True)
class Limits:
    """What one shard may hold. ``member_bytes`` bounds what is in memory at a time."""

    member_bytes: int = 1 << 30
    members: int = 10_000_000
    header_bytes: int = 1 << 20  # a pax header or long name
    shard_bytes: int = 1 << 40  # after decompression


class Member(NamedTuple):
    """A regular file in the archive. ``offset`` is where its header begins, in bytes of the tar."""

    name: str
    data: memoryview
    offset: int


# --- samples -------------------------------------------------------------------------------------


def read_samples(stream: IO[bytes], shard: str, limits: Limits | None = None) -> Iterator[Member]:
    """The ``.msgpack`` member of every key, in the archive's order.

    Members of one key stand next to each other; those with other extensions are passed over. Raises
    ``InvalidShard`` if a key has no ``.msgpack`` member or two.
    """
    current, found, last = "", True, None
    for member in read_members(stream, shard, limits):
        key, extension = split_name(member.name)
        if not extension:
            continue
        if key != current:
            if not found:
                break
            current, found = key, False
        last = member
        if extension == SAMPLE_EXTENSION:
            if found:
                raise InvalidShard(shard, "a second sample of this key", member.name, member.offset)
            found = True
            yield member
    if not found and last is not None:
        why = f"its key has no .{SAMPLE_EXTENSION} member"
        raise InvalidShard(shard, why, last.name, last.offset)


def split_name(name: str) -> tuple[str, str]:
    """Key and extension: ``a.b/x.tar.gz`` is ``a.b/x`` and ``tar.gz``. No extension: no sample."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (folder + slash + stem, extension.lower()) if stem else (name, "")


# --- members -------------------------------------------------------------------------------------


def read_members(stream: IO[bytes], shard: str, limits: Limits | None = None) -> Iterator[Member]:
    """Every regular file, in the archive's order; ``shard`` names the stream in errors.

    ``Member.data`` is a read-only view that stays valid; holding it holds the ``CHUNK`` bytes
    around it. Links, devices and directories are passed over. Raises ``InvalidShard``.
    """
    return _Reader(stream, shard, limits or Limits()).members()


class _Reader:
    """One walk over one archive: a window of its bytes, and where in it the walk is."""

    def __init__(self, stream: IO[bytes], shard: str, limits: Limits) -> None:
        self._shard = shard
        self._limits = limits
        self._member: str | None = None  # whose data is being read
        self._name: str | None = None  # said by an extension header, about the next member
        self._size: int | None = None
        self._base = 0  # of the window, in the archive
        self._at = 0  # in the window
        self._window, self._read = _opened(stream)
        self._view = memoryview(self._window)

    def members(self) -> Iterator[Member]:
        count = 0
        while True:
            if self._at + BLOCK > len(self._window):
                self._refill(BLOCK)
            at, offset = self._at, self._base + self._at
            header = self._window[at : at + BLOCK]
            name, size_field, checksum, kind = _HEADER.unpack(header)
            if zlib.adler32(header) & 0xFFFF != _expected_adler(checksum):
                if header == _ZEROS:
                    return self._finish()
                raise self._error("header checksum is wrong", offset)
            self._at = at + BLOCK
            size = _number(size_field)
            if size is None:
                raise self._error(f"size {quote(size_field)} is not octal", offset)
            if kind not in _REGULAR:
                self._pass_over(kind, size, offset)
                continue
            count += 1
            if count > self._limits.members:
                raise self._error(f"more than {self._limits.members} members", offset)
            self._member = self._name or _full_name(name, header)
            data = self._data(size if self._size is None else self._size, offset)
            # Before POSIX, a directory was a regular file whose name ends in a slash.
            if self._member[-1:] != "/":
                yield Member(self._member, data, offset)
            self._member = self._name = self._size = None

    def _pass_over(self, kind: bytes, size: int, offset: int) -> None:
        """A header that is no regular file: it says something about the next one, or is skipped."""
        if kind in _PAX:
            self._pax(self._extension(size, offset), offset)
        elif kind == _LONG_NAME:
            self._name = _text(self._extension(size, offset))
        elif kind == _SPARSE:
            raise self._error("sparse members are not read", offset)
        elif kind in _FOR_THE_NEXT:
            self._extension(size, offset)
        else:
            if kind not in _WITHOUT_DATA:
                self._skip(size if self._size is None else self._size, offset)
            self._name = self._size = None

    def _data(self, size: int, offset: int) -> memoryview:
        """The next ``size`` bytes; the padding after them is passed over."""
        if size > self._limits.member_bytes:
            limit = self._limits.member_bytes
            raise self._error(f"{size} bytes, more than the {limit} allowed", offset)
        padded = size + -size % BLOCK
        if self._at + padded > len(self._window):
            self._refill(padded)
        at = self._at
        self._at = at + padded
        return self._view[at : at + size]

    def _extension(self, size: int, offset: int) -> bytes:
        if size > self._limits.header_bytes:
            raise self._error(f"extension header of {size} bytes", offset)
        return bytes(self._data(size, offset))

    def _pax(self, body: bytes, offset: int) -> None:
        """Records ``length key=value\n``, of which only path and size say anything about data."""
        if _PAX_TIME.fullmatch(body):
            return
        while body:
            length, _, _ = body.partition(b" ")
            end = int(length) if length.isdigit() and len(length) < 8 else 0
            if not len(length) + 1 < end <= len(body) or body[end - 1 : end] != b"\n":
                raise self._error(f"pax record {quote(body[:40])} is malformed", offset)
            key, _, value = body[len(length) + 1 : end - 1].partition(b"=")
            if key == b"path":
                self._name = _text(value)
            elif key == b"size":
                if not value.isdigit() or len(value) > 20:
                    raise self._error(f"pax size {quote(value)} is not a number", offset)
                self._size = int(value)
            elif key.startswith(b"GNU.sparse."):
                raise self._error("sparse members are not read", offset)
            body = body[end:]

    # --- the window ---

    def _refill(self, size: int) -> None:
        """A new window that begins at the present place and holds at least ``size`` bytes."""
        parts = [self._window[self._at :]]
        have = len(parts[0])
        self._base += self._at
        self._window, self._view, self._at = b"", memoryview(b""), 0
        if self._base + size > self._limits.shard_bytes:
            raise self._error(f"more than {self._limits.shard_bytes} bytes", self._base)
        while have < size:
            # Bounded, so that a member which only claims to be large allocates nothing.
            part = self._more(min(max(size - have, CHUNK), 16 * CHUNK))
            if not part:
                raise self._error(f"cut short: {size} bytes expected here, {have} left", self._base)
            parts.append(part)
            have += len(part)
        self._window = b"".join(parts)
        self._view = memoryview(self._window)

    def _skip(self, size: int, offset: int) -> None:
        if size > self._limits.shard_bytes:
            raise self._error(f"member of {size} bytes", offset)
        left = size + -size % BLOCK
        while left > 0:
            step = min(left, CHUNK)
            self._data(step, offset)
            left -= step

    def _more(self, size: int) -> bytes:
        try:
            return self._read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._error(f"broken gzip: {error}", self._base + self._at) from error

    def _finish(self) -> None:
        """The end is two zero blocks, and zeros from there to the end of the stream."""
        offset = self._base + self._at
        if self._name is not None or self._size is not None:
            raise self._error("an extension header without its member", offset)
        if self._data(2 * BLOCK, offset) != 2 * _ZEROS:
            raise self._error("a single zero block inside the archive", offset)
        rest = self._window[self._at :]
        self._base += self._at
        while rest:
            if rest.strip(b"\0"):
                raise self._error("data after the end of the archive", offset)
            self._base += len(rest)
            if self._base > self._limits.shard_bytes:
                raise self._error(f"more than {self._limits.shard_bytes} bytes", offset)
            rest = self._more(CHUNK)

    def _error(self, why: str, offset: int) -> InvalidShard:
        return InvalidShard(self._shard, why, self._member, offset)


@lru_cache(maxsize=1024)
def _number(field: bytes) -> int | None:
    """A size: octal digits up to a NUL with blanks around them, or base 256 where the first byte
    says so (GNU). Fields repeat from header to header, hence the cache."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


@lru_cache(maxsize=1024)
def _expected_adler(checksum: bytes) -> int | None:
    """The low half of the Adler-32 of a header with this checksum field, None if it is no number.

    The checksum is the sum of the header's bytes with blanks in its own place, and the low half of
    an Adler-32 is one plus the sum of all bytes, modulo 65,521, at the speed of C.
    """
    said = _number(checksum)
    return None if said is None else (1 + said - 8 * 0x20 + sum(checksum)) % _ADLER_MODULUS


def _full_name(name: bytes, header: bytes) -> str:
    """In POSIX ustar (not in GNU tar) a long name is split at a slash."""
    if header[345] and header[257:263] == b"ustar\0":
        return _text(header[345:500]) + "/" + _text(name)
    return _text(name)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _opened(stream: IO[bytes]) -> tuple[bytes, Callable[[int], bytes]]:
    """The first bytes of the tar, and how to read on; through gzip if it begins like gzip."""
    first = stream.read(CHUNK)
    if first[: len(GZIP_MAGIC)] != GZIP_MAGIC:
        return first, stream.read
    unread = io.BufferedReader(_Rejoined(first, stream), CHUNK)
    return b"", gzip.GzipFile(fileobj=unread).read


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

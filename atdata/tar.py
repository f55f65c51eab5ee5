"""A strict tar reader over a byte stream: ustar, pax, GNU long names, gzip around any of them.

Rule: nothing is guessed and nothing touches a path. Every header's checksum is verified, every size
is bounded before it is read, and an archive that does not end as archives end is an error that
names shard, member and byte, never a shorter dataset.
Source: POSIX.1-2017 "pax Interchange Format"; GNU tar manual, "Basic Tar Format"; WebDataset's rule
that the extension is everything after the first dot of the base name.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, NamedTuple, NoReturn

from atdata.protocol.errors import InvalidShard, quote
from atdata.tar_window import CHUNK, Window

BLOCK = 512
SAMPLE_EXTENSION = "msgpack"

_ZEROS = bytes(BLOCK)
# Name · mode, owner, size, time · checksum · type and all that follows it.
_HEADER = struct.Struct("100s 48s 8s 356s")
_ADLER_MODULUS = 65_521

_REGULAR = frozenset({b"0", b"\0", b"7"})
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})  # whatever size these claim
_PAX = frozenset({b"x", b"X"})  # X: the same, from Solaris
# What nearly every pax header is, one before each member: a time that no sample needs.
_PAX_TIME = re.compile(rb"\d{1,3} [acm]time=[\d.]{1,40}\n")
_LONG_NAME, _SPARSE = b"L", b"S"
_FOR_THE_NEXT = frozenset({b"g", b"K"})  # extension headers that say nothing about data
_SAMPLE = SAMPLE_EXTENSION.encode()
_SLASH, _UNDERSCORE = b"/_"
# What whoever wrote the shard keeps beside the samples: folders, which WebDataset passes over too,
# and files.
_META_FOLDER = re.compile(rb"__[^/]*__/")
_META_FILE = re.compile(rb"__[^/.]*__\.")
# A sample's extension and no name before it: `a/.msgpack`.
_NAMELESS = re.compile(rb"(?:.*/)?\.+" + _SAMPLE, re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one shard may hold: ``members``, each of at most ``member_bytes``, which is what can
    be in memory at a time; ``header_bytes`` of a pax header or long name; ``shard_bytes`` in all,
    after decompression. More is ``InvalidShard``.

    Source: POSIX.1-2017 (ustar, pax).
    """

    member_bytes: int = 1 << 30
    members: int = 10_000_000
    header_bytes: int = 1 << 20
    shard_bytes: int = 1 << 40


class Member(NamedTuple):
    """A regular file in the archive. ``offset`` is where its header begins, in bytes of the tar."""

    name: str
    data: memoryview
    offset: int


def read_members(stream: IO[bytes], shard: str, limits: Limits | None = None) -> Iterator[Member]:
    """Every regular file, in the archive's order; ``shard`` names the stream in errors.

    ``Member.data`` is a read-only view that stays valid; holding it holds the ``CHUNK`` bytes
    around it. Links, devices and directories are passed over. Raises ``InvalidShard``.
    """
    archive = Archive(stream, shard, limits, keep=True)
    return (Member(archive.member, data, archive.offset) for data in archive.files())


def read_samples(stream: IO[bytes], shard: str, limits: Limits | None = None) -> Iterator[Member]:
    """The ``.msgpack`` member of every key, as ``Archive.samples`` has it, in views that stay
    valid. Raises ``InvalidShard``."""
    archive = Archive(stream, shard, limits, keep=True)
    return (Member(archive.member, data, archive.offset) for data in archive.samples())


def split_name(name: str) -> tuple[str, str]:
    """Key and extension: ``a.b/x.tar.gz`` is ``a.b/x`` and ``tar.gz``. No extension: no sample."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (folder + slash + stem, extension.lower()) if stem else (name, "")


class _File(NamedTuple):
    """A header of a regular file. ``sum`` is its checksum without the bytes of the name, of which
    ``plain`` says that they are the whole name."""

    size: int
    sum: int
    plain: bool


class Archive:
    """One walk over one archive. ``files`` and ``samples`` hand out the data of one member after
    the other; ``member`` and ``offset`` say which one, for as long as it is the last one.

    Unless ``keep``, data is valid only until the next is asked for: the memory is used again, so
    that a shard of any size is read through one window that fits into a processor's cache.
    """

    def __init__(
        self, stream: IO[bytes], shard: str, limits: Limits | None = None, *, keep: bool = False
    ) -> None:
        self.shard = shard
        self.offset = 0  # of the last header of a regular file, in the archive
        self._limits = limits or Limits()
        self._file = b""  # the name of the regular file whose data is at hand
        self._name: bytes | None = None  # said by an extension header, about the next member
        self._size: int | None = None  # the same
        self._said = False  # whether there is any of these two
        self._time: bytes | bytearray = b""  # a pax header whose body was a time, and nothing else
        self._time_size = 0
        self._ended = False
        self._window = Window(stream, self._limits.shard_bytes, self._fail, keep=keep)

    @property
    def member(self) -> str:
        """The name of the file whose data was handed out last."""
        return _text(self._file)

    def samples(
        self, refuse: Callable[[InvalidShard], object] | None = None
    ) -> Iterator[memoryview]:
        """The data of the ``.msgpack`` member of every key, in the archive's order.

        Members of one key stand next to each other; those with other extensions are passed over,
        and so are files ``__…__.json`` and whatever is in a folder ``__…__``. A key that has no
        ``.msgpack`` member or two, and a ``.msgpack`` member without a key, are an
        ``InvalidShard``, which is raised, or given to ``refuse``: then what follows can still be
        read.
        """
        refuse = refuse or _raise
        current, found = b"", True
        without = InvalidShard(self.shard, "")
        for data in self.files():
            key, _, extension = self._file.partition(b".")
            # Nearly every name is plain: a key of its own, one dot, the extension.
            plain = extension == _SAMPLE and key and key[-1] != _SLASH and key[0] != _UNDERSCORE
            if plain and found and key != current:
                current = key
                yield data
                continue
            key, extension = _split(self._file)
            if not extension:
                if _NAMELESS.fullmatch(self._file):
                    refuse(self._error("a sample without a key", self.offset))
                continue
            if _META_FOLDER.match(self._file):
                continue
            if extension != _SAMPLE and _META_FILE.match(self._file):
                continue
            if key != current:
                if not found:
                    refuse(without)
                current, found = key, False
            if extension != _SAMPLE:
                if not found:
                    why = f"its key has no .{SAMPLE_EXTENSION} member"
                    without = self._error(why, self.offset, self._file)
            elif found:
                refuse(self._error("a second sample of this key", self.offset))
            else:
                found = True
                yield data
        if not found:
            refuse(without)

    def files(self) -> Iterator[memoryview]:
        """The data of every regular file, in the archive's order. Raises ``InvalidShard``."""
        window, count = self._window, 0
        most, largest = self._limits.members, self._limits.member_bytes
        unpack, adler32 = _HEADER.unpack_from, zlib.adler32
        last_middle = last_rest = b""
        last_size = last_sum = 0
        while True:
            at = window.at
            begin = at + BLOCK
            if begin > window.end:
                window.refill(BLOCK)
                at, begin = 0, BLOCK
            name, middle, checksum, rest = unpack(window.buffer, at)
            if (
                rest == last_rest
                and middle == last_middle
                and _number(checksum) == last_sum + (adler32(name) & 0xFFFF)
            ):  # the header before but for its name, and so is its checksum
                self._file, size = name.partition(b"\0")[0], last_size
            else:
                found = self._header(at)
                if found is None:
                    if self._ended:
                        return
                    continue
                size = found.size
                if found.plain:
                    last_middle, last_rest = middle, rest
                    last_size, last_sum = size, found.sum
            window.at, self.offset = begin, window.base + at
            if self._said:
                size = self._what_was_said(size)
            count += 1
            if count > most:
                self._fail(f"more than {most} members", self.offset)
            end = begin + size
            if end + BLOCK > window.end or size > largest:
                data = self._data(size, self.offset)
            else:
                data = window.view[begin:end]
                window.at = end + (-size & 511)
            # Before POSIX, a directory was a regular file whose name ends in a slash.
            if not self._file.endswith(b"/"):
                yield data
            self._file = b""

    def _header(self, at: int) -> _File | None:
        """The header at ``at`` in the window, checked: a regular file, or None for everything else,
        which has then been dealt with."""
        window, begin, offset = self._window, at + BLOCK, self._window.base + at
        header = window.buffer[at:begin]
        if header == self._time and self._passes_time(begin, self._time_size):
            return None
        name, middle, checksum, rest = _HEADER.unpack(header)
        if zlib.adler32(header) & 0xFFFF != _expected_adler(checksum):
            if header == _ZEROS:
                self._finish()
                return None
            self._fail("header checksum is wrong", offset)
        size, said = _number(middle[24:36]), _number(checksum)
        if size is None or said is None:
            self._fail(f"size {quote(middle[24:36])} is not octal", offset)
        kind, prefix = rest[:1], rest[189]
        if kind in _REGULAR:
            self._file = _with_prefix(name, rest) if prefix else name.partition(b"\0")[0]
            return _File(size, said - (zlib.adler32(name) & 0xFFFF), not prefix)
        if kind in _PAX and self._passes_time(begin, size):
            self._time, self._time_size = header, size
        else:
            window.at = begin
            self._pass_over(kind, size, offset)
        return None

    def _passes_time(self, begin: int, size: int) -> bool:
        """Past the body of a pax header that holds a time and nothing else."""
        window, end = self._window, begin + size
        if end + BLOCK > window.end or not _PAX_TIME.fullmatch(window.buffer, begin, end):
            return False
        window.at = end + (-size & 511)
        return True

    def _what_was_said(self, size: int) -> int:
        """What extension headers say about the member at hand goes before its own header."""
        self._file = self._name or self._file
        size = size if self._size is None else self._size
        self._forget()
        return size

    def _forget(self) -> None:
        self._name = self._size = None
        self._said = False

    def _pass_over(self, kind: bytes, size: int, offset: int) -> None:
        """A header that is no regular file: it says something about the next one, or is skipped."""
        if kind in _PAX:
            self._pax(self._extension(size, offset), offset)
        elif kind == _LONG_NAME:
            self._name = self._extension(size, offset).partition(b"\0")[0]
            self._said = True
        elif kind == _SPARSE:
            self._fail("sparse members are not read", offset)
        elif kind in _FOR_THE_NEXT:
            self._extension(size, offset)
        else:
            if kind not in _WITHOUT_DATA:
                self._skip(size if self._size is None else self._size, offset)
            self._forget()

    def _data(self, size: int, offset: int) -> memoryview:
        """The next ``size`` bytes; the padding after them is passed over."""
        if size > self._limits.member_bytes:
            limit = self._limits.member_bytes
            self._fail(f"{size} bytes, more than the {limit} allowed", offset)
        return self._window.take(size, size + (-size & 511))

    def _extension(self, size: int, offset: int) -> bytes:
        if size > self._limits.header_bytes:
            self._fail(f"extension header of {size} bytes", offset)
        return bytes(self._data(size, offset))

    def _pax(self, body: bytes, offset: int) -> None:
        """Records ``length key=value\n``, of which only path and size say anything about data."""
        if _PAX_TIME.fullmatch(body):
            return
        while body:
            length, _, _ = body.partition(b" ")
            end = int(length) if length.isdigit() and len(length) < 8 else 0
            if not len(length) + 1 < end <= len(body) or body[end - 1 : end] != b"\n":
                self._fail(f"pax record {quote(body[:40])} is malformed", offset)
            key, _, value = body[len(length) + 1 : end - 1].partition(b"=")
            if key == b"path":
                self._name, self._said = value.partition(b"\0")[0], True
            elif key == b"size":
                if not value.isdigit() or len(value) > 20:
                    self._fail(f"pax size {quote(value)} is not a number", offset)
                self._size, self._said = int(value), True
            elif key.startswith(b"GNU.sparse."):
                self._fail("sparse members are not read", offset)
            body = body[end:]

    def _skip(self, size: int, offset: int) -> None:
        if size > self._limits.shard_bytes:
            self._fail(f"member of {size} bytes", offset)
        left = size + (-size & 511)
        while left > 0:
            step = min(left, CHUNK)
            self._window.take(step, step)
            left -= step

    def _finish(self) -> None:
        """The end is two zero blocks, and zeros from there to the end of the stream."""
        offset = self._window.base + self._window.at
        self._ended = True
        if self._said:
            self._fail("an extension header without its member", offset)
        if self._window.take(2 * BLOCK, 2 * BLOCK) != 2 * _ZEROS:
            self._fail("a single zero block inside the archive", offset)
        for rest in self._window.rest():
            if bytes(rest).strip(b"\0"):
                self._fail("data after the end of the archive", offset)

    def _error(self, why: str, offset: int, name: bytes | None = None) -> InvalidShard:
        name = name or self._file
        return InvalidShard(self.shard, why, _text(name) if name else None, offset)

    def _fail(self, why: str, offset: int) -> NoReturn:
        raise self._error(why, offset)


def _raise(error: InvalidShard) -> NoReturn:
    raise error


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


def _with_prefix(name: bytes, rest: bytes) -> bytes:
    """In POSIX ustar (not in GNU tar) a long name is split at a slash."""
    last = name.partition(b"\0")[0]
    if rest[101:107] == b"ustar\0":
        return rest[189:344].partition(b"\0")[0] + b"/" + last
    return last


def _split(name: bytes) -> tuple[bytes, bytes]:
    key, extension = split_name(_text(name))
    return key.encode("utf-8", "surrogateescape"), extension.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")

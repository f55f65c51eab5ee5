"""Samples out of shards of any size into shards within limits.

Rule: samples keep their order and their bytes; what belongs to one sample stays together. The same
samples with the same limits give the same bytes, and so the same CIDs. What is written is plain
ustar, which every reader reads fastest; only a name that ustar cannot hold gets a pax header.
Source: POSIX.1-2017 "pax Interchange Format".
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple, cast

from atdata.atmosphere.uploads import Shard
from atdata.dataset import Dataset
from atdata.index import DataSource
from atdata.protocol.errors import InvalidSample, InvalidShard
from atdata.tar import SAMPLE_EXTENSION, Member, read_members, split_name

SPOOL_BYTES = 8 << 20  # a piece that is larger goes to a temporary file
BLOCK, RECORD = 512, 10_240

Members = list[tuple[str, bytes]]
"""Everything under one key: extension and bytes."""


def repack(
    samples: Iterable[tuple[str, Members]], maxcount: int | None, maxsize: float | None
) -> Iterator[Shard]:
    """Tars of at most ``maxcount`` samples and ``maxsize`` bytes each, in temporary files.

    A sample that is larger than ``maxsize`` gets a tar of its own. Raises ``ValueError`` for limits
    below 1.
    """
    if (maxcount is not None and maxcount < 1) or (maxsize is not None and maxsize < 1):
        raise ValueError("maxcount and maxsize must be at least 1")
    piece: _Piece | None = None
    for number, (key, members) in enumerate(samples):
        if piece is not None and piece.is_full(key, members, maxcount, maxsize):
            yield piece.finished()
            piece = None
        piece = piece or _Piece()
        piece.add(key, members, number)
    if piece is not None:
        yield piece.finished()


def spool() -> IO[bytes]:
    """A temporary file that stays in memory while it is small."""
    return cast("IO[bytes]", SpooledTemporaryFile(SPOOL_BYTES))


def samples_of(dataset: Dataset[Any]) -> Iterator[tuple[str, Members]]:
    """The samples of a dataset, packed anew and numbered."""
    for number, sample in enumerate(dataset):
        yield f"{number:09d}", [(SAMPLE_EXTENSION, sample.packed)]


def samples_in(source: DataSource, sample_type: type) -> Iterator[tuple[str, Members]]:
    """What the shards hold under each key, bytes unchanged. Files without an extension belong to no
    sample and are left out. Raises ``InvalidShard``, also for a key without a sample, and
    ``InvalidSample`` for one that is no ``sample_type``."""
    for shard in source.list_shards():
        with source.open_shard(shard) as stream:
            named = (_Named(*split_name(m.name), m) for m in read_members(stream, shard))
            groups = groupby((m for m in named if m.extension), key=lambda member: member.key)
            for key, group in groups:
                # Copied at once: a member's memory is used again for the next.
                members = [(m.extension, bytes(m.member.data), m.member) for m in group]
                if [extension for extension, _, _ in members].count(SAMPLE_EXTENSION) != 1:
                    last = members[-1][2]
                    why = f"its key has not one .{SAMPLE_EXTENSION} member"
                    raise InvalidShard(shard, why, last.name, last.offset)
                for extension, data, member in members:
                    if extension == SAMPLE_EXTENSION:
                        check_sample(data, sample_type, shard, member)
                yield key, [(extension, data) for extension, data, _ in members]


def check_sample(data: bytes | memoryview, sample_type: Any, shard: str, member: Member) -> None:
    """Raises ``InvalidSample``, which says where, unless ``data`` is a ``sample_type``."""
    try:
        sample_type.from_bytes(data)
    except InvalidSample as error:
        raise InvalidSample(error.why, shard, member.name, member.offset) from error


class _Named(NamedTuple):
    key: str
    extension: str
    member: Member


class _Piece:
    """A shard being written."""

    def __init__(self) -> None:
        self._file = spool()
        self._size = self._count = 0
        self._keys: set[str] = set()

    def is_full(
        self, key: str, members: Members, maxcount: int | None, maxsize: float | None
    ) -> bool:
        """Whether one more sample would pass a limit."""
        if maxcount is not None and self._count >= maxcount:
            return True
        if maxsize is None:
            return False
        added = sum(len(_header(f"{key}.{ext}", len(d))) + _padded(len(d)) for ext, d in members)
        return _padded(self._size + added + 2 * BLOCK, RECORD) > maxsize

    def add(self, key: str, members: Members, number: int) -> None:
        """One sample. Keys are unique within a shard only: where two shards that used the same key
        meet, the sample's running number tells them apart."""
        unique = f"{key}~{number}" if key in self._keys else key
        self._keys.add(unique)
        self._count += 1
        for extension, data in members:
            for part in (_header(f"{unique}.{extension}", len(data)), data):
                self._size += self._file.write(part)
            self._size += self._file.write(bytes(-len(data) % BLOCK))

    def finished(self) -> Shard:
        """The whole shard: two zero blocks end it, and zeros fill the last record."""
        self._file.write(bytes(_padded(self._size + 2 * BLOCK, RECORD) - self._size))
        self._file.seek(0)
        return Shard(self._file, self._count)


def _header(name: str, size: int) -> bytes:
    """The header of a regular file of 1970: ustar, or where that cannot say it, pax."""
    info = tarfile.TarInfo(name)
    info.size = size
    try:
        if name.isascii():
            return info.tobuf(tarfile.USTAR_FORMAT)
    except ValueError:
        pass
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padded(size: int, to: int = BLOCK) -> int:
    return -(-size // to) * to

"""Samples out of shards of any size into shards within limits.

Rule: samples keep their order and their bytes; what belongs to one sample stays together. The same
samples with the same limits give the same bytes, and so the same CIDs.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple, cast

from atdata.dataset import Dataset
from atdata.index import DataSource
from atdata.tar import SAMPLE_EXTENSION, read_members, split_name

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
        if piece is not None and piece.is_full(members, maxcount, maxsize):
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


def samples_in(source: DataSource) -> Iterator[tuple[str, Members]]:
    """What the shards hold under each key, bytes unchanged. Raises ``InvalidShard``."""
    for shard in source.list_shards():
        with source.open_shard(shard) as stream:
            members = read_members(stream, shard)
            for key, group in groupby(members, key=lambda member: split_name(member.name)[0]):
                # Copied at once: a member's memory is used again for the next.
                yield key, [(split_name(member.name)[1], bytes(member.data)) for member in group]


class Shard(NamedTuple):
    """A whole shard in an open temporary file, at its beginning; whoever takes it closes it."""

    file: IO[bytes]
    samples: int


class _Piece:
    """A shard being written."""

    def __init__(self) -> None:
        self._file = spool()
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)
        self._keys: set[str] = set()
        self._count = 0

    def is_full(self, members: Members, maxcount: int | None, maxsize: float | None) -> bool:
        """Whether one more sample would pass a limit."""
        if maxcount is not None and self._count >= maxcount:
            return True
        added = sum(BLOCK + _padded(len(data), BLOCK) for _, data in members)
        size = _padded(self._tar.offset + added + 2 * BLOCK, RECORD)
        return maxsize is not None and size > maxsize

    def add(self, key: str, members: Members, number: int) -> None:
        """One sample. Keys are unique within a shard only: where two shards that used the same key
        meet, the sample's running number tells them apart."""
        unique = f"{key}~{number}" if key in self._keys else key
        self._keys.add(unique)
        self._count += 1
        for extension, data in members:
            info = tarfile.TarInfo(f"{unique}.{extension}" if extension else unique)
            info.size = len(data)
            self._tar.addfile(info, io.BytesIO(data))

    def finished(self) -> Shard:
        """The whole shard."""
        self._tar.close()
        self._file.seek(0)
        return Shard(self._file, self._count)


def _padded(size: int, to: int) -> int:
    return -(-size // to) * to

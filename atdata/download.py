"""``atdata.pull``: a dataset's shards as files, each checked before it gets its name.

Rule: a file that stands under its final name is whole and, for blobs, is what its CID says. A shard
is written beside it first; one that is already there and right is not fetched again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from atdata.load import HasUri, find_dataset, open_source
from atdata.protocol.cid import Cid
from atdata.protocol.records import BlobStorage

PIECE = 1 << 18

Progress = Callable[[int, int | None], object]
"""Told the bytes that are there, and the author's claim of how many there will be."""


def pull(
    ref: str | HasUri,
    folder: str | os.PathLike[str],
    *,
    api: str | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Download all shards of a dataset into ``folder``; returns their paths in order.

    ``ref`` as in ``atdata.load_dataset``. Blobs are named by position and CID
    (``000000-bafk….tar``), shards at URLs by position. What is there and right already is kept, so
    that calling it again after an interruption fetches only what is missing.

    Raises what ``load_dataset`` raises; ``CidMismatch`` leaves no file.
    """
    found = find_dataset(ref, api=api)
    source = open_source(found.entry, found.pds)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    total, done = found.entry.record.size.bytes, 0
    storage = found.entry.record.storage
    paths: list[Path] = []
    for i, shard in enumerate(source.list_shards()):
        cid = storage.shards[i].cid if isinstance(storage, BlobStorage) else None
        path = target / (f"{i:06d}-{cid}.tar" if cid else f"{i:06d}.tar")
        if cid is None or not _is(path, cid):
            with source.open_shard(shard) as stream:
                for size in _write(stream, path):
                    _tell(progress, done + size, total)
        done += path.stat().st_size
        _tell(progress, done, total)
        paths.append(path)
    return paths


def _tell(progress: Progress | None, done: int, total: int | None) -> None:
    if progress is not None:
        progress(done, total)


def _write(stream: IO[bytes], path: Path) -> Iterator[int]:
    """Write beside ``path``, then rename. Yields how many bytes are written so far."""
    part = path.with_name(path.name + ".part")
    size = 0
    with part.open("wb") as file:
        while piece := stream.read(PIECE):
            size += file.write(piece)
            yield size
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _is(path: Path, cid: Cid) -> bool:
    """Whether the file is there and its bytes hash to ``cid``."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest() == cid.digest

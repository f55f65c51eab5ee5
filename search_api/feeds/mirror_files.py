"""The mirror's files, in a folder of their own, and who reads them now.

Rule: what is kept and what is being written have at most ``max_bytes`` together. The file that was
longest not asked for leaves first, and none leaves while it is being sent: on the disk it would
stay until then, and nobody would count it.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from atdata.protocol.errors import XrpcError

RETRY_SECONDS = 5.0


class MirrorFiles:
    """Any number of threads. When a file was last asked for is the time of its last access, and
    outlives the process; that of its last modification is when it was written."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = threading.Lock()
        self._readers = Counter[str]()
        self._written = 0  # bytes of all files that are not whole yet
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink()
        found = [(path.stat(), path.name) for path in folder.iterdir()]
        found.sort(key=lambda entry: entry[0].st_atime_ns)
        self._sizes = OrderedDict((name, stat.st_size) for stat, name in found)
        self._kept = sum(self._sizes.values())

    def has(self, name: str) -> bool:
        """Whether the file is there, which it may not be any more a moment later."""
        with self._lock:
            if name in self._sizes and not (self._folder / name).exists():
                self._forget(name)  # somebody else has removed it
            return name in self._sizes

    @contextmanager
    def read(self, name: str) -> Iterator[Path | None]:
        """The file, which stays while the block lasts; None if it is not there."""
        path = self._take(name)
        try:
            yield path
        finally:
            if path is not None:
                with self._lock:
                    self._readers -= Counter([name])

    def _take(self, name: str) -> Path | None:
        path = self._folder / name
        with self._lock:
            if name not in self._sizes:
                return None
            try:
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            except FileNotFoundError:
                self._forget(name)
                return None
            self._sizes.move_to_end(name)
            self._readers[name] += 1
        return path

    def drop(self, name: str) -> None:
        """Remove the file, unless it is being sent."""
        gone: list[Path] = []
        with self._lock:
            if name in self._sizes and not self._readers[name]:
                gone.append(self._set_aside(name))
        _unlink(gone)

    @contextmanager
    def new(self, name: str) -> Iterator[NewFile]:
        """A file to write: it is ``name`` once the block has ended, and nothing if it raises."""
        part = self._part()
        with part.open("xb") as file:
            made = NewFile(self, file)
            try:
                yield made
                file.flush()
                with self._lock:
                    part.rename(self._folder / name)
                    self._kept += made.size - self._sizes.get(name, 0)
                    self._sizes[name] = made.size
            finally:
                with self._lock:
                    self._written -= made.size
                part.unlink(missing_ok=True)

    def make_room(self, size: int) -> None:
        """For so many bytes more of a file that is being written. Raises ``XrpcError`` 503 where
        files that are written or sent leave none."""
        leaving: list[str] = []
        with self._lock:
            over = self._written + self._kept + size - self._max_bytes
            for name, bytes_kept in self._sizes.items():
                if over <= 0:
                    break
                if not self._readers[name]:
                    over -= bytes_kept
                    leaving.append(name)
            if over > 0:
                message = "the blobs that are being sent leave no room for this one"
                raise XrpcError(503, "NotEnoughResources", message, retry_after=RETRY_SECONDS)
            gone = [self._set_aside(name) for name in leaving]
            self._written += size
        _unlink(gone)

    def _set_aside(self, name: str) -> Path:
        """Nobody finds it under its name any more. To remove a large file takes long, and is done
        when others need not wait for it."""
        self._forget(name)
        aside = self._part()
        with suppress(FileNotFoundError):
            (self._folder / name).rename(aside)
        return aside

    def _forget(self, name: str) -> None:
        self._kept -= self._sizes.pop(name)

    def _part(self) -> Path:
        return self._folder / f"{uuid.uuid4().hex}.part"


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


class NewFile:
    """A file that is being written, piece by piece. ``size`` is in bytes."""

    def __init__(self, files: MirrorFiles, file: BinaryIO) -> None:
        self._files, self._file = files, file
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Append. Raises ``XrpcError`` 503 if there is no room."""
        self._files.make_room(len(piece))
        self.size += len(piece)
        self._file.write(piece)

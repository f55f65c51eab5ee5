"""Frames of one repo that arrives faster than it can be verified: kept in a file until its turn.

Rule: what is here is neither lost nor durable. The cursor stays below it, so that after a crash the
source sends it again; the file has no name, and is gone with the process.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog

from indexer.room import Room

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame is; in bytes."""

    offset: int
    size: int


class Spill:
    """At most ``limit`` bytes, in a file in ``folder`` (None: where temporary files are), on a disk
    of which ``spare`` bytes are left free."""

    def __init__(self, folder: Path | None, limit: int, spare: int = 0) -> None:
        self._folder, self._limit = folder, limit
        self._room = Room(folder or Path(tempfile.gettempdir()), spare)
        self._is_short = False
        self._file: int | None = None
        self._end = 0
        self._frames = 0

    @property
    def size(self) -> int:
        """What the file takes, in bytes."""
        return self._end

    def put(self, frame: bytes) -> Place | None:
        """Where ``frame`` is now; None if there is no room for it."""
        if self._end + len(frame) > self._limit or not self._has_room(len(frame)):
            return None
        try:
            if self._file is None:
                with tempfile.TemporaryFile(dir=self._folder) as file:
                    self._file = os.dup(file.fileno())
            written = os.pwrite(self._file, frame, self._end)
        except OSError as error:
            log.warning("no room for frames that wait", why=str(error))
            self._limit = 0  # memory and patience must do
            return None
        if written != len(frame):
            return None
        place = Place(self._end, len(frame))
        self._end += len(frame)
        self._frames += 1
        return place

    def take(self, place: Place) -> bytes:
        """The frame; each one once. Raises ``OSError``."""
        assert self._file is not None
        frame = os.pread(self._file, place.size, place.offset)
        self._frames -= 1
        if not self._frames:
            os.ftruncate(self._file, 0)
            self._end = 0
        return frame

    def _has_room(self, size: int) -> bool:
        why = self._room.shortage(size)
        if why is not None and not self._is_short:
            log.warning("no room for frames that wait", why=why)
        self._is_short = why is not None
        return not self._is_short

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

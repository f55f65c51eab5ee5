"""Shards that wait for their check: whole, in temporary files, before anyone sees a byte of them.

Rule: memory stays flat whatever a shard's size, and a file that is handed out holds one shard and
nothing else. ``tempfile`` says where the files are (``TMPDIR``).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import IO, Any

from atdata.bars import Readable
from atdata.checksums import Hash

PIECE = 1 << 20


class Spool:
    """Room for shards that wait for their check: temporary files, of which one is kept for the
    next. To write over what a file has costs about half of what new pages of memory do.

    Safe for threads; another process has a room of its own.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._kept: list[io.FileIO] = []

    def file(self) -> io.FileIO:
        """A file at its beginning, with anything in it; when it is closed, it may be kept."""
        if self._pid != os.getpid():  # after a fork, the files are those of the parent
            self._pid, self._kept = os.getpid(), []
        try:
            kept = self._kept.pop()
        except IndexError:
            # Without a buffer: a page cache takes pieces faster than memory of our own does.
            kept = TemporaryFile(buffering=0)  # noqa: SIM115 - whoever is lent it closes it
        kept.seek(0)
        return _Lent(kept, self)

    def hold(self, body: Readable, seen: Hash, check: Callable[[], None]) -> IO[bytes]:
        """All of ``body`` in a file, from its beginning, once ``check`` is content with what
        ``seen`` saw of it. Raises what ``check`` and reading raise."""
        file = self.file()
        try:
            memory = memoryview(bytearray(PIECE))
            while count := body.readinto(memory):
                piece = memory[:count]
                seen.update(piece)
                while piece:  # a file without a buffer may take less at once
                    piece = piece[file.write(piece) :]
            file.truncate()
            check()
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return io.BufferedReader(file)  # written without a buffer, read with one

    def take_back(self, file: io.FileIO, pid: int) -> None:
        """Keep ``file``, which process ``pid`` was lent, or close it."""
        if self._kept or not self._pid == pid == os.getpid():
            file.close()
        else:
            self._kept.append(file)

    def __reduce__(self) -> tuple[Any, ...]:
        return Spool, ()


class _Lent(io.FileIO):
    """A file of a spool, for one shard."""

    def __init__(self, file: io.FileIO, spool: Spool) -> None:
        self._file, self._spool, self._pid = file, spool, os.getpid()
        super().__init__(file.fileno(), "r+b", closefd=False)

    def close(self) -> None:
        if not self.closed:
            self._spool.take_back(self._file, self._pid)
        super().close()

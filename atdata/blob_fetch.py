"""One blob from a PDS: downloaded whole, checked, and only then handed out.

Rule: nobody sees a byte of a blob before all of it hashes to its CID (invariant 10). A PDS knows no
ranges, so that a download which breaks off begins anew, a few times.
Source: com.atproto.sync.getBlob.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import IO, Any

from atdata.network.body import Body
from atdata.network.http import HttpClient
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, FetchFailed, FetchTimeout
from atdata.protocol.syntax import BlobUri

MAX_BLOB_BYTES = 1 << 40
IN_MEMORY = 4 << 20  # bytes of a blob; a larger one waits for its check in a temporary file
PIECE = 1 << 20
ATTEMPTS = 3
FIRST_DELAY = 0.2  # seconds; doubled each time


class Spool:
    """Room for blobs that wait for their check: temporary files, of which one is kept for the next
    blob. To write over what a file has costs about half of what new pages of memory do.

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

    def take_back(self, file: io.FileIO, pid: int) -> None:
        """Keep ``file``, which process ``pid`` was lent, or close it."""
        if self._kept or not self._pid == pid == os.getpid():
            file.close()
        else:
            self._kept.append(file)

    def __reduce__(self) -> tuple[Any, ...]:
        return Spool, ()


class _Lent(io.FileIO):
    """A file of a spool, for one blob."""

    def __init__(self, file: io.FileIO, spool: Spool) -> None:
        self._file, self._spool, self._pid = file, spool, os.getpid()
        super().__init__(file.fileno(), "r+b", closefd=False)

    def close(self) -> None:
        if not self.closed:
            self._spool.take_back(self._file, self._pid)
        super().close()


def fetch_blob(
    client: HttpClient,
    pds: str,
    blob: BlobUri,
    spool: Spool,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> IO[bytes]:
    """The whole blob, checked, from its beginning: in memory, or in a temporary file of ``spool``
    (where ``tempfile`` puts it: ``TMPDIR``) if it is larger than ``IN_MEMORY``.

    Raises ``CidMismatch`` that names both CIDs, and ``NetworkError``.
    """
    for attempt in range(ATTEMPTS):
        began = False
        try:
            # Not compressed: a PDS is several times slower at that.
            with client.stream(
                f"{pds}/xrpc/com.atproto.sync.getBlob",
                params={"did": str(blob.did), "cid": str(blob.cid)},
                headers={"Accept-Encoding": "identity"},
                max_bytes=MAX_BLOB_BYTES,
            ) as body:
                began = True
                return _checked(body, blob, spool)
        except (FetchFailed, FetchTimeout):
            if not began or attempt + 1 == ATTEMPTS:
                raise
        sleep(FIRST_DELAY * (1 << attempt))
    raise AssertionError  # the last attempt returns or raises


def _checked(body: Body, blob: BlobUri, spool: Spool) -> IO[bytes]:
    # A host may say any length, or none.
    if body.content_length is not None and body.content_length <= IN_MEMORY:
        data = body.read()
        _check(hashlib.sha256(data).digest(), blob)
        return io.BytesIO(data)
    file = spool.file()
    try:
        _check(_write(body, file), blob)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return io.BufferedReader(file)  # written without a buffer, read with one


def _write(body: Body, file: io.FileIO) -> bytes:
    """The whole body into ``file``, and nothing after it. Returns its SHA-256."""
    sha256 = hashlib.sha256()
    memory = memoryview(bytearray(PIECE))
    while count := body.readinto(memory):
        piece = memory[:count]
        sha256.update(piece)
        while piece:  # a file without a buffer may take less at once
            piece = piece[file.write(piece) :]
    file.truncate()
    return sha256.digest()


def _check(digest: bytes, blob: BlobUri) -> None:
    if digest != blob.cid.digest:
        actual = Cid.from_bytes(blob.cid.raw[:4] + digest)
        raise CidMismatch(str(blob.cid), str(actual), f"blob of {blob.did}")

"""One blob from a PDS: downloaded whole, checked, and only then handed out.

Rule: nobody sees a byte of a blob before all of it hashes to its CID (invariant 10). A PDS knows no
ranges, so that a download which breaks off begins anew, a few times.
Source: com.atproto.sync.getBlob.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import IO, cast

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


def fetch_blob(
    client: HttpClient,
    pds: str,
    blob: BlobUri,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> IO[bytes]:
    """The whole blob, checked, from its beginning: in memory, or in a temporary file (where
    ``tempfile`` puts it: ``TMPDIR``) if it is larger than ``IN_MEMORY``.

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
                return _checked(body, blob)
        except (FetchFailed, FetchTimeout):
            if not began or attempt + 1 == ATTEMPTS:
                raise
        sleep(FIRST_DELAY * (1 << attempt))
    raise AssertionError  # the last attempt returns or raises


def _checked(body: Body, blob: BlobUri) -> IO[bytes]:
    # A host may say any length, or none.
    file: IO[bytes] = io.BytesIO() if (body.content_length or 0) <= IN_MEMORY else _temporary()
    sha256, size = hashlib.sha256(), 0
    try:
        for piece in body.chunks(PIECE):
            sha256.update(piece)
            size += len(piece)
            if size > IN_MEMORY and isinstance(file, io.BytesIO):
                file = _moved(file)
            _write(file, piece)
        digest = sha256.digest()
        if digest != blob.cid.digest:
            actual = Cid.from_bytes(blob.cid.raw[:4] + digest)
            raise CidMismatch(str(blob.cid), str(actual), f"blob of {blob.did}")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    # Written without a buffer, read with one.
    return io.BufferedReader(file) if isinstance(file, io.FileIO) else file


def _moved(memory: io.BytesIO) -> IO[bytes]:
    file = _temporary()
    with memory:
        _write(file, memory.getvalue())
    return file


def _write(file: IO[bytes], piece: bytes) -> None:
    written = file.write(piece)
    while written < len(piece):  # which a file without a buffer may do
        written += file.write(piece[written:])


def _temporary() -> IO[bytes]:
    """A file of system calls only: a page cache takes pieces faster than memory of our own does."""
    return cast("IO[bytes]", TemporaryFile(buffering=0))

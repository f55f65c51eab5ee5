"""One blob from a PDS: downloaded whole, checked, and only then handed out.

Rule: nobody sees a byte of a blob before all of it hashes to its CID (invariant 10). A PDS knows no
ranges, so that a download which breaks off begins anew, a few times.
Source: com.atproto.sync.getBlob.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from tempfile import TemporaryFile
from typing import IO, Any, Self, cast

from atdata.network.body import Body
from atdata.network.http import HttpClient
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, FetchFailed, FetchTimeout
from atdata.protocol.syntax import BlobUri

MAX_BLOB_BYTES = 1 << 40
IN_MEMORY = 64 << 20  # bytes of a blob; a larger one waits for its check in a temporary file
PIECE = 1 << 18
AHEAD = 8  # pieces that wait to be hashed
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
    file: Any = io.BytesIO() if (body.content_length or 0) <= IN_MEMORY else _temporary()
    size = 0
    try:
        with _Sha256() as sha256:
            for piece in body.chunks(PIECE):
                sha256.update(piece)
                size += len(piece)
                if size > IN_MEMORY and isinstance(file, io.BytesIO):
                    file = _moved(file)
                file.write(piece)
        digest = sha256.digest()
        if digest != blob.cid.digest:
            actual = Cid.from_bytes(blob.cid.raw[:4] + digest)
            raise CidMismatch(str(blob.cid), str(actual), f"blob of {blob.did}")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return cast("IO[bytes]", file)


class _Sha256:
    """A hash that is worked out on a thread of its own, while the next bytes are being received
    and these are being kept; at most ``AHEAD`` pieces wait for it. Complete after the ``with``."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._pieces: SimpleQueue[bytes] = SimpleQueue()
        self._room = threading.Semaphore(AHEAD)
        self._thread = threading.Thread(target=self._run, name="sha256", daemon=True)

    def update(self, piece: bytes) -> None:
        """Add a piece, which is not empty."""
        self._room.acquire()
        self._pieces.put(piece)

    def digest(self) -> bytes:
        """The SHA-256 of all pieces."""
        return self._sha256.digest()

    def _run(self) -> None:
        while piece := self._pieces.get():
            self._sha256.update(piece)
            self._room.release()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.put(b"")
        self._thread.join()


def _moved(memory: io.BytesIO) -> IO[bytes]:
    file = _temporary()
    with memory:
        file.write(memory.getbuffer())
    return file


def _temporary() -> IO[bytes]:
    return cast("IO[bytes]", TemporaryFile(buffering=PIECE))

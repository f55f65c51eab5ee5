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
from typing import IO

from atdata.bars import waited_for
from atdata.network.body import Body
from atdata.network.http import HttpClient
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, FetchFailed, FetchTimeout
from atdata.protocol.syntax import BlobUri
from atdata.spool import Spool

MAX_BLOB_BYTES = 1 << 40
IN_MEMORY = 4 << 20  # bytes of a blob; a larger one waits for its check in a temporary file
ATTEMPTS = 3
FIRST_DELAY = 0.2  # seconds; doubled each time


def fetch_blob(
    client: HttpClient,
    pds: str,
    blob: BlobUri,
    spool: Spool,
    *,
    max_bytes: int = MAX_BLOB_BYTES,
    sleep: Callable[[float], object] = time.sleep,
) -> IO[bytes]:
    """The whole blob, checked, from its beginning: in memory, or in a temporary file of ``spool``
    (where ``tempfile`` puts it: ``TMPDIR``) if it is larger than ``IN_MEMORY``.

    Raises ``CidMismatch`` that names both CIDs, and ``NetworkError``: ``TooLarge`` for more than
    ``max_bytes``.
    """
    for attempt in range(ATTEMPTS):
        began = False
        try:
            # Not compressed: a PDS is several times slower at that.
            with client.stream(
                f"{pds}/xrpc/com.atproto.sync.getBlob",
                params={"did": str(blob.did), "cid": str(blob.cid)},
                headers={"Accept-Encoding": "identity"},
                max_bytes=max_bytes,
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
    sha256 = hashlib.sha256()
    with waited_for(body, f"blob …{str(blob.cid)[-8:]}", body.content_length) as counted:
        return spool.hold(counted, sha256, lambda: _check(sha256.digest(), blob))


def _check(digest: bytes, blob: BlobUri) -> None:
    if digest != blob.cid.digest:
        actual = Cid.from_bytes(blob.cid.raw[:4] + digest)
        raise CidMismatch(str(blob.cid), str(actual), f"blob of {blob.did}")

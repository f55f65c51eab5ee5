"""Blobs of indexed datasets from a disk cache, so that training jobs don't hammer a small PDS.

Rule: only a blob that a visible dataset of that account names is fetched or given out, which is
looked up at each request; and no byte of it before all of it hashes to its CID. Off unless a
directory is configured. Source: com.atproto.sync.getBlob.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from atdata.network.http import HttpClient
from atdata.protocol import cbor, records
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, NetworkError, NotFound, ProtocolError, XrpcError
from atdata.protocol.keys import key_of
from atdata.protocol.models import BlobStorage, DatasetRecord
from atdata.protocol.syntax import Did
from search_api.database import Database, Session
from search_api.methods import GET_BLOB

PARALLEL = 4  # blobs that are being fetched
PIECE = 1 << 18
MAX_RECORDS = 1_000  # of one account that may name the blob


@dataclass(frozen=True, slots=True)
class Named:
    """A blob that a visible dataset of ``did`` names, and the account's host."""

    pds: str
    did: Did
    cid: Cid


class Mirror:
    """A cache of at most ``max_bytes`` in ``folder``, which is its own; the blob that was longest
    not asked for leaves first. Any number of threads."""

    def __init__(
        self, database: Database, client: HttpClient, folder: Path, max_bytes: int
    ) -> None:
        self._database, self._client = database, client
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = threading.Lock()
        self._fetching: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink()

    def named(self, did: Did, cid: Cid) -> Named:
        """Where that blob is from. Raises ``NotFound`` if no visible dataset of the account names
        it."""
        with self._database.session() as session:
            pds = _host(session, did, cid)
        if pds is None:
            (self._folder / _name(did, cid)).unlink(missing_ok=True)
            raise NotFound("no dataset here names this blob")
        return Named(pds, did, cid)

    def blob(self, named: Named) -> Path:
        """The file with that blob, whole and checked. Raises ``XrpcError`` 502 if its host does not
        give it, 503 if too much is being fetched."""
        path = self._folder / _name(named.did, named.cid)
        if not path.exists():
            with self._turn(path.name):
                self._fetch(named, path)
        os.utime(path)
        return path

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """One at a time fetches a blob, and ``PARALLEL`` in all; nobody waits for them."""
        with self._lock:
            if name in self._fetching or len(self._fetching) >= PARALLEL:
                message = "this blob, or enough others, are being fetched"
                raise XrpcError(503, "NotEnoughResources", message, retry_after=5)
            self._fetching.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._fetching.discard(name)

    def _fetch(self, named: Named, path: Path) -> None:
        part = self._folder / f"{uuid.uuid4().hex}.part"
        try:
            self._download(named, part)
            self._make_room(part.stat().st_size)
            part.rename(path)
        except (NetworkError, CidMismatch) as error:
            message = f"the account's host did not give the blob: {error}"
            raise XrpcError(502, "UpstreamFailure", message) from error
        finally:
            part.unlink(missing_ok=True)

    def _download(self, named: Named, part: Path) -> None:
        sha256 = hashlib.sha256()
        with (
            self._client.stream(
                f"{named.pds.rstrip('/')}/xrpc/{GET_BLOB}",
                params={"did": str(named.did), "cid": str(named.cid)},
                max_bytes=self._max_bytes,
            ) as body,
            part.open("wb") as file,
        ):
            for piece in body.chunks(PIECE):
                sha256.update(piece)
                file.write(piece)
        if sha256.digest() != named.cid.digest:
            actual = Cid.from_bytes(named.cid.raw[:4] + sha256.digest())
            raise CidMismatch(str(named.cid), str(actual), "blob")

    def _make_room(self, size: int) -> None:
        with self._lock:
            kept = [
                (path.stat(), path) for path in self._folder.iterdir() if path.suffix != ".part"
            ]
            total = size + sum(stat.st_size for stat, _ in kept)
            for stat, path in sorted(kept, key=lambda entry: entry[0].st_mtime_ns):
                if total <= self._max_bytes:
                    return
                path.unlink(missing_ok=True)
                total -= stat.st_size


def _name(did: Did, cid: Cid) -> str:
    return f"{key_of(did):016x}-{cid}"


def _host(session: Session, did: Did, cid: Cid) -> str | None:
    """The account's PDS, if one of its visible datasets has the blob ``cid``."""
    rows = session.rows(
        "SELECT r.collection, r.record, p.pds FROM records r "
        "JOIN repos p ON p.repo = r.repo AND p.active "
        "WHERE r.repo = ? AND r.kind = 'dataset' AND contains(r.record::VARCHAR, ?) LIMIT ?",
        [key_of(did), str(cid), MAX_RECORDS],
    )
    for collection, record, pds in rows:
        if pds is not None and _names(collection, record, cid):
            return str(pds)
    return None


def _names(collection: str, record: str, cid: Cid) -> bool:
    try:
        read = records.parse(collection, cbor.record_from_json(json.loads(record)))
    except ProtocolError:
        return False
    if not isinstance(read, DatasetRecord) or not isinstance(read.storage, BlobStorage):
        return False
    return any(shard.cid == cid for shard in read.storage.shards)

"""Blobs of indexed datasets from a disk cache, so that training jobs don't hammer a small PDS.

Rule: only a blob that a visible dataset of that account names is fetched or given out, which is
looked up at each request; and no byte of it before all of it hashes to its CID. Off unless a
directory is configured. Source: com.atproto.sync.getBlob.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
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
from search_api.feeds.mirror_files import MirrorFiles, NewFile
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
    """A cache of at most ``max_bytes`` in ``folder``, which is its own. Any number of threads."""

    def __init__(
        self, database: Database, client: HttpClient, folder: Path, max_bytes: int
    ) -> None:
        self._database, self._client = database, client
        self._max_bytes = max_bytes
        self._files = MirrorFiles(folder, max_bytes)
        self._lock = threading.Lock()
        self._fetching: set[str] = set()

    def named(self, did: Did, cid: Cid) -> Named:
        """Where that blob is from. Raises ``NotFound`` if no visible dataset of the account names
        it."""
        with self._database.session() as session:
            pds = _host(session, did, cid)
        if pds is None:
            self._files.drop(_name(did, cid))
            raise NotFound("no dataset here names this blob")
        return Named(pds, did, cid)

    def fetch(self, named: Named) -> None:
        """Have that blob here, whole and checked. Raises ``XrpcError`` 502 if its host does not
        give it, 503 if too much is being fetched or sent."""
        name = _name(named.did, named.cid)
        if not self._files.has(name):
            with self._turn(name):
                if not self._files.has(name):  # nobody has brought it meanwhile
                    self._fetch(named, name)

    def reading(self, named: Named) -> AbstractContextManager[Path | None]:
        """The file with that blob, which stays while the block lasts; None if it has left since it
        was fetched."""
        return self._files.read(_name(named.did, named.cid))

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

    def _fetch(self, named: Named, name: str) -> None:
        try:
            with self._files.new(name) as file:
                self._download(named, file)
        except (NetworkError, CidMismatch) as error:
            message = f"the account's host did not give the blob: {error}"
            raise XrpcError(502, "UpstreamFailure", message) from error

    def _download(self, named: Named, file: NewFile) -> None:
        sha256 = hashlib.sha256()
        with self._client.stream(
            f"{named.pds.rstrip('/')}/xrpc/{GET_BLOB}",
            params={"did": str(named.did), "cid": str(named.cid)},
            max_bytes=self._max_bytes,
        ) as body:
            for piece in body.chunks(PIECE):
                sha256.update(piece)
                file.write(piece)
        if sha256.digest() != named.cid.digest:
            actual = Cid.from_bytes(named.cid.raw[:4] + sha256.digest())
            raise CidMismatch(str(named.cid), str(actual), "blob")


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

"""Where shards come from: local files, web addresses, and blobs on any PDS.

Rule: a URL from the network is fetched by the guarded client and by nothing else (invariant 9), and
the bytes of a blob are held against their CID before anyone sees the first of them (invariant 10).
Every source follows ``atdata.index.DataSource``.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from atdata.bars import waited_for
from atdata.blob_fetch import MAX_BLOB_BYTES, fetch_blob
from atdata.checksums import algorithm_of, new_hash, wrong_digest
from atdata.index import DataSource
from atdata.protocol.cid import Cid
from atdata.protocol.errors import (
    BlockedAddress,
    FetchFailed,
    FetchTimeout,
    InvalidSyntax,
    NetworkError,
    NotFound,
    names_user,
    quote,
    shown_url,
)
from atdata.protocol.records import BlobShard, Checksum
from atdata.protocol.shard_patterns import expand_all
from atdata.protocol.syntax import BlobUri, Did
from atdata.settings import Settled, settings
from atdata.spool import Spool
from atdata.url_stream import UrlStream

PIECE = 1 << 18

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def source_of(where: str | os.PathLike[str] | Sequence[str]) -> DataSource:
    """The source for what a person writes: paths, http(s) addresses or ``at://did/blob/cid``, one
    or several, with brace patterns.

    Raises ``BlockedAddress`` for any other scheme (``pipe:``, ``file:`` …). Not for text from the
    network, which must not name local files: that is for ``URLSource`` and ``BlobSource``.
    """
    given = [os.fspath(where)] if isinstance(where, str | os.PathLike) else list(where)
    schemes = {_scheme(item) for item in given}
    if schemes == {""}:
        return LocalSource(given)
    if schemes == {"at"}:
        return BlobSource.from_uris(given)
    if schemes <= {"http", "https"}:
        return URLSource(given)
    raise BlockedAddress(
        f"{_shown(given[0])}: expected paths, http(s) addresses or at:// blobs, all of one kind"
    )


def _scheme(text: str) -> str:
    """``https`` of an address, empty for a path. One letter is a Windows drive."""
    match = _SCHEME.match(text)
    return match[0][:-1].lower() if match else ""


def _shown(text: str) -> str:
    """For messages: an address without secrets, and of ``pipe:…`` and the like the scheme alone."""
    scheme = _scheme(text)
    address = not scheme or text[len(scheme) + 1 :].startswith(("/", "\\"))
    return quote(shown_url(text) if address else f"{scheme}:…")


def _first(given: Sequence[str]) -> str:
    """The first few, for a repr."""
    return ", ".join(repr(shown_url(item)) for item in given[:3])


class _Source(Settled):
    """What all sources share: shards, one after the other."""

    def list_shards(self) -> list[str]:
        """The names of all shards, in order."""
        raise NotImplementedError

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """The bytes of one shard, from its beginning. The caller closes it."""
        raise NotImplementedError

    @property
    def shards(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Every shard in order: its name and its open stream, closed when the next is asked for."""
        for shard in self.list_shards():
            with self.open_shard(shard) as stream:
                yield shard, stream


# --- files ---------------------------------------------------------------------------------------


class LocalSource(_Source):
    """Tar files on this machine, by path or brace pattern. Raises ``InvalidSyntax`` for a pattern
    of more than 200,000 shards.

    Source: WebDataset (tars of samples; brace patterns).
    """

    def __init__(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> None:
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        self.given: tuple[str, ...] = tuple(os.fspath(path) for path in given)
        self._paths = expand_all(self.given)

    def list_shards(self) -> list[str]:
        """The paths, patterns expanded."""
        return list(self._paths)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """The file. Raises ``FileNotFoundError`` and what else opening a file raises."""
        return Path(shard_id).open("rb")

    def __repr__(self) -> str:
        return f"LocalSource({', '.join(map(repr, self.given[:3]))})"


# --- addresses -----------------------------------------------------------------------------------


class URLSource(_Source):
    """Tars at http(s) addresses, by URL or brace pattern, fetched by the guarded client.

    ``checksums`` are those of shards, by URL. A shard that has one which can be computed (MD5,
    SHA-1, SHA-2) is downloaded whole, into a temporary file, and seen only if it is right; of more
    than ``max_bytes`` it is ``TooLarge``. Any other is seen as it arrives.

    Raises ``BlockedAddress`` for another scheme, and for a user or password in an address;
    ``InvalidSyntax`` for a pattern of more than 200,000 shards.

    Source: WebDataset (brace patterns); RFC 9110, sections 13.1.5 and 14 (If-Range, ranges).
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        checksums: Mapping[str, Checksum] | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self.given: tuple[str, ...] = (urls,) if isinstance(urls, str) else tuple(urls)
        for url in self.given:
            if _scheme(url) not in {"http", "https"}:
                raise BlockedAddress(f"{_shown(url)}: shards are fetched over http(s) only")
            if names_user(url):
                raise BlockedAddress(f"{_shown(url)}: user and password don't belong in an address")
        self._urls = expand_all(self.given)
        self.checksums: dict[str, Checksum] = dict(checksums or {})
        self.max_bytes = max_bytes
        self._spool = Spool()

    def list_shards(self) -> list[str]:
        """The URLs, patterns expanded."""
        return list(self._urls)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """The body, over as many connections as it takes (``UrlStream``).

        Raises ``NetworkError`` here and while it is read, ``InvalidShard`` for another checksum.
        """
        checksum = self.checksums.get(shard_id)
        algorithm = algorithm_of(checksum)
        if checksum is None or algorithm is None:
            return io.BufferedReader(UrlStream(shard_id, settings().http), PIECE)
        stream = UrlStream(shard_id, settings().http, max_bytes=self.max_bytes)
        seen = new_hash(algorithm)

        def check() -> None:
            if wrong := wrong_digest(shard_id, checksum, seen.hexdigest()):
                raise wrong

        with stream, waited_for(stream, "shard", stream.size) as counted:
            return self._spool.hold(counted, seen, check)

    def __repr__(self) -> str:
        return f"URLSource({_first(self.given)})"


# --- blobs ---------------------------------------------------------------------------------------


class BlobSource(_Source):
    """Shards that are blobs of accounts, streamed from each account's PDS.

    A blob is downloaded whole and hashed on the way, up to ``IN_MEMORY`` bytes into memory and
    beyond into a temporary file; only when its SHA-256 is the one in its CID does ``open_shard``
    return it. A blob that is not what its CID says therefore yields no sample at all, and memory
    stays flat whatever its size.

    Source: com.atproto.sync.getBlob; the AT Protocol's data model (CIDs of blobs).
    """

    def __init__(
        self,
        blobs: Sequence[BlobUri],
        *,
        pds_endpoint: str | None = None,
        known: Iterable[BlobShard] = (),
        max_bytes: int = MAX_BLOB_BYTES,
    ) -> None:
        """``known`` is what is known of the blobs already: their sizes and types. One of more than
        ``max_bytes`` is ``TooLarge``."""
        self.blobs: tuple[BlobUri, ...] = tuple(blobs)
        self.known: dict[str, BlobShard] = {str(blob.cid): blob for blob in known}
        self.pds_endpoint = None if pds_endpoint is None else pds_endpoint.rstrip("/")
        self.max_bytes = max_bytes
        self._spool = Spool()

    @classmethod
    def from_refs(
        cls,
        refs: Sequence[Mapping[str, Any]],
        *,
        did: str | None = None,
        pds_endpoint: str | None = None,
    ) -> Self:
        """From ``{"did": …, "cid": …}``, or blob refs as they stand in records (``{"$type": "blob",
        "ref": {"$link": …}}``), whose account is their own ``did`` or the argument.

        ``pds_endpoint`` is the origin that serves them; without it each DID document says so.
        Raises ``InvalidSyntax`` and ``InvalidCid``.
        """
        blobs = [_blob_of(ref, did) for ref in refs]
        known = map(_known_of, blobs, refs)
        return cls(blobs, pds_endpoint=pds_endpoint, known=known)

    @classmethod
    def from_uris(
        cls,
        uris: Sequence[str],
        *,
        pds_endpoint: str | None = None,
        known: Iterable[BlobShard] = (),
        max_bytes: int = MAX_BLOB_BYTES,
    ) -> Self:
        """From ``at://did/blob/cid``. Raises ``InvalidSyntax``."""
        blobs = [BlobUri.parse(uri) for uri in uris]
        return cls(blobs, pds_endpoint=pds_endpoint, known=known, max_bytes=max_bytes)

    def list_shards(self) -> list[str]:
        """``at://did/blob/cid`` of every blob."""
        return [str(blob) for blob in self.blobs]

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """The whole blob, checked. Raises ``CidMismatch`` that names both CIDs, ``NotFound`` if the
        account has no PDS, and ``NetworkError``."""
        blob = BlobUri.parse(shard_id)
        pds = self.pds_endpoint or _pds_of(blob.did, settings().resolver.resolve(blob.did).pds)
        try:
            return self._fetch(pds, blob)
        except (FetchFailed, FetchTimeout):
            moved_to = _pds_now(blob.did)
            if moved_to in (None, pds):
                raise
        return self._fetch(moved_to, blob)

    def _fetch(self, pds: str, blob: BlobUri) -> IO[bytes]:
        return fetch_blob(settings().http, pds, blob, self._spool, max_bytes=self.max_bytes)

    def __repr__(self) -> str:
        return f"BlobSource({len(self.blobs)} blobs)"


def _blob_of(ref: Mapping[str, Any], did: str | None) -> BlobUri:
    owner = ref.get("did", did)
    if not isinstance(owner, str):
        raise InvalidSyntax("blob reference", ref, "it names no did; pass did=…")
    link = ref.get("cid", ref.get("ref"))
    if isinstance(link, Mapping):
        link = link.get("$link")
    if isinstance(link, Cid):
        return BlobUri(Did.parse(owner), link)
    if not isinstance(link, str):
        raise InvalidSyntax("blob reference", ref, "it has neither cid nor ref.$link")
    return BlobUri(Did.parse(owner), Cid.parse(link))


def _known_of(blob: BlobUri, ref: Mapping[str, Any]) -> BlobShard:
    """What a blob ref says besides its CID; None for what it does not."""
    size, mime_type = ref.get("size"), ref.get("mimeType")
    return BlobShard(
        blob.cid,
        size if type(size) is int and size >= 0 else None,
        mime_type if isinstance(mime_type, str) else None,
    )


def _pds_now(did: Did) -> str | None:
    """The host that the DID document names now, None if that cannot be learnt."""
    try:
        return settings().resolver.refresh(did).pds
    except NetworkError:
        return None


def _pds_of(did: Did, pds: str | None) -> str:
    if pds is None:
        raise NotFound(f"{did} names no PDS in its DID document, so its blobs cannot be fetched")
    return pds

"""``atdata.pull``: a dataset's shards into the local library, several at a time, each checked.

Rule: the dataset is in the library when all of its shards are there and right, and not before. What
an interruption leaves is kept, and the next pull goes on from there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from atdata.atmosphere.repository import blob_url, pds_of
from atdata.bars import byte_bars
from atdata.buckets import bucket_urls
from atdata.find import FoundDataset, HasUri, find_published
from atdata.library import MANIFEST, Library, PulledDataset, PulledShard, read_pulled
from atdata.load import check_url
from atdata.protocol.cid import Cid
from atdata.protocol.errors import (
    FetchFailed,
    NetworkError,
    NotConfigured,
    NotFound,
    ProtocolError,
)
from atdata.protocol.records import BlobStorage, ExternalStorage, S3Storage
from atdata.protocol.shard_patterns import expand, expand_all
from atdata.protocol.syntax import AtUri, BlobUri
from atdata.settings import settings
from atdata.shard_files import Rest, Shard, ShardFile, Stopped

if sys.platform != "win32":
    import fcntl

WORKERS = 4
MAX_WORKERS = 32

Tell = Callable[[int, int | None], object]
"""Told the bytes that are there, and how many there will be, as far as the author said so."""

log = logging.getLogger(__name__)


def pull(
    ref: str | HasUri,
    library: str | os.PathLike[str] | None = None,
    *,
    api: str | None = None,
    workers: int = WORKERS,
    progress: Tell | None = None,
) -> list[Path]:
    """Download all shards of a dataset; returns their paths in order.

    ``ref`` as in ``atdata.load_dataset``, which takes the files from then on, without asking the
    network. ``library``: the folder to keep it in, under ``<did>/<collection>/<rkey>``; without it
    the one in the settings (``ATDATA_LIBRARY``). ``workers`` shards are fetched at a time, 1 to
    32. ``progress(bytes there, bytes in all or None)`` is called from their threads; without it
    there is a bar on a terminal.

    Files that are right already are kept, and a shard of which a part is there is continued, so an
    interrupted pull is simply called again; called once more, it hashes every file and brings the
    dataset up to the record that is published now. A shard at a URL without a checksum is held
    against the length that its host announces, and nothing else.

    Raises what ``load_dataset`` raises; ``CidMismatch`` and ``InvalidShard`` (a checksum) for wrong
    bytes, which are not kept; ``NotConfigured`` if there is no library; ``OSError``.

    Source: com.atproto.sync.getBlob; RFC 9110, sections 10.2.3, 13.1.5 and 14 (Retry-After,
    If-Range, ranges).
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise ValueError(f"workers must be 1 to {MAX_WORKERS}, got {workers}")
    target = _chosen(library)
    found = find_published(ref, api=api)
    uri = found.dataset.uri
    folder = target.folder(uri)
    shards = _shards(found)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), _bar(progress) as tell:
        count = _Count(_expected(found, shards), tell)
        pulled = _fetch_all(found, shards, folder, workers, count)
        pulled.write()
        _tidy(pulled)
    _remember(target, uri)
    return pulled.paths


def _chosen(library: str | os.PathLike[str] | None) -> Library:
    root = settings().library if library is None else Path(library)
    if root is None:
        raise NotConfigured(
            "no library is configured: name a folder, atdata.configure(library='…'), or set "
            "ATDATA_LIBRARY"
        )
    return Library(root)


def _remember(target: Library, uri: AtUri) -> None:
    """In the configured library, so that ``load_dataset`` finds it there."""
    own = settings().library
    if own is None or own.absolute() == target.root.absolute():
        return
    try:
        Library(own).point_to(target, uri)
    except OSError as error:
        log.warning("%s does not know where %s is: %s", own, uri, error)


# --- what to fetch -------------------------------------------------------------------------------


def _shards(found: FoundDataset) -> list[Shard]:
    """Every shard, in order. Raises ``BlockedAddress``, ``InvalidRecord``."""
    match found.entry.record.storage:
        case BlobStorage(shards=blobs):
            did = found.entry.did
            pds = found.pds or pds_of(did)
            return [
                Shard(
                    url=f"at://{did}/blob/{blob.cid}",
                    address=blob_url(pds, did, str(blob.cid)),
                    file=f"{blob.cid}.tar",
                    cid=blob.cid,
                    checksum=blob.checksum,
                    size=blob.size,
                )
                for blob in blobs
            ]
        case ExternalStorage(shards=given):
            made: list[Shard] = []
            expand_all([shard.url for shard in given])  # bounded in all, before any is made
            for shard in given:
                check_url(shard.url)
                urls = expand(shard.url)
                checksum = shard.checksum if urls == [shard.url] else None
                made += [Shard(url, url, _file_of(url), checksum=checksum) for url in urls]
            return made
        case S3Storage(shards=keys) as bucket:
            urls = bucket_urls(bucket)
            for url in urls:
                check_url(url)
            pairs = zip(urls, keys, strict=True)
            return [Shard(url, url, _file_of(url), checksum=key.checksum) for url, key in pairs]


def _file_of(url: str) -> str:
    return f"url-{hashlib.sha256(url.encode()).hexdigest()[:32]}.tar"


def _expected(found: FoundDataset, shards: list[Shard]) -> int | None:
    """The author's claim, for the bar."""
    sizes = {shard.file: shard.size for shard in shards}
    known = [size for size in sizes.values() if size is not None]
    return sum(known) if len(known) == len(sizes) else found.entry.size.bytes


def _known(folder: Path, found: FoundDataset) -> dict[str, Cid]:
    """What the shards were when they were pulled before, by URL."""
    if not (folder / MANIFEST).is_file():
        return {}
    try:
        before = read_pulled(folder)
    except NotFound:
        return {}
    if before.dataset.uri != found.dataset.uri:
        return {}
    return {shard.url: Cid.parse(shard.cid) for shard in before.shards}


# --- fetching ------------------------------------------------------------------------------------


def _fetch_all(
    found: FoundDataset, shards: list[Shard], folder: Path, workers: int, count: _Count
) -> PulledDataset:
    """All shards; when one fails, the others stop where they are and keep it."""
    known = _known(folder, found)
    files = {shard.file: shard for shard in shards}
    stop = threading.Event()
    rest = Rest(stop)
    with ThreadPoolExecutor(workers, thread_name_prefix="pull") as pool:
        jobs = {
            name: pool.submit(_fetch, shard, folder, known.get(shard.url), count, stop, rest)
            for name, shard in files.items()
        }
        try:
            done, _ = wait(jobs.values(), return_when=FIRST_EXCEPTION)
            failures = [error for job in done if (error := job.exception()) is not None]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    for failure in sorted(failures, key=lambda error: isinstance(error, Stopped)):
        raise failure
    times = {name: (folder / name).stat() for name in files}
    return PulledDataset(
        folder,
        found.dataset,
        found.schema_record(),
        tuple(
            PulledShard(
                shard.url,
                shard.file,
                str(jobs[shard.file].result()),
                times[shard.file].st_size,
                times[shard.file].st_mtime_ns,
            )
            for shard in shards
        ),
        found.handle or _handle_of(found.entry.did),
    )


def _handle_of(did: str) -> str | None:
    """The author's handle, verified both ways, so that the dataset is found under it offline."""
    resolver = settings().resolver
    try:
        return resolver.verified_handle(resolver.resolve(did))
    except (NetworkError, ProtocolError) as error:
        log.warning("the handle of %s is not known: %s", did, error)
        return None


def _fetch(
    shard: Shard,
    folder: Path,
    known: Cid | None,
    count: _Count,
    stop: threading.Event,
    rest: Rest,
) -> Cid:
    def get(shard: Shard) -> Cid:
        tell = count.of(shard.file)
        file = ShardFile(shard, folder, settings().http, tell=tell, stop=stop, rest=rest)
        return file.fetch(known)

    try:
        try:
            return get(shard)
        except FetchFailed as error:
            moved = _moved(shard)
            if moved == shard:
                raise
            log.warning("%s; the account has moved", error)
            return get(moved)
    except BaseException:
        stop.set()  # before this thread takes the next shard
        raise


def _moved(shard: Shard) -> Shard:
    """The shard at the host that the author's DID document names now."""
    if shard.cid is None:
        return shard
    did = BlobUri.parse(shard.url).did
    try:
        pds = settings().resolver.refresh(did).pds
    except NetworkError:
        return shard
    if pds is None:
        return shard
    return replace(shard, address=blob_url(pds.rstrip("/"), did, str(shard.cid)))


def _tidy(pulled: PulledDataset) -> None:
    """Remove what earlier versions of the dataset, and earlier interruptions, have left."""
    kept = {shard.file for shard in pulled.shards} | {MANIFEST}
    for path in pulled.folder.iterdir():
        ours = path.name.startswith(("bafk", "url-")) and path.name.partition(".tar")[1]
        if ours and path.name not in kept:
            path.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One pull at a time in a folder; another one waits, and then finds everything there."""
    with (folder / ".lock").open("ab") as lock:
        _lock(lock)
        yield


def _lock(file: IO[bytes]) -> None:
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX)


# --- progress ------------------------------------------------------------------------------------


class _Count:
    """Bytes of all shards, added up under a lock."""

    def __init__(self, expected: int | None, tell: Tell) -> None:
        self._expected, self._tell = expected, tell
        self._there: dict[str, int] = {}
        self._sum = 0
        self._lock = threading.Lock()

    def of(self, file: str) -> Callable[[int], None]:
        """What one shard is to tell its own count to."""

        def tell(size: int) -> None:
            with self._lock:
                self._sum += size - self._there.get(file, 0)
                self._there[file] = size
                self._tell(self._sum, self._expected)

        return tell


@contextmanager
def _bar(progress: Tell | None) -> Iterator[Tell]:
    """The caller's own progress; or else a bar on a terminal, and silence elsewhere."""
    if progress is not None:
        yield progress
        return
    with byte_bars(shown=sys.stderr.isatty()) as bars:
        task = bars.add_task("pull", total=None)
        yield lambda there, total: bars.update(task, completed=there, total=total)

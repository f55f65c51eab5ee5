"""Many shards on their way to a PDS at once.

Rule: a shard waits for its upload in a file of its own, and no more of them are made than are soon
to be sent: memory and disk hold a few shards, however many there are. The first failure ends all
of it, and every file is closed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import IO, NamedTuple, Protocol, Self

from rich.progress import TextColumn

from atdata.bars import byte_bars
from atdata.protocol.errors import AtdataError
from atdata.protocol.models import BlobShard

SHARD_MIME = "application/x-tar"
WORKERS = 4  # uploads at a time: more get a PDS's disk no further
AHEAD = WORKERS + 1  # one more is made meanwhile


class Shard(NamedTuple):
    """A whole shard in an open file; whoever takes it closes it. ``samples`` is how many it holds,
    None where it is no shard of samples."""

    file: IO[bytes]
    samples: int | None


class Uploaded(NamedTuple):
    """A shard that the PDS has, and the number of its samples."""

    blob: BlobShard
    samples: int | None


class Uploader(Protocol):
    """What takes the bytes: ``AtmosphereClient``."""

    def upload_blob(
        self,
        data: IO[bytes],
        mime_type: str = ...,
        *,
        on_bytes: Callable[[int], None] | None = None,
    ) -> BlobShard:
        """Send a file from its beginning; ``on_bytes`` is told of each chunk."""


def upload_all(
    client: Uploader,
    shards: Iterable[Shard],
    *,
    mime_type: str = SHARD_MIME,
    label: str = "upload",
    count: int | None = None,
    size: int | None = None,
    progress: bool | None = None,
) -> list[Uploaded]:
    """Upload every shard, ``WORKERS`` at a time; what the PDS says of each, in order.

    ``count`` (shards) and ``size`` (bytes) are for the progress bar, where they are known. It is
    shown on stderr if ``progress``, or by default if that is a terminal. Raises what the first
    failing upload, or making a shard, raises.
    """
    shown = sys.stderr.isatty() if progress is None else progress
    with _Bar(label, shown, count, size) as bar:
        return _Uploads(client, mime_type, bar).run(shards)


class _Stopped(AtdataError):
    """This upload was given up because another one failed. Nobody sees it."""


class _Uploads:
    """One run of ``upload_all``."""

    def __init__(self, client: Uploader, mime_type: str, bar: _Bar) -> None:
        self._client, self._mime_type, self._bar = client, mime_type, bar
        self._free = threading.Semaphore(AHEAD)
        self._stopped = threading.Event()

    def run(self, shards: Iterable[Shard]) -> list[Uploaded]:
        futures: list[Future[Uploaded]] = []
        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                self._free.acquire()
                for shard in shards:
                    futures.append(pool.submit(self._upload, shard))
                    futures[-1].add_done_callback(self._when_done(shard))
                    self._free.acquire()
                    if self._stopped.is_set():
                        break
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return _results(futures)

    def _upload(self, shard: Shard) -> Uploaded:
        try:
            blob = self._client.upload_blob(shard.file, self._mime_type, on_bytes=self._advance)
        except BaseException:
            self._stopped.set()
            raise
        self._bar.shard()
        return Uploaded(blob, shard.samples)

    def _advance(self, count: int) -> None:
        if self._stopped.is_set():
            raise _Stopped
        self._bar.bytes(count)

    def _when_done(self, shard: Shard) -> Callable[[Future[Uploaded]], None]:
        def finish(_: Future[Uploaded]) -> None:
            shard.file.close()
            self._free.release()

        return finish


def _results(futures: Sequence[Future[Uploaded]]) -> list[Uploaded]:
    """Of all, in order; or the error that made the others stop."""
    failures = [error for future in futures if (error := future.exception())]
    for failure in sorted(failures, key=lambda error: isinstance(error, _Stopped)):
        raise failure
    return [future.result() for future in futures]


class HashedChunks:
    """Chunks of a file, hashed as they go by: its SHA-256 is known when the last one has gone."""

    def __init__(self, file: IO[bytes], chunk: int, on_bytes: Callable[[int], None] | None) -> None:
        self._file, self._chunk, self._on_bytes = file, chunk, on_bytes
        self._hash, self._told = sha256(), 0

    def from_the_beginning(self) -> Iterable[bytes]:
        """All chunks, now or once more."""
        self._file.seek(0)
        self._hash = sha256()
        if self._told:
            self._tell(-self._told)
        while chunk := self._file.read(self._chunk):
            self._hash.update(chunk)
            yield chunk
            self._tell(len(chunk))

    def digest(self) -> bytes:
        """SHA-256 of what has gone by."""
        return self._hash.digest()

    def _tell(self, count: int) -> None:
        self._told += count
        if self._on_bytes:
            self._on_bytes(count)


class _Bar:
    """Shards and bytes so far, on stderr; silent unless shown. Takes news from several threads."""

    def __init__(self, label: str, shown: bool, count: int | None, size: int | None) -> None:
        self._bars = byte_bars(TextColumn("{task.fields[shards]} shards"), shown=shown)
        self._of = "" if count is None else f" of {count}"
        self._done = 0
        self._lock = threading.Lock()
        self._task = self._bars.add_task(label, total=size, shards=f"0{self._of}")

    def bytes(self, count: int) -> None:
        self._bars.advance(self._task, count)

    def shard(self) -> None:
        with self._lock:
            self._done += 1
            self._bars.update(self._task, shards=f"{self._done}{self._of}")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

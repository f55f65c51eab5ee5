"""One shard into one file, in as many attempts as it takes.

Rule: what stands under a shard's final name is whole and, where a CID or a checksum is known, is
what that says. Until then its bytes are in ``<name>.part``, which is never cut: where a host
honours ranges it is continued, and where it does not (no PDS does) the same bytes are written over
themselves, so that an interruption at any byte leaves no less than there was.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from atdata.checksums import Hash, algorithm_of, new_hash, wrong_digest
from atdata.library import file_cid, raw_cid
from atdata.network.body import Body
from atdata.network.http import HttpClient
from atdata.protocol.cid import Cid
from atdata.protocol.errors import (
    AtdataError,
    CidMismatch,
    FetchFailed,
    FetchTimeout,
    InvalidShard,
)
from atdata.protocol.records import Checksum
from atdata.url_stream import Version, size_of_all

PIECE = 1 << 20
MAX_SHARD_BYTES = 1 << 40
ATTEMPTS = 4  # in a row that bring nothing new
FIRST_DELAY = 0.25  # seconds; doubled each time
MAX_REST = 3_600.0  # seconds that a host may ask to be left alone
TRY_AGAIN = frozenset({None, 408, 429, 500, 502, 503, 504})
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
MAX_VERSION = 1_000  # characters of what a host calls a version

log = logging.getLogger(__name__)


class Stopped(AtdataError):
    """Another shard of the same pull has failed, or the caller has had enough."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What to fetch. ``url`` names the shard in its dataset, ``address`` is where its bytes are,
    ``file`` the name that they get. ``cid`` and ``checksum`` bind, ``size`` is a claim."""

    url: str
    address: str
    file: str
    cid: Cid | None = None
    checksum: Checksum | None = None
    size: int | None = None

    @property
    def proves_itself(self) -> bool:
        """Whether wrong bytes would be noticed."""
        return self.cid is not None or algorithm_of(self.checksum) is not None


class Rest:
    """Hosts that asked to be left alone (Retry-After), for all shards of one pull. ``clock`` is a
    monotonic one, in seconds."""

    def __init__(
        self, stop: threading.Event, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stop, self._clock = stop, clock
        self._until: dict[str, float] = {}

    def ask(self, address: str, seconds: float) -> None:
        """The host of ``address`` wants to be left alone for so long."""
        until = self._clock() + seconds
        host = _host(address)
        self._until[host] = max(until, self._until.get(host, until))

    def wait(self, address: str) -> None:
        """Until its host may be asked again, or the pull is stopped."""
        left = self._until.get(_host(address), 0.0) - self._clock()
        if left > 0:
            self._stop.wait(left)


def _host(address: str) -> str:
    return address.split("/", 3)[2] if address.count("/") > 1 else address


class ShardFile:
    """The file of one shard. ``tell`` is told how many of its bytes are there."""

    def __init__(
        self,
        shard: Shard,
        folder: Path,
        http: HttpClient,
        *,
        tell: Callable[[int], object],
        stop: threading.Event,
        rest: Rest | None = None,
    ) -> None:
        self._shard, self._http = shard, http
        self._tell, self._stop = tell, stop
        self._rest = rest or Rest(stop)
        self._path = folder / shard.file
        self._part = folder / f"{shard.file}.part"
        self._validator = folder / f"{shard.file}.part.version"
        self._resumed = False

    def fetch(self, known: Cid | None = None) -> Cid:
        """Make the file be there and right; returns the CID of its bytes.

        ``known`` is the CID that the file had when it was pulled before. A file that is right is
        kept. Raises ``CidMismatch``, ``InvalidShard`` (another checksum), ``NetworkError``,
        ``OSError`` (a full disk), and ``Stopped``.
        """
        self._check_stop()
        if self._path.is_file():
            found = file_cid(self._path)
            if found == (self._shard.cid or known or found) and self._is_right(self._path):
                self._tell(self._path.stat().st_size)
                return found
            log.warning("%s is not what it should be and is fetched again", self._path)
        return self._download()

    def _is_right(self, path: Path) -> bool:
        algorithm = algorithm_of(self._shard.checksum)
        if algorithm is None or self._shard.checksum is None:
            return True
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        return found == self._shard.checksum.digest.lower()

    def _download(self) -> Cid:
        try:
            return self._attempts()
        except (CidMismatch, InvalidShard) as error:
            self._forget()
            if not self._resumed:
                raise
            log.warning("%s was wrong before, and is begun again: %s", self._part, error)
        try:
            return self._attempts()
        except (CidMismatch, InvalidShard):
            self._forget()
            raise

    def _attempts(self) -> Cid:
        """Until the end of the shard, as long as each attempt gets further than all before."""
        furthest, idle = 0, 0
        while True:
            self._rest.wait(self._shard.address)
            self._check_stop()
            try:
                return self._attempt()
            except (FetchFailed, FetchTimeout) as error:
                reached = self._part.stat().st_size if self._part.is_file() else 0
                idle = 0 if reached > furthest else idle + 1
                furthest = max(furthest, reached)
                delay = _delay(error, idle)
                if delay is None:
                    raise
                log.warning("%s; going on at byte %d in %.1f s", error, reached, delay)
                if isinstance(error, FetchFailed) and error.retry_after is not None:
                    self._rest.ask(self._shard.address, delay)
                elif self._stop.wait(delay):
                    raise Stopped(f"{self._part} is kept") from error

    def _attempt(self) -> Cid:
        checks = _Checks(self._shard)
        with _opened(self._part) as file:
            self._drop_unproven(file)
            there = checks.read(file, self._check_stop)
            self._resumed = self._resumed or there > 0
            if there and checks.are_right():
                return self._keep(file, checks)
            try:
                self._receive(file, checks, there)
            except FetchFailed as error:
                if error.status != RANGE_NOT_SATISFIABLE or not there:
                    raise
                checks.start()  # more bytes than the host has: not those of this shard
                self._receive(file, checks, 0)
            checks.raise_if_wrong()
            return self._keep(file, checks)

    def _drop_unproven(self, file: IO[bytes]) -> None:
        """Bytes that no hash would prove can be continued only under the host's own word that the
        shard has not changed."""
        if not self._shard.proves_itself and not self._validator.is_file():
            file.truncate(0)

    def _receive(self, file: IO[bytes], checks: _Checks, start: int) -> None:
        headers = {"Accept-Encoding": "identity", **self._range(start)}
        request = self._http.stream(self._shard.address, headers=headers, max_bytes=MAX_SHARD_BYTES)
        with request as body:
            if body.status == PARTIAL_CONTENT:
                self._check_range(body, start)
            elif start:
                checks.start()
                start = 0
            if start == 0:
                self._note_version(body, file)
            file.seek(start)
            self._tell(start)
            for piece in body.chunks(PIECE):
                self._check_stop()
                _write(file, piece)
                checks.update(piece)
                self._tell(checks.size)
        file.truncate(checks.size)

    def _range(self, start: int) -> dict[str, str]:
        if not start:
            return {}
        wanted = {"Range": f"bytes={start}-"}
        if not self._shard.proves_itself and (validator := self._version().validator) is not None:
            wanted["If-Range"] = validator
        return wanted

    def _check_range(self, body: Body, start: int) -> None:
        """Raises ``FetchFailed`` (416) unless this is the rest of what we have."""
        size = size_of_all(body, start)
        same = self._shard.proves_itself or self._version().may_be(Version.of(body, size))
        if size is None or (start and not same):
            why = f"{self._part}: the host answered with something else than the rest"
            raise FetchFailed(why, RANGE_NOT_SATISFIABLE)

    def _version(self) -> Version:
        """The version of which we have a part."""
        validator, _, size = self._validator.read_text("latin-1").partition("\n")
        return Version(validator or None, int(size) if size.isdecimal() else None)

    def _note_version(self, body: Body, file: IO[bytes]) -> None:
        """What the host calls this version of an unproven shard, before the first byte of it. A
        length alone is not enough here: what is left of a pull may be continued a year later."""
        if self._shard.proves_itself:
            return
        file.truncate(0)
        self._validator.unlink(missing_ok=True)
        version = Version.of(body, body.content_length)
        if version.validator is not None and len(version.validator) <= MAX_VERSION:
            text = f"{version.validator}\n{'' if version.size is None else version.size}"
            self._validator.write_text(text, "latin-1")

    def _keep(self, file: IO[bytes], checks: _Checks) -> Cid:
        file.flush()
        os.fsync(file.fileno())
        self._part.replace(self._path)
        self._validator.unlink(missing_ok=True)
        self._tell(checks.size)
        return checks.cid

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped(f"{self._part} is kept")


class _Checks:
    """Every hash that a shard's bytes must have, over as many of them as were seen."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._algorithm = algorithm_of(shard.checksum)
        self.start()

    def start(self) -> None:
        """Forget all bytes."""
        self.size = 0
        self._sha256: Hash = hashlib.sha256()
        self._other: Hash | None = None
        if self._algorithm not in (None, "sha256"):
            self._other = new_hash(str(self._algorithm))

    def update(self, piece: bytes) -> None:
        """The next bytes."""
        self.size += len(piece)
        self._sha256.update(piece)
        if self._other is not None:
            self._other.update(piece)

    def read(self, file: IO[bytes], check_stop: Callable[[], None]) -> int:
        """All bytes of a file. Returns how many."""
        file.seek(0)
        while piece := file.read(PIECE):
            check_stop()
            self.update(piece)
        return self.size

    @property
    def cid(self) -> Cid:
        """Of the bytes seen."""
        return raw_cid(self._sha256.digest())

    def are_right(self) -> bool:
        """Whether hashes are known and all of them are right."""
        return self._shard.proves_itself and self._wrong() is None

    def raise_if_wrong(self) -> None:
        """Raises ``CidMismatch`` or ``InvalidShard``."""
        if (wrong := self._wrong()) is not None:
            raise wrong

    def _wrong(self) -> AtdataError | None:
        shard, checksum = self._shard, self._shard.checksum
        if shard.cid is not None and self.cid != shard.cid:
            return CidMismatch(str(shard.cid), str(self.cid), shard.url)
        if checksum is not None and self._algorithm is not None:
            return wrong_digest(shard.url, checksum, (self._other or self._sha256).hexdigest())
        return None


def _opened(path: Path) -> IO[bytes]:
    """For reading and writing, unbuffered, as it is; empty if it is new."""
    path.touch()
    return path.open("r+b", buffering=0)


def _write(file: IO[bytes], piece: bytes) -> None:
    """All of ``piece``; a file without a buffer may take less at once."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def _delay(error: FetchFailed | FetchTimeout, idle: int) -> float | None:
    """Seconds to wait after a failed attempt, when the last ``idle`` brought nothing; None to give
    up. What a host asks for goes before what we would like."""
    if idle >= ATTEMPTS:
        return None
    if isinstance(error, FetchFailed):
        if error.status not in TRY_AGAIN:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= MAX_REST else None
    return FIRST_DELAY * (1 << idle)

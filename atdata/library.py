"""Datasets that were pulled: files on this machine that ``load_dataset`` prefers to the network.

    <root>/<did>/<collection>/<rkey>/dataset.json     what it is, and which bytes belong to it
                                     <cid>.tar        a shard that is a blob
                                     url-<hash>.tar   a shard at a URL

Rule: ``dataset.json`` is written last. It holds both records, which are held against their CIDs
when it is read, and the CID, size and time of every shard; a dataset of which anything is missing
or different is not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote as percent

from atdata.atmosphere.entries import read_entry
from atdata.atmosphere.repository import StoredRecord
from atdata.network.strict_json import parse_json
from atdata.protocol import cbor
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import AtdataError, CidMismatch, InvalidRecord, NotFound, quote
from atdata.protocol.records import Storage
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import from_json, to_json
from atdata.sources import LocalSource

VERSION = 1
MANIFEST = "dataset.json"
ELSEWHERE = "elsewhere"  # a file that names the library into which the dataset was pulled
MAX_MANIFEST = 200_000_000  # bytes
MAX_NAME = 150  # characters of a folder's name
MAX_DATASETS = 100_000  # looked through for a name

_RAW_PREFIX = bytes((0x01, RAW, 0x12, 0x20))

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PulledShard:
    """A shard and its file. ``url`` is its name in the dataset, ``cid`` that of all its bytes,
    ``size`` in bytes; ``mtime_ns`` is the file's time when it was last known to be right."""

    url: str
    file: str
    cid: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class _Record:
    uri: str
    cid: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Manifest:
    version: int
    dataset: _Record
    shards: tuple[PulledShard, ...]
    schema: _Record | None = None
    handle: str | None = None


@dataclass(frozen=True, slots=True)
class PulledDataset:
    """A dataset as it was when it was pulled into ``folder``: its record, that of its schema, if
    there was one, and all shards."""

    folder: Path
    dataset: StoredRecord
    schema: StoredRecord | None
    shards: tuple[PulledShard, ...]
    handle: str | None = None

    @property
    def paths(self) -> list[Path]:
        """The files of its shards, in order."""
        return [self.folder / shard.file for shard in self.shards]

    def source(self) -> LocalSource:
        """Its shards as a source."""
        entry = read_entry(self.dataset)
        return PulledSource(self.paths, entry.did, entry.record.storage)

    def write(self) -> None:
        """Put the manifest beside the shards, in one step."""
        manifest = _Manifest(
            VERSION,
            _as_json(self.dataset),
            self.shards,
            None if self.schema is None else _as_json(self.schema),
            self.handle,
        )
        write_whole(self.folder / MANIFEST, json.dumps(to_json(manifest), indent=1).encode())


class PulledSource(LocalSource):
    """Files that were pulled: paths as they are, since braces in the name of a folder are no
    pattern. ``storage`` is where the account ``did`` has published them."""

    def __init__(self, paths: Sequence[Path], did: str, storage: Storage) -> None:
        super().__init__([])
        self.given = tuple(str(path) for path in paths)
        self._paths = list(self.given)
        self.did, self.storage = did, storage

    def __repr__(self) -> str:
        return f"<{len(self._paths)} pulled shards>"


@dataclass(frozen=True, slots=True)
class Library:
    """A folder of pulled datasets."""

    root: Path

    def folder(self, uri: AtUri) -> Path:
        """Where the dataset ``uri`` (whose authority is a DID) has its place."""
        parts = (str(uri.authority), str(uri.collection), str(uri.rkey))
        return self.root.joinpath(*map(_name, parts))

    def find(self, uri: AtUri, cid: str | None = None, *, verify: bool = False) -> PulledDataset:
        """The dataset ``uri``, whole and right, here or in the library that it was pulled into.

        ``cid`` is the version that is wanted, if it matters. Files are known to be right by their
        size and time; ``verify`` hashes them all. Raises ``NotFound`` that says what is missing.
        """
        missing = NotFound(f"{uri} has not been pulled into {self.root}")
        for folder in self._places(uri):
            try:
                return _checked(read_pulled(folder), uri, cid, verify)
            except NotFound as error:
                missing = error
        raise missing

    def find_named(self, author: str, name: str) -> AtUri:
        """The newest dataset of that name, pulled from the account ``author``: a DID, or the handle
        that it had then. Raises ``NotFound``."""
        found = []
        for pulled in self._all():
            entry = read_entry(pulled.dataset)
            if author in (pulled.handle, entry.did) and entry.name == name:
                found.append((entry.created_at, entry.uri))
        if not found:
            raise NotFound(f"no dataset @{author}/{name} has been pulled into {self.root}")
        return AtUri.parse(max(found)[1])

    def find_by_handle(self, uri: AtUri) -> AtUri:
        """The dataset that ``uri`` names by the handle which its author had when it was pulled.
        Raises ``NotFound``, also where that could be several."""
        found = {
            pulled.dataset.uri
            for pulled in self._all()
            if pulled.handle == str(uri.authority).lower()
            and pulled.dataset.uri.collection == uri.collection
            and pulled.dataset.uri.rkey == uri.rkey
        }
        if len(found) != 1:
            raise NotFound(f"{len(found)} datasets {uri} have been pulled into {self.root}")
        return found.pop()

    def point_to(self, other: Library, uri: AtUri) -> None:
        """Remember that ``uri`` was pulled into another library."""
        folder = self.folder(uri)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ELSEWHERE, os.fsencode(other.root.absolute()))

    def _places(self, uri: AtUri) -> list[Path]:
        """Folders that hold a manifest for ``uri``, last pulled first."""
        return self._manifests_of(self.folder(uri))

    def _manifests_of(self, folder: Path) -> list[Path]:
        """``folder``, and its like in the library that it points to, if they hold a manifest."""
        places = [folder]
        with contextlib.suppress(OSError):
            named = Path(os.fsdecode((folder / ELSEWHERE).read_bytes()))
            places.append(named / folder.relative_to(self.root))
        times = {}
        for place in places:
            with contextlib.suppress(OSError):
                times[place] = (place / MANIFEST).stat().st_mtime_ns
        return sorted(times, key=lambda place: times[place], reverse=True)

    def _all(self) -> Iterator[PulledDataset]:
        for folder in islice(self.root.glob("*/*/*"), MAX_DATASETS):
            for place in self._manifests_of(folder):
                with contextlib.suppress(NotFound):
                    yield read_pulled(place)


def read_pulled(folder: Path) -> PulledDataset:
    """What a manifest says, as far as it proves itself. Raises ``NotFound`` if it does not."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            manifest = from_json(_Manifest, parse_json(file.read(MAX_MANIFEST)))
        if manifest.version != VERSION:
            raise InvalidRecord("/version", f"expected {VERSION}, got {manifest.version}")
        pulled = PulledDataset(
            folder,
            _stored(manifest.dataset),
            None if manifest.schema is None else _stored(manifest.schema),
            manifest.shards,
            manifest.handle,
        )
        _check_shards(pulled)
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there: nothing was pulled") from error
    except (OSError, ValueError, AtdataError) as error:
        log.warning("%s is not used: %s", path, error)
        raise NotFound(f"{path}: {error}") from error
    return pulled


def _check_shards(pulled: PulledDataset) -> None:
    """The manifest's blobs are those of the record, and its files lie beside it."""
    entry = read_entry(pulled.dataset)
    if entry.storage_kind == "blobs":
        named = [f"at://{entry.did}/blob/{shard.cid}" for shard in pulled.shards]
        if named != entry.data_urls:
            raise InvalidRecord("/shards", "they are not those of the record")
    for shard in pulled.shards:
        if Path(shard.file).name != shard.file:
            raise InvalidRecord("/shards", f"{quote(shard.file)} is not in the folder")


def _checked(pulled: PulledDataset, uri: AtUri, cid: str | None, verify: bool) -> PulledDataset:
    if pulled.dataset.uri != uri:
        raise NotFound(f"{pulled.folder} holds {pulled.dataset.uri} and not {uri}")
    if cid not in (None, pulled.dataset.cid):
        raise NotFound(f"{uri} was pulled as {pulled.dataset.cid} and is {cid} now")
    shards = tuple(_checked_shard(pulled.folder, shard, verify) for shard in pulled.shards)
    if shards != pulled.shards:  # times of files that were copied, and proved to be right
        pulled = replace(pulled, shards=shards)
        with contextlib.suppress(OSError):
            pulled.write()
    return pulled


def _checked_shard(folder: Path, shard: PulledShard, verify: bool) -> PulledShard:
    path = folder / shard.file
    try:
        found = path.stat()
        same = (found.st_size, found.st_mtime_ns) == (shard.size, shard.mtime_ns)
        if same and not verify:
            return shard
        right = found.st_size == shard.size and file_cid(path) == Cid.parse(shard.cid)
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from error
    if not right:
        log.warning("%s is not what was pulled; the network is asked instead", path)
        raise NotFound(f"{path} is not what was pulled")
    return replace(shard, mtime_ns=found.st_mtime_ns)


def file_cid(path: Path) -> Cid:
    """The CID of all bytes of a file."""
    with path.open("rb") as file:
        return raw_cid(hashlib.file_digest(file, "sha256").digest())


def raw_cid(digest: bytes) -> Cid:
    """The CID of bytes with this SHA-256."""
    return Cid(_RAW_PREFIX + digest)


def write_whole(path: Path, data: bytes) -> None:
    """Write beside ``path``, then rename: the file is the old one or the new one, never half."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _as_json(stored: StoredRecord) -> _Record:
    return _Record(str(stored.uri), stored.cid, stored.body())


def _stored(record: _Record) -> StoredRecord:
    """A record out of a manifest, held against its CID."""
    value = cbor.record_from_json(record.record)
    expected, actual = Cid.parse(record.cid), Cid.of(cbor.encode(value))
    if actual != expected:
        raise CidMismatch(str(expected), str(actual), record.uri)
    return StoredRecord(AtUri.parse(record.uri), record.cid, value)


def _name(part: str) -> str:
    """A DID, collection or record key as the name of a folder on every file system."""
    name = percent(part, safe="")
    if len(name) <= MAX_NAME:
        return name
    return f"{name[:100]}-{hashlib.sha256(part.encode()).hexdigest()[:32]}"

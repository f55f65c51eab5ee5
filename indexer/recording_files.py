"""Recordings: a firehose kept byte for byte, with all that is needed to index it again offline.

A directory: ``manifest.json`` (written last, so that one without it is no recording),
``frames-<name>.zst`` per source (zstd over: length u32 LE · received at u64 LE · frame; the time in
microseconds since 1970), ``identities.jsonl`` (DID documents), ``handles.json`` (verified, handle →
DID) and ``blobs/<cid>``.
Everything read from a recording is checked against the manifest's hashes.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, InvalidCid, InvalidRecord, quote
from indexer.frames import MAX_FRAME

FORMAT = 1
MANIFEST = "manifest.json"
IDENTITIES = "identities.jsonl"
HANDLES = "handles.json"
BLOBS = "blobs"

NAME = r"[a-z0-9][a-z0-9-]{0,62}"
"""What a source may be called: it is part of a file name and of a URL."""

_MAX_JSON = 64_000_000
_HEAD = struct.Struct("<IQ")
_LEVEL = 19
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame; ``at`` is when it was received, in microseconds since 1970."""

    at: int
    frame: bytes


class Span(NamedTuple):
    """One frame: ``buffer[start:end]``; ``at`` is as in ``RecordedFrame``."""

    buffer: bytes
    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """One firehose. ``bytes`` counts those of its frames, ``sha256`` is over the file; the seqs are
    None where no frame had one."""

    name: str
    url: str
    frames: int
    first_seq: int | None
    last_seq: int | None
    bytes: int
    sha256: str

    @property
    def file(self) -> str:
        return f"frames-{self.name}.zst"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a recording holds and how it came to be. ``sha256`` is of the other files, by name."""

    provenance: str
    created: str
    sources: tuple[RecordedSource, ...]
    events: Mapping[str, int]
    identities: int
    handles: int
    blobs: int
    sha256: Mapping[str, str]
    format: int = FORMAT


class FrameWriter:
    """Writes ``frames-<name>.zst`` in ``folder``. ``close`` gives what the manifest says of it."""

    def __init__(self, folder: Path, name: str, url: str, level: int = _LEVEL) -> None:
        self._name, self._url = name, url
        self._path = folder / f"frames-{name}.zst"
        self._file = self._path.open("wb")
        self._stream = zstandard.ZstdCompressor(level=level).stream_writer(self._file)
        self._seqs: tuple[int, int] | None = None
        self._frames = self._bytes = 0

    def write(self, frame: RecordedFrame, seq: int | None) -> None:
        """``seq`` is the frame's, None if it has none."""
        self._stream.write(_HEAD.pack(len(frame.frame), frame.at) + frame.frame)
        self._frames += 1
        self._bytes += len(frame.frame)
        if seq is not None:
            first, last = self._seqs or (seq, seq)
            self._seqs = min(first, seq), max(last, seq)

    def close(self) -> RecordedSource:
        self._stream.close()  # type: ignore[no-untyped-call]
        self._file.close()
        first, last = self._seqs or (None, None)
        return RecordedSource(
            name=self._name,
            url=self._url,
            frames=self._frames,
            first_seq=first,
            last_seq=last,
            bytes=self._bytes,
            sha256=file_sha256(self._path),
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording on disk. ``documents`` are the DID documents by DID, as recorded."""

    folder: Path
    manifest: Manifest
    documents: Mapping[str, Any]
    handles: Mapping[str, str]

    @classmethod
    def open(cls, folder: Path) -> Recording:
        """Raises ``InvalidRecord`` if it is none, incomplete, or not what its manifest says."""
        manifest = _manifest(_json(folder / MANIFEST))
        for source in manifest.sources:
            _check(folder / source.file, source.sha256)
        for name, digest in manifest.sha256.items():
            _check(folder / name, digest)
        lines = (folder / IDENTITIES).read_text(encoding="utf-8").splitlines()
        documents = {document["id"]: document for document in map(json.loads, lines)}
        return cls(folder, manifest, documents, _json(folder / HANDLES))

    def frames(self, source: str) -> Iterator[RecordedFrame]:
        """The frames of the source of that name, in the order in which they came.

        Raises ``InvalidRecord`` if the file ends inside a frame.
        """
        for span in self.spans(source):
            yield RecordedFrame(span.at, span.buffer[span.start : span.end])

    def spans(self, source: str) -> Iterator[Span]:
        """The same frames where they lie in what was read, not copied."""
        name = f"frames-{source}.zst"
        with (self.folder / name).open("rb") as file:
            stream = zstandard.ZstdDecompressor().stream_reader(file)
            rest = b""
            while chunk := stream.read(_CHUNK):
                buffer, at = rest + chunk, 0
                while at + _HEAD.size <= len(buffer):
                    length, received = _HEAD.unpack_from(buffer, at)
                    if length > MAX_FRAME:
                        raise InvalidRecord(name, f"has a frame of {length} bytes")
                    start = at + _HEAD.size
                    if start + length > len(buffer):
                        break
                    at = start + length
                    yield Span(buffer, start, at, received)
                rest = buffer[at:]
        if rest:
            raise InvalidRecord(name, "ends inside a frame")

    def blob(self, cid: str) -> bytes | None:
        """The bytes of a blob, None if it was not recorded. Raises ``CidMismatch``."""
        try:
            wanted = Cid.parse(cid)
        except InvalidCid:
            return None
        path = self.folder / BLOBS / str(wanted)
        if not path.is_file():
            return None
        data = path.read_bytes()
        found = Cid.of(data, wanted.codec)
        if found != wanted:
            raise CidMismatch(str(wanted), str(found), "recorded blob")
        return data


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Last of all, and at once."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True, ensure_ascii=False)
    temporary = folder / f"{MANIFEST}.new"
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(folder / MANIFEST)


def file_sha256(path: Path) -> str:
    """In hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(path: Path) -> Any:
    """Raises ``InvalidRecord`` where there is no such file, or it holds no JSON."""
    try:
        if path.stat().st_size > _MAX_JSON:
            raise InvalidRecord(path.name, "is too large")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRecord(path.name, f"no recording here: {quote(str(error), 200)}") from error


def _manifest(data: Any) -> Manifest:
    try:
        if data["format"] != FORMAT:
            raise InvalidRecord("format", f"{quote(data['format'])}, this program reads {FORMAT}")
        sources = tuple(RecordedSource(**source) for source in data["sources"])
        manifest = Manifest(**{**data, "sources": sources})
    except (KeyError, TypeError) as error:
        raise InvalidRecord(MANIFEST, f"is malformed: {quote(str(error), 200)}") from error
    for source in sources:
        if re.fullmatch(NAME, source.name) is None:
            raise InvalidRecord(MANIFEST, f"source name {quote(source.name)}")
    if set(manifest.sha256) != {IDENTITIES, HANDLES}:
        raise InvalidRecord(MANIFEST, "does not name the files that belong to it")
    return manifest


def _check(path: Path, expected: str) -> None:
    try:
        found = file_sha256(path)
    except OSError as error:
        raise InvalidRecord(path.name, "is missing") from error
    if found != expected:
        raise InvalidRecord(path.name, f"has SHA-256 {found}, the manifest says {quote(expected)}")

"""Makes a recording: the sources' frames from the oldest on, then what is needed to index them.

The rule protected here: what is recorded is what was received, byte for byte. DID documents and
blobs are fetched through the guarded client, blobs are checked against their CIDs, and the manifest
is written last, so that an interrupted recording is none.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol import car, cbor, records
from atdata.protocol.cid import Cid
from atdata.protocol.errors import (
    CidMismatch,
    FetchFailed,
    IdentityNotFound,
    InvalidRecord,
    ProtocolError,
    XrpcError,
    quote,
)
from atdata.protocol.namespaces import Kind, kind_of
from atdata.protocol.records import BlobStorage, DatasetRecord
from indexer import events, frames
from indexer.drops import InvalidEvent
from indexer.frame_queue import FrameQueue, Received
from indexer.machine import microseconds
from indexer.recording_files import (
    BLOBS,
    HANDLES,
    IDENTITIES,
    NAME,
    FrameWriter,
    Manifest,
    RecordedFrame,
    RecordedSource,
    file_sha256,
    write_manifest,
)
from indexer.subscribe import Subscription

MAX_BLOB = 1_000_000_000  # bytes
_MAX_DOCUMENT = 1_000_000
_FETCHES = 8

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Seen:
    """What the frames so far spoke of: repos that touched an indexed collection, blobs that their
    datasets refer to (DID, CID), events by kind."""

    repos: set[str] = field(default_factory=set)
    blobs: set[tuple[str, Cid]] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)

    def look(self, frame: bytes) -> int | None:
        """Take note of ``frame``; its seq, None if it has none."""
        try:
            peek = frames.peek(frame)
            self.kinds[peek.t or f"op {peek.op}"] += 1
            if frames.mentions_collection(frame):
                self._look_into(frames.parse(frame))
        except InvalidEvent as error:
            self.kinds["unreadable"] += 1
            return error.seq
        return peek.seq

    def _look_into(self, event: events.Event) -> None:
        if isinstance(event, events.Commit):
            if any(kind_of(op.collection) is not None for op in event.ops):
                self.repos.add(event.did)
            self.blobs.update((event.did, cid) for cid in _blobs_of(event))


def _blobs_of(commit: events.Commit) -> Iterator[Cid]:
    """The blobs of the datasets that a commit writes. What can't be read refers to none."""
    try:
        blocks = car.read(commit.blocks).blocks
        for op in commit.ops:
            block = None if op.cid is None else blocks.get(op.cid.raw)
            if kind_of(op.collection) is Kind.DATASET and block is not None:
                body = cbor.decode(block)
                if isinstance(body, dict):
                    record = records.parse(op.collection, body)
                    if isinstance(record, DatasetRecord) and isinstance(
                        record.storage, BlobStorage
                    ):
                        yield from (shard.cid for shard in record.storage.shards)
    except ProtocolError as error:
        log.warning("not looked into for blobs", did=commit.did, why=str(error))


Progress = Callable[[int], object]


async def record(
    sources: Mapping[str, str],
    out: Path,
    *,
    plc: str,
    dev: bool = False,
    idle_seconds: float = 5.0,
    max_frames: int | None = None,
    provenance: str = "",
    progress: Progress | None = None,
) -> Manifest:
    """Record ``sources`` (name → base URL) from cursor 0 into the new directory ``out``, until none
    gets ahead for ``idle_seconds`` or ``max_frames`` were received in total. ``progress`` is told
    how many frames there are so far.

    Raises ``InvalidRecord`` if a name or ``out`` can't be used, ``NetworkError`` if no source could
    be connected to, or an identity or blob could not be fetched for a reason that may pass.
    """
    for name in sources:
        if re.fullmatch(NAME, name) is None:
            raise InvalidRecord("sources", f"name {quote(name)}: lower case, digits and - only")
    if out.exists():
        raise InvalidRecord(str(out), "exists already; a recording is a new directory")
    (out / BLOBS).mkdir(parents=True)
    seen = Seen()
    recorded = await _record_frames(sources, out, seen, dev, idle_seconds, max_frames, progress)
    return await asyncio.to_thread(_complete, out, recorded, seen, plc, dev, provenance)


async def _record_frames(
    sources: Mapping[str, str],
    out: Path,
    seen: Seen,
    dev: bool,
    idle_seconds: float,
    max_frames: int | None,
    progress: Progress | None,
) -> list[RecordedSource]:
    """Write the frames of all sources until they are silent, or enough. A source that only repeats
    itself, as one does that refuses us at every connection, is silent too."""
    queue = FrameQueue(max_frames=10_000, max_bytes=64_000_000)
    tapes = {}
    for name, url in sources.items():
        tape = Tape(FrameWriter(out, name, url), url, queue, dev)
        tapes[tape.subscription.url] = tape
    tasks = [asyncio.create_task(tape.subscription.run()) for tape in tapes.values()]
    try:
        frames, advanced_at = 0, time.monotonic()
        while max_frames is None or frames < max_frames:
            limit = 1_000 if max_frames is None else min(max_frames - frames, 1_000)
            taken = await queue.take(limit, idle_seconds)
            frames += len(taken.items)
            # Without a screen, every item is a frame. All are written, whichever gets ahead.
            items = [item for item in taken.items if isinstance(item, Received)]
            if sum(tapes[item.source].write(item, seen) for item in items):
                advanced_at = time.monotonic()
            elif time.monotonic() - advanced_at >= idle_seconds:
                break
            if progress is not None:
                progress(frames)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        written = [tape.writer.close() for tape in tapes.values()]
    silent = [tape.subscription.url for tape in tapes.values() if not tape.subscription.connections]
    if silent:
        raise FetchFailed(f"could not connect to {', '.join(map(quote, silent))}")
    return written


class Tape:
    """One source on its way to a file."""

    def __init__(self, writer: FrameWriter, url: str, queue: FrameQueue, dev: bool) -> None:
        self.writer = writer
        self._reached = 0
        self.subscription = Subscription(
            url, queue, cursor=lambda: self._reached, clock=microseconds, dev=dev
        )

    def write(self, item: Received, seen: Seen) -> bool:
        """A frame that comes again after a new connection is recorded again: that is what came.
        Returns whether it got ahead."""
        before = self._reached
        if not item.oversized:
            seq = seen.look(item.frame)
            self.writer.write(RecordedFrame(item.at, item.frame), seq)
            self._reached = max(self._reached, seq or 0)
        self.subscription.settle([item])
        return self._reached > before


def _complete(
    out: Path, sources: list[RecordedSource], seen: Seen, plc: str, dev: bool, provenance: str
) -> Manifest:
    """Fetch what the frames need, then write the manifest."""
    http = HttpClient(Policy(dev=dev))
    try:
        with ThreadPoolExecutor(_FETCHES, "record") as pool:
            fetch = Fetch(http, Resolver(http, plc=plc), plc.rstrip("/"), out)
            found = [
                document for document in pool.map(fetch.document, sorted(seen.repos)) if document
            ]
            dids = [document["id"] for document in found]
            handles = {
                h: did for h, did in zip(pool.map(fetch.handle, dids), dids, strict=True) if h
            }
            blobs = sum(pool.map(fetch.blob, sorted(seen.blobs)))
    finally:
        http.close()
    lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in found]
    (out / IDENTITIES).write_text("".join(lines), encoding="utf-8")
    (out / HANDLES).write_text(
        json.dumps(handles, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    manifest = Manifest(
        provenance=provenance,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=tuple(sources),
        events=dict(sorted(seen.kinds.items())),
        identities=len(found),
        handles=len(handles),
        blobs=blobs,
        sha256={name: file_sha256(out / name) for name in (IDENTITIES, HANDLES)},
    )
    write_manifest(out, manifest)
    return manifest


@dataclass(frozen=True, slots=True)
class Fetch:
    """Identities and blobs, each by itself. What the network says is not there is left out."""

    http: HttpClient
    resolver: Resolver
    plc: str
    out: Path

    def document(self, did: str) -> dict[str, Any] | None:
        """The DID document. Of did:plc only: a replay can stand in for the directory, but not for
        the hosts that did:web names."""
        if not did.startswith("did:plc:"):
            log.warning("identity not recorded", did=did)
            return None
        try:
            document = self.http.get_json(f"{self.plc}/{did}", max_bytes=_MAX_DOCUMENT)
        except (FetchFailed, XrpcError) as error:
            if error.status not in (404, 410):  # anything else is an outage, not an absence
                raise
            return None
        if not isinstance(document, dict) or document.get("id") != did:
            raise InvalidRecord(did, "the directory answered with another document")
        return document

    def handle(self, did: str) -> str | None:
        """The verified handle."""
        return self.resolver.verified_handle(self.resolver.resolve(did))

    def blob(self, of: tuple[str, Cid]) -> bool:
        """Whether the blob was there. Raises ``CidMismatch`` if it is not what the record names."""
        did, cid = of
        try:
            pds = self.resolver.resolve(did).pds
            if pds is None:
                return False
            data = self.http.get_bytes(
                f"{pds}/xrpc/com.atproto.sync.getBlob",
                params={"did": did, "cid": str(cid)},
                max_bytes=MAX_BLOB,
                timeout=300.0,
            )
        except IdentityNotFound:
            return False
        except FetchFailed as error:
            if error.status is None or error.status >= 500 or error.status == 429:
                raise
            log.warning("blob not recorded", did=did, cid=str(cid), status=error.status)
            return False
        actual = Cid.of(data, cid.codec)
        if actual != cid:
            raise CidMismatch(str(cid), str(actual), "blob")
        (self.out / BLOBS / str(cid)).write_bytes(data)
        return True

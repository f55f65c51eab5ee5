"""The first samples of a dataset, small enough to be shown: read through the library's own sources.

Rule: a preview costs a bounded amount of everything: bytes fetched, samples, members, memory. What
must be checked before it is seen (blobs, shards with checksums) is downloaded whole, and is
refused above ``SHARD_BYTES``; of any other shard only the beginning is read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from atdata.dict_sample import DictSample
from atdata.find import FoundDataset
from atdata.index import DataSource
from atdata.load import open_source
from atdata.preview_values import Room, values_of
from atdata.protocol.errors import (
    BlockedAddress,
    CidMismatch,
    DataError,
    FetchTimeout,
    InvalidShard,
    NetworkError,
    NotFound,
    ProtocolError,
    TooLarge,
    UnsupportedType,
    XrpcError,
    shown_url,
)
from atdata.protocol.preview_views import Preview, PreviewAnswer, SamplePreview
from atdata.schema import array_fields, type_of
from atdata.tar import Archive, Limits

SAMPLES = 4
SHARD_BYTES = 64 << 20
LIMITS = Limits(member_bytes=32 << 20, members=10_000, header_bytes=1 << 16, shard_bytes=64 << 20)
PROBLEM = 300  # characters of what is wrong with a sample


def preview(found: FoundDataset, samples: int = SAMPLES) -> Preview:
    """The first samples of the first shard of a dataset that ``atdata.find_dataset`` found.

    Raises ``TooLarge`` for a shard above ``SHARD_BYTES``, ``CidMismatch``, ``InvalidShard`` if
    there is no sample before what is wrong, and what opening a shard raises.
    """
    source = _source(found)
    shard = next(iter(source.list_shards()), None)
    if shard is None:
        raise NotFound(f"{found.entry.uri} has no shards")
    reader = _Reader.of(found)
    with source.open_shard(shard) as stream:
        read = tuple(_samples(stream, shard, reader, samples))
    return Preview(found.entry.uri, found.entry.cid, shown_url(shard), read)


def answer(found: FoundDataset, samples: int = SAMPLES) -> PreviewAnswer:
    """``preview``, or why there is none."""
    try:
        made = preview(found, samples)
    except (DataError, NetworkError, NotFound, ProtocolError, UnsupportedType, XrpcError) as error:
        return PreviewAnswer(reason=reason_of(error), message=str(error)[: 2 * PROBLEM])
    if not made.samples:
        return PreviewAnswer(reason="empty", message="the first shard has no samples")
    return PreviewAnswer(made)


def reason_of(error: Exception) -> str:
    """The name of what went wrong, as ``PreviewAnswer`` has it."""
    match error:
        case TooLarge():
            return "too_large"
        case FetchTimeout():
            return "too_slow"
        case BlockedAddress():
            return "blocked"
        case NetworkError() | XrpcError():
            return "unreachable"
        case CidMismatch():
            return "wrong_bytes"
        case NotFound():
            return "empty"
    return "broken"


def _source(found: FoundDataset) -> DataSource:
    if found.pulled is not None:
        return found.pulled.source()
    return open_source(found.entry, found.pds, max_bytes=SHARD_BYTES)


@dataclass(frozen=True, slots=True)
class _Reader:
    """How samples are read: as what they hold, and held against the type that they should be."""

    arrays: frozenset[str]
    type: type | None

    @classmethod
    def of(cls, found: FoundDataset) -> _Reader:
        schema = found.known_schema()
        if schema is None:
            return cls(frozenset(), None)
        try:
            return cls(frozenset(array_fields(schema)), type_of(schema))
        except UnsupportedType:
            return cls(frozenset(array_fields(schema)), None)

    def sample(self, key: str, data: bytes, room: Room) -> SamplePreview:
        try:
            sample = DictSample.__atdata_reader__(self.arrays)(data)
        except DataError as error:
            return SamplePreview(key, problem=str(error)[:PROBLEM])
        return SamplePreview(key, len(sample), values_of(sample, room), self._misfit(data))

    def _misfit(self, data: bytes) -> str | None:
        if self.type is None:
            return None
        try:
            self.type.from_bytes(data)  # type: ignore[attr-defined]
        except DataError as error:
            return str(error)[:PROBLEM]
        return None


def _samples(stream: IO[bytes], shard: str, reader: _Reader, count: int) -> Iterator[SamplePreview]:
    """Up to ``count``. A shard that breaks off after the first is none that can't be shown."""
    room, shown = Room(), 0
    archive = Archive(
        io.BufferedReader(stream) if isinstance(stream, io.RawIOBase) else stream, shard, LIMITS
    )
    try:
        for data in archive.samples(lambda _: None):
            key = archive.member[:PROBLEM].encode("utf-8", "replace").decode()
            yield reader.sample(key, bytes(data), room)
            shown += 1
            if shown == count:
                return
    except InvalidShard:
        if not shown:
            raise

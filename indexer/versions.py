"""One version of a record, judged: the rows that it makes, or why it makes none.

Pure. Rule protected here: a record that is not valid leaves its siblings alone, takes the place of
the version that was there (which is not what its author says any more), and is kept with its bytes,
since a later release may know its lexicon.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from atdata.protocol.cid import Cid
from atdata.protocol.errors import InvalidCbor, InvalidRecord
from atdata.protocol.keys import key_of
from atdata.protocol.namespaces import kind_of
from indexer import events
from indexer.batch import Batch
from indexer.drops import Drop, DropReason
from indexer.rows import Envelope, rows_of, uri_of
from indexer.tables import InvalidRow, Rows
from indexer.verify import VerifiedRepo


@dataclass(frozen=True, slots=True)
class Version:
    """One record as it shall be stored: ``block`` are its bytes, checked against ``cid``."""

    did: str
    collection: str
    rkey: str
    cid: Cid
    rev: str
    block: bytes

    @property
    def path(self) -> str:
        return f"{self.collection}/{self.rkey}"

    @property
    def doc(self) -> int:
        """The record's key."""
        return key_of(uri_of(self.did, self.collection, self.rkey))


def versions_of(repo: VerifiedRepo) -> Iterator[Version]:
    """Of all records in indexed collections."""
    for path, cid in repo.records.items():
        collection, _, rkey = path.partition("/")
        if kind_of(collection) is not None:
            yield Version(repo.did, collection, rkey, cid, str(repo.rev), repo.record(path))


def judged(version: Version, source: str, at: int) -> Rows | InvalidRow:
    """What is stored of ``version``. ``source`` is where it came from, a firehose or a PDS; ``at``
    the time in microseconds since 1970."""
    size = len(version.block)
    if size > events.MAX_RECORD:
        detail = f"{size} bytes, at most {events.MAX_RECORD} are allowed"
        return _invalid(version, DropReason.OVERSIZED_RECORD, detail, source, at)
    envelope = Envelope(
        did=version.did,
        collection=version.collection,
        rkey=version.rkey,
        cid=str(version.cid),
        rev=version.rev,
        indexed_at=at,
    )
    try:
        return rows_of(envelope, version.block)
    except InvalidCbor as error:
        return _invalid(version, DropReason.INVALID_RECORD_CBOR, str(error), source, at)
    except InvalidRecord as error:
        return _invalid(version, DropReason.INVALID_RECORD, str(error), source, at)


def _invalid(version: Version, reason: DropReason, detail: str, source: str, at: int) -> InvalidRow:
    kept = len(version.block) <= events.MAX_RECORD
    return InvalidRow(
        doc=version.doc,
        repo=key_of(version.did),
        did=version.did,
        collection=version.collection,
        rkey=version.rkey,
        cid=str(version.cid),
        rev=version.rev,
        reason=str(reason),
        detail=f"{version.path}: {detail}",
        source=source,
        kept_at=at,
        size=len(version.block) if kept else 0,
        block=version.block if kept else None,
    )


def store_version(batch: Batch, version: Version, source: str, at: int) -> None:
    """Judge ``version``, and put what comes of it."""
    put_judged(batch, judged(version, source, at), at)


def put_judged(batch: Batch, row: Rows | InvalidRow, at: int, *, known: bool = False) -> None:
    """Put what came of a version, and count it if it is not valid; unless that very version is
    ``known`` not to be."""
    if isinstance(row, Rows):
        batch.put(row)
        return
    batch.put_invalid(row)
    if not known:
        drop = Drop(DropReason(row.reason), row.detail, row.source, None, row.did, b"")
        batch.drop(drop, at, keep=False)  # its bytes are in the row


def judge_again(batch: Batch, row: InvalidRow, at: int) -> bool:
    """Whether the record in ``row`` is valid now; then it is put. Needs its ``block``."""
    assert row.block is not None
    version = Version(row.did, row.collection, row.rkey, Cid.parse(row.cid), row.rev, row.block)
    found = judged(version, row.source, at)
    if isinstance(found, Rows):
        batch.put(found)
    elif found.detail != row.detail:
        batch.put_invalid(found)
    return isinstance(found, Rows)

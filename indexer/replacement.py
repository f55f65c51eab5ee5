"""A whole repo against the rows that are stored: the set difference, deletes included.

Pure. Rules protected here: a snapshot never takes back what a newer commit proved (it is laid under
the commits that arrived meanwhile), and one that is older than what we hold changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from atdata.protocol.cid import Cid
from atdata.protocol.errors import InvalidCbor, InvalidRecord
from atdata.protocol.keys import key_of
from atdata.protocol.namespaces import kind_of
from indexer import events
from indexer.batch import Batch, RepoState, SyncState
from indexer.drops import Drop, DropReason
from indexer.rows import Envelope, rows_of, uri_of
from indexer.verify import VerifiedRepo
from indexer.waiting import Continuation


class Verdict(Enum):
    """What a snapshot did to its repo."""

    SYNCED = auto()
    """The rows are the repo's records."""
    AGAIN = auto()
    """Replaced, but something newer is known: fetch once more."""
    OLDER = auto()
    """Nothing was changed: we hold a newer state than the PDS served."""
    FORKED = auto()
    """Nothing was changed: our very rev, signed over other data."""


@dataclass(frozen=True, slots=True)
class Version:
    """One record as it shall be stored."""

    collection: str
    rkey: str
    cid: Cid
    rev: str
    block: bytes


def replace_repo(
    batch: Batch,
    state: RepoState,
    repo: VerifiedRepo,
    following: Continuation,
    stored: Mapping[int, str],
    source: str,
    at: int,
) -> Verdict:
    """Make the rows of ``state`` those of ``repo`` with the commits ``following`` it.

    ``stored`` is ``doc`` → CID of what is there now; rows of the same CID stay as they are.
    ``source`` is the PDS, ``at`` the time in microseconds since 1970.
    """
    if (verdict := _refusal(state, repo, following)) is not None:
        return verdict
    wanted = _wanted(repo, following)
    for doc in stored:
        if doc not in wanted:
            batch.delete(state.did, doc)
    for doc, version in wanted.items():
        if stored.get(doc) != str(version.cid):
            store_version(batch, state.did, version, source, at)
    sync = SyncState.SYNCED if following.complete else SyncState.DESYNCHRONIZED
    batch.set_repo(
        replace(
            state,
            rev=str(following.head.rev),
            data_cid=str(following.head.data),
            sync_state=sync,
            sync_error=None,
        )
    )
    return Verdict.SYNCED if following.complete else Verdict.AGAIN


def store_version(batch: Batch, did: str, version: Version, source: str, at: int) -> None:
    """One record that is known from its repo. If it is not valid, its bytes are kept, and what
    stood in its place is not what the author says now."""
    refusal = put_version(batch, did, version, at)
    if refusal is not None:
        batch.delete(did, key_of(uri_of(did, version.collection, version.rkey)))
        batch.drop(Drop(*refusal, source, None, did, version.block), at, keep=True)


def put_version(batch: Batch, did: str, version: Version, at: int) -> tuple[DropReason, str] | None:
    """Store one version of a record; or why it can't be."""
    path = f"{version.collection}/{version.rkey}"
    if len(version.block) > events.MAX_RECORD:
        detail = f"{path}: {len(version.block)} bytes, at most {events.MAX_RECORD} are allowed"
        return DropReason.OVERSIZED_RECORD, detail
    envelope = Envelope(
        did=did,
        collection=version.collection,
        rkey=version.rkey,
        cid=str(version.cid),
        rev=version.rev,
        indexed_at=at,
    )
    try:
        batch.put(rows_of(envelope, version.block))
    except InvalidCbor as error:
        return DropReason.INVALID_RECORD_CBOR, f"{path}: {error}"
    except InvalidRecord as error:
        return DropReason.INVALID_RECORD, f"{path}: {error}"
    return None


def _refusal(state: RepoState, repo: VerifiedRepo, following: Continuation) -> Verdict | None:
    if state.rev is None:
        return None
    if following.head.rev < state.rev:
        return Verdict.OLDER
    if state.data_cid is None:  # purged: only what came after the deletion counts
        return Verdict.OLDER if following.head.rev <= state.rev else None
    same = repo.rev == state.rev and str(repo.data) != state.data_cid
    return Verdict.FORKED if same else None


def _wanted(repo: VerifiedRepo, following: Continuation) -> dict[int, Version]:
    """``doc`` → the version that counts, of all records in indexed collections."""
    wanted: dict[int, Version] = {}
    for path, cid in repo.records.items():
        collection, _, rkey = path.partition("/")
        if kind_of(collection) is not None:
            doc = key_of(uri_of(repo.did, collection, rkey))
            wanted[doc] = Version(collection, rkey, cid, str(repo.rev), repo.record(path))
    for commit in following.commits:
        for op in commit.ops:
            if kind_of(op.collection) is None:
                continue
            doc = key_of(uri_of(repo.did, op.collection, op.rkey))
            wanted.pop(doc, None)
            if op.cid is not None and op.record is not None:
                rev = str(commit.rev)
                wanted[doc] = Version(op.collection, op.rkey, op.cid, rev, op.record)
    return wanted

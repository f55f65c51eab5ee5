"""A whole repo against the rows that are stored: the set difference, deletes included.

Pure. Rules protected here: a snapshot never takes back what a newer commit proved (it is laid under
the commits that arrived meanwhile), and one that is older than what we hold changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from atdata.protocol.keys import key_of
from atdata.protocol.namespaces import kind_of
from indexer.batch import Batch, RepoState, SyncState
from indexer.rows import uri_of
from indexer.tables import InvalidRow, Rows
from indexer.verify import VerifiedRepo
from indexer.versions import Version, judged, put_judged, versions_of
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
class Stored:
    """What is held of a repo: ``doc`` → CID of its valid records, and of those that are not."""

    valid: Mapping[int, str]
    invalid: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repo as ``source``, its PDS, served it. ``judged``: what comes of its records, as far as
    that is known already."""

    repo: VerifiedRepo
    source: str
    judged: Sequence[Rows | InvalidRow]


def replace_repo(
    batch: Batch,
    state: RepoState,
    snapshot: Snapshot,
    following: Continuation,
    stored: Stored,
    at: int,
) -> Verdict:
    """Make the rows of ``state`` those of ``snapshot`` with the commits ``following`` it.

    Valid records of the same CID stay as they are; one that is not valid is judged again. ``at`` is
    the time in microseconds since 1970.
    """
    repo = snapshot.repo
    if (verdict := _refusal(state, repo, following)) is not None:
        return verdict
    wanted = _wanted(repo, following)
    at_hand = {_version_of(row): row for row in snapshot.judged}
    for doc in stored.valid.keys() | stored.invalid.keys():
        if doc not in wanted:
            batch.delete(state.did, doc)
    for doc, version in wanted.items():
        if stored.valid.get(doc) != str(version.cid):
            row = at_hand.get((doc, str(version.cid)))
            row = judged(version, snapshot.source, at) if row is None else row
            put_judged(batch, row, at, known=stored.invalid.get(doc) == str(version.cid))
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


def _version_of(row: Rows | InvalidRow) -> tuple[int, str]:
    of = row.record if isinstance(row, Rows) else row
    return of.doc, of.cid


def is_older(repo: VerifiedRepo, held: RepoState) -> bool:
    """Whether ``repo`` is a state from before that which was ``held`` when it was asked for: it
    would take back what was proved since, whatever follows it. A deleted account that is back may
    be what it was: its very rev counts, where its PDS was asked after its return."""
    return held.rev is not None and repo.rev < held.rev


def _refusal(state: RepoState, repo: VerifiedRepo, following: Continuation) -> Verdict | None:
    if state.rev is None:
        return None
    if following.head.rev < state.rev:
        return Verdict.OLDER
    forked = repo.rev == state.rev and state.data_cid not in (None, str(repo.data))
    return Verdict.FORKED if forked else None


def _wanted(repo: VerifiedRepo, following: Continuation) -> dict[int, Version]:
    """``doc`` → the version that counts, of all records in indexed collections."""
    wanted = {version.doc: version for version in versions_of(repo)}
    for commit in following.commits:
        for op in commit.ops:
            if kind_of(op.collection) is None:
                continue
            doc = key_of(uri_of(repo.did, op.collection, op.rkey))
            wanted.pop(doc, None)
            if op.cid is not None and op.record is not None:
                wanted[doc] = Version(
                    repo.did, op.collection, op.rkey, op.cid, str(commit.rev), op.record
                )
    return wanted

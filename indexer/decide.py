"""What an event does to the index: given its proof and the repo's state, the effects on a batch.

Pure. Rules protected here: only what a proof vouches for changes a repo (invariant 2; an account's
visibility is the say of a source that speaks for it, guarded by its seq); ``rev`` rises per repo,
so that duplicates and a second source change nothing (invariant 3); a repo that missed something is
marked desynchronised (invariant 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from atdata.protocol.cid import Cid
from atdata.protocol.keys import key_of
from atdata.protocol.namespaces import kind_of
from atdata.protocol.records import moment
from indexer import events
from indexer.batch import Batch, RepoState, SyncState
from indexer.drops import Drop, DropReason
from indexer.mst import EMPTY_ROOT
from indexer.rows import micros, uri_of
from indexer.verify import Chain, Head, Rejected, VerifiedCommit, VerifiedOp, chain
from indexer.versions import Version, store_version

DELETED = "deleted"
INVALID_HANDLE = "handle.invalid"  # the protocol's own name for one that is not known
# In ``account_seq``, beside the seqs: the time of the newest event applied, from whichever source;
# and behind this before a source's URL, the latest time that its events have claimed.
NEWEST = ""
CLAIMED = "claimed "

# A clock may be fast; who claims more than this is not waited for.
_FAST_US = 86_400_000_000

# The bytes of these are not kept: a later commit of the repo, which we hold, says more; and of a
# deleted account there is nothing to keep.
_NOT_KEPT = frozenset({DropReason.STALE_REV, DropReason.STALE_ACCOUNT, DropReason.INACTIVE_ACCOUNT})


@dataclass(frozen=True, slots=True)
class Entitled:
    """The source of an ``#account`` event may speak for the account (``indexer/speakers``)."""


Proof = VerifiedCommit | Head | Entitled | Rejected


@dataclass(frozen=True, slots=True)
class Profile:
    """Who a repo is now. ``handle`` is None unless verified both ways; ``claimed`` is what the
    DID document says."""

    pds: str | None
    handle: str | None
    claimed: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from: source URL, seq, the whole frame, and when it was received, in
    microseconds since 1970."""

    source: str
    seq: int | None
    frame: bytes
    at: int


def reject(batch: Batch, origin: Origin, did: str, reason: DropReason, detail: str) -> None:
    """One named drop, its bytes kept."""
    drop = Drop(reason, detail, origin.source, origin.seq, did, origin.frame)
    batch.drop(drop, origin.at, keep=reason not in _NOT_KEPT)


def on_commit(
    batch: Batch, event: events.Commit, proof: Proof, profile: Profile | None, origin: Origin
) -> None:
    """``#commit``: apply what was proved, or say why not."""
    if isinstance(proof, Rejected):
        _on_rejected(batch, event.did, proof, origin)
        if batch.repo(event.did) is None and proof.proves_ops and _puts_ours(event):
            batch.set_repo(RepoState(event.did))  # a first sighting; its repo tells the rest
    elif isinstance(proof, VerifiedCommit):
        _on_verified(batch, proof, profile, origin)


def on_sync(batch: Batch, event: events.Sync, proof: Proof, origin: Origin) -> None:
    """``#sync``: the repo is elsewhere now; only its whole contents could tell what changed."""
    if isinstance(proof, Rejected):
        _on_rejected(batch, event.did, proof, origin)
    elif isinstance(proof, Head):
        state = batch.repo(event.did)
        if state is None:
            return
        same = state.data_cid == str(proof.data)
        if state.rev is None or proof.rev > state.rev:
            batch.set_repo(replace(state, rev=str(proof.rev)) if same else _desynchronized(state))
        elif not (same and proof.rev == state.rev):
            forked = proof.rev == state.rev and state.data_cid is not None
            reason = DropReason.FORKED_REV if forked else DropReason.STALE_REV
            reject(batch, origin, event.did, reason, f"rev {proof.rev}, held is {state.rev}")


def _puts_ours(commit: events.Commit) -> bool:
    return any(op.cid is not None and kind_of(op.collection) is not None for op in commit.ops)


def on_identity(batch: Batch, event: events.Identity, profile: Profile | None) -> None:
    """``#identity``: handle and PDS as the directory has them now. If it can't be asked, no handle
    is known to be right, which is also what keeps asking (``indexer/renewals``)."""
    state = batch.repo(event.did)
    if state is None:
        return
    if profile is None:
        doubtful = state.handle or INVALID_HANDLE
        batch.set_repo(replace(state, handle=doubtful, handle_verified=False))
    else:
        batch.set_repo(renewed(state, profile))


def renewed(state: RepoState, profile: Profile) -> RepoState:
    """``state`` where ``profile`` was just asked for. An account that was hidden by nobody but the
    PDS that it has left is shown again, if its new PDS serves it."""
    moved = profile.pds is not None and profile.pds != state.pds
    known = with_profile(state, profile)
    if not moved or state.pds is None:
        return known
    said = {key: at for key, at in state.account_seq.items() if _origin_of(key) != state.pds}
    alone = not _sources(said)
    if state.active or not (alone or state.is_unserved):
        return replace(known, account_seq=said)
    return replace(
        known,
        active=True,
        status=None,
        account_seq={},
        sync_state=SyncState.NEW if state.data_cid is None else SyncState.DESYNCHRONIZED,
        sync_error=None,
    )


def _origin_of(key: str) -> str:
    """The HTTP origin of the source to which an entry of ``account_seq`` belongs."""
    return "http" + key.removeprefix(CLAIMED).removeprefix("ws")


def _sources(account_seq: Mapping[str, int]) -> set[str]:
    return {key for key in account_seq if key != NEWEST and not key.startswith(CLAIMED)}


def on_account(
    batch: Batch, event: events.Account, proof: Proof, origin: Origin, *, parked: bool = False
) -> None:
    """``#account``: visibility follows ``active``, never ``status``; ``deleted`` purges. Of a repo
    that is not known only what hides it counts, if its first commit is ``parked``."""
    known = batch.repo(event.did)
    state = RepoState(event.did) if known is None and parked else known
    if state is None or _is_repeated(state, event, origin):
        return
    if isinstance(proof, Rejected):
        reject(batch, origin, event.did, proof.reason, proof.detail)
        return
    if known is None and event.active:
        return
    if _is_outdated(state, event, origin):
        batch.set_repo(replace(state, account_seq=_heard(state, event, origin)))
        detail = f"{event.status or 'active'} as of {event.time}: another source told of later"
        reject(batch, origin, event.did, DropReason.STALE_ACCOUNT, detail)
        return
    if not event.active and event.status == DELETED:
        batch.purge(event.did)
    batch.set_repo(_told(state, event, origin))


def _told(state: RepoState, event: events.Account, origin: Origin) -> RepoState:
    """The repo's state since ``event``."""
    returns = event.active and not state.active and state.sync_state is SyncState.SYNCED
    told = replace(
        state,
        active=event.active,
        status=event.status,
        account_seq={**_heard(state, event, origin), NEWEST: _time_of(event, origin)},
        # While it was away, its PDS may have sent nothing of what it did.
        sync_state=SyncState.DESYNCHRONIZED if returns else state.sync_state,
        sync_error=None,
    )
    if event.active or event.status != DELETED:
        return told
    # The rev stays: a slower source may still bring commits from before the deletion.
    return replace(told, data_cid=None, sync_state=SyncState.NEW)


def _heard(state: RepoState, event: events.Account, origin: Origin) -> dict[str, int]:
    """What ``account_seq`` says of the event's source since."""
    key = CLAIMED + origin.source
    claimed = max(min(_claimed_time(event), origin.at + _FAST_US), state.account_seq.get(key, 0))
    return {**state.account_seq, origin.source: event.seq, key: claimed}


def _is_repeated(state: RepoState, event: events.Account, origin: Origin) -> bool:
    """Whether its source told of this, or of something later, before. One that was set up anew
    begins with low seqs again: then what it tells is of later, by its own clock too."""
    if event.seq > state.account_seq.get(origin.source, 0):
        return False
    known = (NEWEST, CLAIMED + origin.source)
    newest = max(state.account_seq.get(key, 0) for key in known)
    return not newest < _claimed_time(event) <= origin.at


def _is_outdated(state: RepoState, event: events.Account, origin: Origin) -> bool:
    """Whether another source has already told of something later. Seqs order the events of one
    source; between sources only the events' own times can."""
    others = _sources(state.account_seq) - {origin.source}
    return bool(others) and _time_of(event, origin) < state.account_seq.get(NEWEST, 0)


def _time_of(event: events.Account, origin: Origin) -> int:
    """Not later than it was received: whoever claims a time to come would have the last word."""
    return min(_claimed_time(event), origin.at)


def _claimed_time(event: events.Account) -> int:
    """Microseconds since 1970; 0 where the event's ``time`` is none."""
    at = moment(event.time)
    return 0 if at is None else micros(at)


def _on_rejected(batch: Batch, did: str, rejected: Rejected, origin: Origin) -> None:
    reject(batch, origin, did, rejected.reason, rejected.detail)
    state = batch.repo(did)
    if state is None:
        return
    newer = rejected.head is not None and (state.rev is None or rejected.head.rev > state.rev)
    if rejected.desynchronizes and newer:
        batch.set_repo(_desynchronized(state))


def _on_verified(
    batch: Batch, commit: VerifiedCommit, profile: Profile | None, origin: Origin
) -> None:
    state = batch.repo(commit.did)
    ops = [op for op in commit.ops if kind_of(op.collection) is not None]
    if state is None:
        if not ops:
            return
        state = RepoState(commit.did)
        state = state if profile is None else with_profile(state, profile)
    if state.status == DELETED and not state.active:
        reject(batch, origin, commit.did, DropReason.INACTIVE_ACCOUNT, "the account is deleted")
        return
    following = _following(state, commit)
    if isinstance(following, DropReason):
        reject(batch, origin, commit.did, following, f"rev {commit.rev}, held is {state.rev}")
    elif following is not None:
        batch.set_repo(following)
        _apply(batch, commit, ops, origin)


def _following(state: RepoState, commit: VerifiedCommit) -> RepoState | DropReason | None:
    """The repo's state after ``commit``; None if it is the very commit that we hold.

    A commit after a gap is still applied: each of its ops is proved by the signed tree. Only what
    was missed before it is missing, and the repo is marked so.
    """
    if state.rev is not None and state.data_cid is None and commit.rev <= state.rev:
        return DropReason.STALE_REV
    data = None if state.data_cid is None else Cid.parse(state.data_cid)
    match chain(commit, state.rev, data):
        case Chain.DUPLICATE:
            return None
        case Chain.STALE:
            return DropReason.STALE_REV
        case Chain.FORKED:
            return DropReason.FORKED_REV
        case Chain.FIRST:
            # Without a record before it, the commit is the whole repo.
            whole = commit.prev_data in (None, EMPTY_ROOT)
            sync = SyncState.SYNCED if whole else SyncState.NEW
        case Chain.CONTINUES:
            sync = state.sync_state
        case Chain.BROKEN:
            sync = SyncState.DESYNCHRONIZED
    return replace(state, rev=str(commit.rev), data_cid=str(commit.data), sync_state=sync)


def _apply(batch: Batch, commit: VerifiedCommit, ops: list[VerifiedOp], origin: Origin) -> None:
    """Each record on its own."""
    for op in ops:
        if op.record is None:
            batch.delete(commit.did, key_of(uri_of(commit.did, op.collection, op.rkey)))
            continue
        assert op.cid is not None
        version = Version(commit.did, op.collection, op.rkey, op.cid, str(commit.rev), op.record)
        store_version(batch, version, origin.source, origin.at)


def _desynchronized(state: RepoState) -> RepoState:
    return replace(state, sync_state=SyncState.DESYNCHRONIZED)


def with_profile(state: RepoState, profile: Profile) -> RepoState:
    """An unverified handle is kept as a claim; ``handle_verified`` says whether to show it."""
    return replace(
        state,
        handle=profile.handle or profile.claimed,
        handle_verified=profile.handle is not None,
        pds=profile.pds,
    )

"""A repo's turn: from the start of its fetch until its rows are its records.

Runs in the writer's thread, between batches. Rules protected here: what arrives while a repo is
being fetched is kept and laid over the snapshot before the repo counts as synced; a fetch that
fails leaves the rows as they are, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

import structlog

from atdata.protocol.syntax import Tid
from indexer import events
from indexer.batch import UNSERVED, Batch, RepoState, SyncState
from indexer.decide import Proof, with_profile
from indexer.drops import Drop, DropReason
from indexer.queues import Depths, Queue
from indexer.replacement import Snapshot, Verdict, is_older, replace_repo
from indexer.repos import Failed, Fetched, Gone
from indexer.store import Store
from indexer.verify import Head, Rejected, VerifiedCommit
from indexer.waiting import Waiting

Answer = Fetched | Gone | Failed

log = structlog.get_logger(__name__)


class Result(Enum):
    """How a turn ended."""

    SYNCED = auto()
    SETTLED = auto()
    """There is nothing to be had: the repo is not served, or no longer wanted."""
    AGAIN = auto()
    """Fetch it again at once: something newer is known."""
    LATER = auto()
    """Fetch it again after a while."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is known when a fetch begins, and what arrives until it ends."""

    held: RepoState
    waiting: Waiting


class Turns:
    """The turns that are under way, by DID."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns: dict[str, Turn] = {}
        self._announced: dict[str, Tid] = {}
        """The newest rev that a signature vouched for and no commit brought, of repos to fetch."""

    @property
    def depths(self) -> Depths:
        """What waits for fetches to end. From any thread."""
        waiting = [turn.waiting for turn in tuple(self._turns.values())]
        return {
            Queue.TURN_COMMITS: sum(one.commits for one in waiting),
            Queue.TURN_BYTES: sum(one.bytes for one in waiting),
            Queue.ANNOUNCED: len(self._announced),
        }

    def begin(self, did: str) -> RepoState | None:
        """Start keeping what arrives for ``did``. None if it need not be fetched."""
        state = self._store.repo(did)
        if state is None or not state.wants_resync:
            return None
        waiting = Waiting()
        if did in self._announced:
            waiting.announce(self._announced[did])
        self._turns[did] = Turn(state, waiting)
        return state

    def note(self, event: events.Event, proof: Proof | None) -> None:
        """An event was decided. ``proof`` is that of a commit or sync."""
        did = getattr(event, "did", "")
        turn, head = self._turns.get(did), _announced_by(proof)
        if head is not None and self._store.is_tracked(did):
            self._announced[did] = max(head.rev, self._announced.get(did, head.rev))
        if turn is None:
            return
        if isinstance(proof, VerifiedCommit):
            turn.waiting.add(proof)
        elif head is not None:
            turn.waiting.announce(head.rev)
        elif isinstance(event, events.Identity | events.Account):
            turn.waiting.moved = True

    def end(self, did: str, answer: Answer, at: int) -> Result:
        """Apply what the fetch brought, durably. ``at`` is the time in microseconds since 1970.
        Raises ``StoreError``."""
        turn = self._turns.pop(did)
        state = self._store.repo(did)
        if state is None or not state.wants_resync:
            self._announced.pop(did, None)
            return Result.SETTLED
        batch = self._store.batch()
        match answer:
            case Fetched():
                result = self._on_fetched(batch, state, answer, turn, at)
            case Gone():
                result = self._on_gone(batch, state, answer, turn)
            case Failed():
                result = self._on_failed(batch, state, answer.why, answer.drop, at)
        self._store.apply(batch)
        if result is Result.SYNCED:
            self._announced.pop(did, None)
        return result

    def abandon(self, did: str) -> None:
        """The fetch will not end."""
        self._turns.pop(did, None)

    def adopt(self, dids: Iterable[str]) -> list[str]:
        """Track repos that a source lists and that we do not know. Returns them."""
        batch = self._store.batch()
        unknown = [did for did in dict.fromkeys(dids) if not self._store.is_tracked(did)]
        for did in unknown:
            batch.set_repo(RepoState(did))
        if unknown:
            self._store.apply(batch)
        return unknown

    def catch_up(self, revs: Mapping[str, Tid]) -> list[str]:
        """Mark the repos whose PDS has a newer rev than we hold, and those that it serves again.
        Returns them."""
        batch = self._store.batch()
        for did, rev in revs.items():
            state = self._store.repo(did)
            if state is None:
                continue
            if state.is_unserved:
                state = replace(state, active=True, status=None, sync_error=None)
            elif not state.active or (state.rev is not None and rev <= state.rev):
                continue
            batch.set_repo(replace(state, sync_state=SyncState.DESYNCHRONIZED))
        return self._mark(batch)

    def show(self, states: Iterable[RepoState]) -> list[str]:
        """The accounts are active, as of these ``states``: show them, once they are fetched anew.
        Returns those of which nothing else was heard since."""
        batch = self._store.batch()
        for state in states:
            if self._store.repo(state.did) == state:
                desynchronized = SyncState.DESYNCHRONIZED
                batch.set_repo(replace(state, active=True, status=None, sync_state=desynchronized))
        return self._mark(batch)

    def ask_again(self, dids: Iterable[str]) -> list[str]:
        """Mark tracked repos, so that they are fetched. Returns those that can be."""
        batch = self._store.batch()
        for did in dids:
            state = self._store.repo(did)
            if state is not None and state.active:
                batch.set_repo(replace(state, sync_state=SyncState.DESYNCHRONIZED))
        return self._mark(batch)

    def _mark(self, batch: Batch) -> list[str]:
        if batch.repos:
            self._store.apply(batch)
        return list(batch.repos)

    # --- what the sweep needs of the store ------------------------------------------------------

    def repo(self, did: str) -> RepoState | None:
        """A tracked repo as it is stored."""
        return self._store.repo(did)

    def repos(self) -> tuple[RepoState, ...]:
        """All tracked repos."""
        return self._store.repos()

    def meta(self, key: str) -> str | None:
        """What was remembered."""
        return self._store.meta(key)

    def remember(self, key: str, value: str) -> None:
        """Durably. Raises ``StoreError``."""
        batch = self._store.batch()
        batch.note(key, value)
        self._store.apply(batch)

    # --- the end of a turn ----------------------------------------------------------------------

    def _on_fetched(
        self, batch: Batch, state: RepoState, fetched: Fetched, turn: Turn, at: int
    ) -> Result:
        if turn.waiting.moved:
            return Result.AGAIN  # it may be of the PDS before, or from before a deletion
        repo = fetched.repo
        if is_older(repo, turn.held):
            why = f"{fetched.pds} serves rev {repo.rev}, held was {turn.held.rev}"
            return self._on_failed(batch, state, why, DropReason.STALE_REV, at)
        following = turn.waiting.after(Head(repo.did, repo.rev, repo.data))
        stored = self._store.documents(state.did)
        known = with_profile(state, fetched.profile)
        snapshot = Snapshot(repo, fetched.pds, fetched.judged)
        verdict = replace_repo(batch, known, snapshot, following, stored, at)
        match verdict:
            case Verdict.SYNCED:
                log.info("repo synced", did=state.did, rev=repo.rev, changes=len(batch.docs))
                return Result.SYNCED
            case Verdict.AGAIN:
                return Result.AGAIN
            case Verdict.OLDER:
                why = f"{fetched.pds} serves rev {repo.rev}, held is {state.rev}"
                return self._on_failed(batch, state, why, DropReason.STALE_REV, at)
            case Verdict.FORKED:
                why = f"rev {repo.rev} of {fetched.pds} has other data than the one we hold"
                log.error("one rev, two trees", did=state.did, rev=repo.rev, pds=fetched.pds)
                return self._on_failed(batch, state, why, DropReason.FORKED_REV, at)

    def _on_gone(self, batch: Batch, state: RepoState, gone: Gone, turn: Turn) -> Result:
        """Hidden as long as its PDS does not serve it; unless the account has just moved."""
        if turn.waiting.moved or state.account_seq != turn.held.account_seq:
            return Result.AGAIN
        status = UNSERVED[gone.error]
        log.info("repo not served", did=state.did, status=status)
        batch.set_repo(replace(state, active=False, status=status, sync_error=gone.error))
        return Result.SETTLED

    def _on_failed(
        self, batch: Batch, state: RepoState, why: str, drop: DropReason | None, at: int
    ) -> Result:
        log.warning("repo not fetched", did=state.did, why=why)
        if drop is not None:
            batch.drop(Drop(drop, why, state.pds or "", None, state.did, b""), at, keep=False)
        batch.set_repo(replace(state, sync_error=why[:500]))
        return Result.LATER


def _announced_by(proof: Proof | None) -> Head | None:
    """The state that the repo has reached by a signature, without telling what changed."""
    if isinstance(proof, Rejected):
        return proof.head if proof.desynchronizes else None
    return proof if isinstance(proof, Head) else None

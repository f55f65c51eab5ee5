"""What an event does to a repo, by the state that it meets: pure, without store or network."""

from __future__ import annotations

from dataclasses import replace

from atdata.protocol.syntax import Did
from indexer.batch import Batch, RepoState, SyncState
from indexer.decide import Entitled, Origin, on_account, on_commit, on_sync
from indexer.drops import DropReason
from indexer.events import Account, Commit, Sync
from indexer.verify import verify_commit, verify_sync
from tests.indexer.network import DATASET, dataset
from tests.indexer.repo_builder import DID, K256, NOW_US, Message, Repo, account, create, update

RELAY = "wss://relay.example"


def batch_of(state: RepoState | None) -> Batch:
    return Batch(lambda did: state if did == DID else None)


def take(batch: Batch, *messages: Message) -> Batch:
    """Each message proved and decided, in this order."""
    for message in messages:
        event, origin = message.event, Origin(RELAY, 1, message.frame, NOW_US)
        if isinstance(event, Commit):
            proof = verify_commit(event, K256.public, now_us=NOW_US)
            on_commit(batch, event, proof, None, origin)
        elif isinstance(event, Sync):
            on_sync(batch, event, verify_sync(event, K256.public, now_us=NOW_US), origin)
        elif isinstance(event, Account):
            on_account(batch, event, Entitled(), origin)
    return batch


def state_of(batch: Batch) -> RepoState:
    state = batch.repo(Did(DID))
    assert state is not None
    return state


def history() -> list[Message]:
    """A repo's first commit, and two that write the same record again."""
    repo = Repo()
    first = repo.commit(create(f"{DATASET}/a", dataset("one")))
    return [first, *(repo.commit(update(f"{DATASET}/a", dataset(n))) for n in ("two", "three"))]


def test_a_commit_that_is_older_than_what_we_hold_changes_nothing() -> None:
    first, second, third = history()
    batch = take(batch_of(None), first, second, third)
    before, docs = state_of(batch), dict(batch.docs)
    assert before.sync_state is SyncState.SYNCED
    take(batch, first, second)
    assert (state_of(batch), batch.docs) == (before, docs)
    assert batch.drops == {DropReason.STALE_REV: 2}
    take(batch, third)
    assert batch.drops == {DropReason.STALE_REV: 2}, "our own commit again is no drop"


def test_a_sync_of_a_state_that_we_have_left_says_nothing() -> None:
    repo = Repo()
    first = repo.commit(create(f"{DATASET}/a", dataset("one")))
    old, second = repo.sync(), repo.commit(update(f"{DATASET}/a", dataset("two")))
    batch = take(batch_of(None), first, second)
    before = state_of(batch)
    take(batch, old, repo.sync())
    assert state_of(batch) == before
    repo.commit(update(f"{DATASET}/a", dataset("three")))
    take(batch, repo.sync())
    assert state_of(batch) == replace(before, sync_state=SyncState.DESYNCHRONIZED)


def test_a_deleted_account_writes_nothing_until_it_is_back() -> None:
    repo = Repo()
    first = repo.commit(create(f"{DATASET}/a", dataset("one")))
    second = repo.commit(create(f"{DATASET}/b", dataset("two")))
    deleted = account(DID, seq=5, active=False, status="deleted")
    batch = take(batch_of(None), first, deleted)
    before = state_of(batch)
    take(batch, second)
    assert (state_of(batch), batch.drops) == (before, {DropReason.INACTIVE_ACCOUNT: 1})
    assert not any(rows for _, rows in batch.docs.values())

"""What an event does to a repo, by the state that it meets: pure, without store or network."""

from __future__ import annotations

from dataclasses import replace

from atdata.protocol.cid import Cid
from atdata.protocol.syntax import Did
from indexer.batch import Batch, RepoState, SyncState
from indexer.decide import Entitled, Origin, on_account, on_commit, on_sync
from indexer.drops import DropReason
from indexer.events import Account, Commit, Sync
from indexer.verify import verify_commit, verify_sync
from tests.indexer.network import DATASET, dataset
from tests.indexer.repo_builder import (
    DID,
    K256,
    NOW_US,
    Message,
    Repo,
    account,
    create,
    delete,
    update,
)

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


def test_a_refused_commit_of_an_older_state_marks_nothing() -> None:
    first, second, third = history()
    batch = take(batch_of(None), first, second, third)
    before = state_of(batch)
    take(batch, second.without("prevData"))
    assert state_of(batch) == before
    assert batch.drops == {DropReason.MISSING_PREV_DATA: 1}


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


def test_a_sync_is_dropped_by_name_where_it_can_not_be_followed() -> None:
    """Our very rev over other data is a fork, a lower one is late; ours again says nothing."""
    repo = Repo()
    first = repo.commit(create(f"{DATASET}/a", dataset("one")))
    late = repo.sync()
    batch = take(batch_of(None), first, repo.commit(create(f"{DATASET}/b", dataset("two"))))
    before = state_of(batch)
    take(batch, repo.sync())
    assert not batch.drops
    take(batch, late)
    assert batch.drops == {DropReason.STALE_REV: 1}
    forked = batch_of(replace(before, data_cid=str(Cid.of(b"another tree"))))
    take(forked, repo.sync())
    assert forked.drops == {DropReason.FORKED_REV: 1}
    assert not forked.repos
    purged = batch_of(replace(before, data_cid=None))
    take(purged, repo.sync())
    assert purged.drops == {DropReason.STALE_REV: 1}


def test_a_first_sighting_that_only_deletes_has_the_repo_fetched() -> None:
    """It had records of ours, and may have others."""
    repo = Repo()
    repo.commit(*(create(f"{DATASET}/{key}", dataset(key)) for key in "ab"))
    batch = take(batch_of(None), repo.commit(delete(f"{DATASET}/a")))
    assert state_of(batch).sync_state is SyncState.NEW
    assert state_of(batch).wants_resync


def test_a_first_sighting_that_cannot_be_undone_has_the_repo_fetched() -> None:
    """The signed tree holds a record of ours; nothing of the commit is applied. What only the
    envelope says does not make us fetch anything."""
    repo = Repo()
    repo.commit(create(f"{DATASET}/a", dataset("one")))
    message = repo.commit(create(f"{DATASET}/b", dataset("two")))
    batch = take(batch_of(None), message.without("prevData"))
    assert (state_of(batch).sync_state, batch.docs) == (SyncState.NEW, {})
    assert batch.drops == {DropReason.MISSING_PREV_DATA: 1}
    moved = [{**op, "path": f"{DATASET}/elsewhere"} for op in message.body["ops"]]
    for claim in (message.having(ops=moved), message.without("prevData").having(ops=moved)):
        assert take(batch_of(None), claim).repo(DID) is None
    post = repo.commit(create("app.bsky.feed.post/3k2yihcrp2c2a", {"text": "hello"}))
    assert take(batch_of(None), post.without("prevData")).repo(DID) is None

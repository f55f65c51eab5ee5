"""A snapshot and the live commits around it: every interleaving ends with the author's records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from atdata.protocol.keys import key_of
from indexer import events
from indexer.batch import RepoState, SyncState
from indexer.database import open_database
from indexer.decide import Entitled, Origin, Profile, on_account, on_commit
from indexer.repos import Failed, Fetched, Gone
from indexer.rows import uri_of
from indexer.store import Store
from indexer.tables import DatasetRow, Rows
from indexer.turns import Result, Turns
from indexer.verify import Head, VerifiedCommit, VerifiedRepo, verify_commit, verify_repo
from indexer.versions import judged, versions_of
from indexer.waiting import Waiting
from tests.indexer.network import DATASET, dataset
from tests.indexer.repo_builder import (
    DID,
    K256,
    NOW_US,
    Message,
    Repo,
    Write,
    account,
    create,
    delete,
    update,
)

PDS = "https://pds.example"
KEYS = ("a", "b", "c")


def proved(message: Message) -> VerifiedCommit:
    event = message.event
    assert isinstance(event, events.Commit)
    proof = verify_commit(event, K256.public, now_us=NOW_US)
    assert isinstance(proof, VerifiedCommit)
    return proof


def snapshot(repo: Repo) -> Fetched:
    whole = verify_repo(repo.car(), repo.did, K256.public, now_us=NOW_US)
    assert isinstance(whole, VerifiedRepo)
    return Fetched(whole, Profile(PDS, None, None), PDS)


def head_of(repo: Repo) -> Head:
    whole = snapshot(repo).repo
    return Head(whole.did, whole.rev, whole.data)


@dataclass
class Author:
    """A repo and what its author would say is in it: the obvious model of the index."""

    repo: Repo = field(default_factory=Repo)
    names: dict[str, str] = field(default_factory=dict)

    def write(self, rkey: str, *, remove: bool) -> Message:
        """Create, update or delete the record at ``rkey``."""
        path, name = f"{DATASET}/{rkey}", f"{rkey} {self.repo.commits}"
        if rkey not in self.names:
            write: Write = create(path, dataset(name))
        elif remove:
            write = delete(path)
        else:
            write = update(path, dataset(name))
        self.names.pop(rkey, None)
        if write.record is not None:
            self.names[rkey] = name
        return self.repo.commit(write)


class Index:
    """A store and the turns over it, fed as the writer feeds them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection | None = None) -> None:
        self.connection = connection or open_database(":memory:")
        self.store = Store(self.connection)
        self.turns = Turns(self.store)

    def live(self, message: Message) -> None:
        proof, event, batch = proved(message), message.event, self.store.batch()
        assert isinstance(event, events.Commit)
        on_commit(batch, event, proof, None, Origin("wss://x", event.seq, message.frame, NOW_US))
        self.turns.note(event, proof)
        self.store.apply(batch)

    @property
    def names(self) -> dict[str, str]:
        query = "SELECT rkey, name FROM records JOIN datasets USING (doc)"
        return dict(self.connection.cursor().execute(query).fetchall())

    @property
    def state(self) -> RepoState:
        state = self.store.repo(DID)
        assert state is not None
        return state


writes = st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), min_size=1, max_size=7)


@pytest.fixture(scope="module")
def shared() -> duckdb.DuckDBPyConnection:
    """One database for all examples; opening one takes longer than an example."""
    return open_database(":memory:")


@settings(deadline=None, max_examples=40, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(before=writes, during=writes, data=st.data())
def test_a_snapshot_and_commits_in_any_interleaving(
    shared: duckdb.DuckDBPyConnection,
    before: list[tuple[str, bool]],
    during: list[tuple[str, bool]],
    data: st.DataObject,
) -> None:
    """Some commits were swallowed; some arrive before, some during the fetch, some after; the
    snapshot is of any moment of the fetch; some of the commits come twice."""
    for table in ("records", "datasets", "dataset_tags", "changes", "repos", "drops", "quarantine"):
        shared.execute(f"DELETE FROM {table}")
    index, author = Index(shared), Author()
    delivered = [author.write(rkey, remove=remove) for rkey, remove in before]
    swallowed = data.draw(st.sets(st.sampled_from(range(len(delivered)))), "swallowed")
    for i, message in enumerate(delivered):
        if i not in swallowed:
            index.live(message)
    if index.store.repo(DID) is None:
        index.turns.adopt([DID])
    index.turns.ask_again([DID])
    assert index.turns.begin(DID) is not None
    at = data.draw(st.integers(0, len(during)), "snapshot after so many of these")
    arrived = data.draw(st.integers(0, len(during)), "that arrive before its end")
    answer, later = snapshot(author.repo), []
    for i, (rkey, remove) in enumerate(during):
        later.append(author.write(rkey, remove=remove))
        if i + 1 == at:
            answer = snapshot(author.repo)
    for message in later[:arrived]:
        index.live(message)
    # The commit that begins with an empty repo is the whole repo: then nothing more is wanted.
    assert index.turns.end(DID, answer, NOW_US) in (Result.SYNCED, Result.SETTLED)
    for message in [*later[arrived:], *data.draw(st.lists(st.sampled_from(later), max_size=3))]:
        index.live(message)
    assert index.names == author.names
    assert index.state.sync_state is SyncState.SYNCED
    assert (index.state.rev, index.state.data_cid) == (author.repo.rev, str(author.repo.data))


def fetching(*names: str) -> tuple[Index, Author]:
    """A repo with a record per name that is being fetched."""
    index, author = Index(), Author()
    for name in names:
        index.live(author.write(name, remove=False))
    index.turns.ask_again([DID])
    assert index.turns.begin(DID) is not None
    return index, author


def test_records_that_are_gone_from_the_repo_go_from_the_index() -> None:
    index, author = fetching("a", "b")
    author.write("a", remove=True)
    assert index.turns.end(DID, snapshot(author.repo), NOW_US) is Result.SYNCED
    assert list(index.names) == ["b"]
    query = "SELECT doc FROM changes WHERE action = 'delete'"
    assert index.connection.execute(query).fetchall() == [(key_of(uri_of(DID, DATASET, "a")),)]


def test_what_was_judged_with_the_fetch_is_not_judged_by_the_writer() -> None:
    """But for versions that arrived meanwhile: of these it is known by nobody else."""
    index, author = Index(), Author()
    index.turns.adopt([DID])
    for name in "ab":
        author.write(name, remove=False)
    assert index.turns.begin(DID) is not None
    answer = snapshot(author.repo)
    rows = [judged(v, PDS, NOW_US) for v in versions_of(answer.repo)]
    told = tuple(
        replace(row, detail=replace(row.detail, name=f"judged {row.detail.name}"))
        for row in rows
        if isinstance(row, Rows) and isinstance(row.detail, DatasetRow)
    )
    index.live(author.write("a", remove=False))
    assert index.turns.end(DID, replace(answer, judged=told), NOW_US) is Result.SYNCED
    assert index.names == {"a": author.names["a"], "b": f"judged {author.names['b']}"}


def test_what_is_the_same_is_not_written_again() -> None:
    index, author = fetching("a", "b")
    assert index.turns.end(DID, snapshot(author.repo), NOW_US + 1) is Result.SYNCED
    before = index.store.change  # its identity was new, too
    index.turns.ask_again([DID])
    assert index.turns.begin(DID) is not None
    assert index.turns.end(DID, snapshot(author.repo), NOW_US + 2) is Result.SYNCED
    assert index.store.change == before


def test_a_commit_that_was_swallowed_during_the_fetch_asks_for_another_one() -> None:
    index, author = fetching("a")
    answer = snapshot(author.repo)
    author.write("b", remove=False)
    index.live(author.write("c", remove=False))
    assert index.turns.end(DID, answer, NOW_US) is Result.AGAIN
    assert sorted(index.names) == ["a", "c"]
    assert index.state.sync_state is SyncState.DESYNCHRONIZED
    assert index.turns.begin(DID) is not None
    assert index.turns.end(DID, snapshot(author.repo), NOW_US) is Result.SYNCED
    assert index.names == author.names


def test_a_sync_that_announces_more_than_was_fetched_asks_for_another_one() -> None:
    index, author = fetching("a")
    answer = snapshot(author.repo)
    author.write("b", remove=False)
    event = author.repo.sync().event
    assert isinstance(event, events.Sync)
    index.turns.note(event, head_of(author.repo))
    assert index.turns.end(DID, answer, NOW_US) is Result.AGAIN


def test_a_snapshot_that_is_older_than_what_we_hold_changes_nothing() -> None:
    index, author = Index(), Author()
    index.live(author.write("a", remove=False))
    old = snapshot(author.repo)
    index.live(author.write("b", remove=False))
    index.turns.ask_again([DID])
    index.turns.begin(DID)
    assert index.turns.end(DID, old, NOW_US) is Result.LATER
    assert index.names == author.names
    assert index.state.sync_error is not None
    assert index.store.drops == {"stale_rev": 1}


def test_an_older_snapshot_takes_nothing_back_whatever_arrives_during_the_fetch() -> None:
    index, author = Index(), Author()
    index.live(author.write("a", remove=False))
    old = snapshot(author.repo)
    author.write("b", remove=False)  # is swallowed
    index.live(author.write("c", remove=False))
    assert index.turns.begin(DID) is not None
    during = author.write("a", remove=False)
    index.live(during)
    before = index.names
    assert index.turns.end(DID, old, NOW_US) is Result.LATER
    assert index.names == before
    assert index.store.drops == {"stale_rev": 1}
    assert index.turns.begin(DID) is not None
    assert index.turns.end(DID, snapshot(author.repo), NOW_US) is Result.SYNCED
    assert index.names == author.names


def test_a_snapshot_from_before_a_deletion_brings_nothing_back() -> None:
    """The account is deleted and back while its repo is fetched."""
    index, author = fetching("a")
    old = snapshot(author.repo)
    for seq, active in ((5, False), (6, True)):
        hear(index, seq, active=active)
    index.live(author.write("b", remove=False))
    assert index.turns.end(DID, old, NOW_US) is Result.AGAIN
    assert list(index.names) == ["b"]


def hear(index: Index, seq: int, *, active: bool) -> None:
    """The account is deleted, or back."""
    event = account(DID, seq=seq, active=active, status=None if active else "deleted").event
    assert isinstance(event, events.Account)
    batch = index.store.batch()
    on_account(batch, event, Entitled(), Origin("wss://x", seq, b"", NOW_US))
    index.turns.note(event, None)
    index.store.apply(batch)


def test_a_deleted_account_that_is_back_as_it_was_is_fetched_under_the_rev_that_it_had() -> None:
    index, author = Index(), Author()
    index.live(first := author.write("a", remove=False))
    old = snapshot(author.repo)
    index.live(author.write("b", remove=False))
    hear(index, 5, active=False)
    assert index.names == {}
    hear(index, 6, active=True)
    assert index.turns.begin(DID) is not None
    assert index.turns.end(DID, old, NOW_US) is Result.LATER, "from before what was held"
    assert (index.names, index.store.drops) == ({}, {"stale_rev": 1})
    assert index.turns.begin(DID) is not None
    index.live(first)  # of a source that lags behind
    assert index.turns.end(DID, snapshot(author.repo), NOW_US) is Result.SYNCED
    assert index.names == author.names
    assert index.state.sync_error is None


def test_the_same_rev_over_other_data_is_refused_by_name() -> None:
    index, author = fetching("a")
    fork = Author()
    fork.repo.commit(create(f"{DATASET}/z", dataset("z")), rev=author.repo.rev)
    assert index.turns.end(DID, snapshot(fork.repo), NOW_US) is Result.LATER
    assert index.names == author.names
    assert index.store.drops == {"forked_rev": 1}


def test_a_failed_fetch_keeps_the_rows_and_says_why() -> None:
    index, author = fetching("a")
    assert index.turns.end(DID, Failed("no answer"), NOW_US) is Result.LATER
    assert index.names == author.names
    assert (index.state.sync_state, index.state.sync_error) == ("desynchronized", "no answer")


@pytest.mark.parametrize("error", ["RepoTakendown", "RepoDeactivated", "RepoNotFound"])
def test_a_repo_that_its_pds_does_not_serve_is_hidden_until_it_does(error: str) -> None:
    index, author = fetching("a")
    assert index.turns.end(DID, Gone(error), NOW_US) is Result.SETTLED
    assert index.state.status is not None
    assert index.turns.begin(DID) is None
    assert author.repo.rev is not None
    assert index.turns.catch_up({DID: author.repo.rev}) == [DID]
    index.turns.begin(DID)
    assert index.turns.end(DID, snapshot(author.repo), NOW_US) is Result.SYNCED
    assert index.state.active
    assert index.names == author.names


def test_a_repo_that_moves_while_its_old_pds_is_asked_is_not_hidden() -> None:
    index, _ = fetching("a")
    moved = events.Identity(9, DID, None, "2023-11-14T22:13:20Z")
    index.turns.note(moved, None)
    assert index.turns.end(DID, Gone("RepoDeactivated"), NOW_US) is Result.AGAIN
    assert index.state.active


def test_a_flood_of_commits_is_bounded_and_leads_to_another_fetch() -> None:
    author, waiting = Author(), Waiting(max_commits=3, max_bytes=10_000)
    author.write("a", remove=False)
    head = head_of(author.repo)
    for _ in range(5):
        waiting.add(proved(author.write("a", remove=False)))
    following = waiting.after(head)
    assert len(following.commits) == 3
    assert not following.complete

"""What an outage left in doubt about identities is put right without another ``#identity``."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from indexer.batch import RepoState, SyncState
from indexer.database import open_database
from indexer.renewals import AT_ONCE, MAX_SECONDS, Renewals
from indexer.store import Store
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    plc_did,
    reached,
    rows,
    running,
    settled,
    until,
)
from tests.indexer.repo_builder import create, identity

DID = plc_did(0)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"


def handles(db: Path) -> list[tuple[str | None, bool]]:
    return rows(db, "SELECT handle, handle_verified FROM repos ORDER BY did")


def test_a_handle_that_nobody_could_confirm_at_first_is_confirmed_later(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net, handle="alice.test")
            del net.handles["alice.test"]
            await net.send(first_commit(repo, "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                net.handles["alice.test"] = DID
                changes = indexer.status().changes
                await until(lambda: indexer.status().changes > changes, lambda: "shown anew")

    asyncio.run(main())
    assert handles(db) == [("alice.test", True)]
    assert rows(db, "SELECT action FROM changes") == [("put",), ("visibility",)]


@pytest.mark.parametrize("before", ["alice.test", ""])
def test_an_identity_event_during_an_outage_is_made_up_for(db: Path, before: str) -> None:
    """Until then no handle is shown: the one that we know is known to have changed."""
    seen: list[bool] = []

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net, handle=before)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                net.plc_is_down = True
                await net.send(identity(DID))
                await reached(indexer, net)
                seen.append(indexer.status().changes > 1)
                net.knows(DID, handle="bob.test")
                changes, net.plc_is_down = indexer.status().changes, False
                await until(lambda: indexer.status().changes > changes, lambda: "shown anew")

    asyncio.run(main())
    assert seen == [True], "the handle that is shown is another, or handle.invalid"
    assert handles(db) == [("bob.test", True)]


def test_an_account_that_moved_while_it_was_hidden_is_found(db: Path) -> None:
    """Only its old PDS is followed, which does not serve it any more, and says nothing."""

    async def main() -> None:
        async with Firehose() as old, Firehose() as new:
            repo = new_repo(old, handle="alice.test")
            await old.send(first_commit(repo, "cats"))
            async with running(old, db) as indexer:
                await reached(indexer, old)
                del old.repos[DID]
                repo.commit(create(f"{DATASET}/dogs", dataset("dogs")))
                await old.send(repo.sync())
                await until(lambda: any("getRepo" in p for p in old.asked), lambda: "asked for")
                await settled(indexer)
                new.repos[DID], new.handles["alice.test"] = repo, DID
                old.documents[DID]["service"][0]["serviceEndpoint"] = new.plc
                await until(lambda: indexer.status().resynced > 0, lambda: str(indexer.status()))
            assert any("getRepo" in path for path in new.asked)

    asyncio.run(main())
    assert rows(db, "SELECT active, sync_state FROM repos") == [(True, "synced")]
    assert rows(db, "SELECT count(*) FROM records") == [(2,)]


# --- one handle, one account --------------------------------------------------------------------


@pytest.mark.parametrize("told", [("old", "new"), ("new", "old"), ("new",)], ids=" then ".join)
def test_a_handle_that_changed_hands_is_the_new_owners_at_once(
    db: Path, told: tuple[str, ...]
) -> None:
    """Whichever of the two is told of first, and if the one that lost it says nothing, and claims
    it still."""
    alice, bob = "alice.example-host.org", "bob.example-host.org"
    names = {f"_atproto.{alice}": plc_did(0), f"_atproto.{bob}": plc_did(1)}
    clock = [0.0]

    async def main() -> None:
        async with Firehose() as net:
            old = new_repo(net, 0, handle=alice)
            new = new_repo(net, 1, handle=bob)
            async with running(
                net, db, seconds=lambda: clock[0], txt=lambda name: [f"did={names[name]}"]
            ) as indexer:
                await net.send(first_commit(old, "cats"), first_commit(new, "dogs"))
                await reached(indexer, net)
                names[f"_atproto.{alice}"] = new.did
                net.knows(new.did, handle=alice)
                clock[0] = 60.0
                for who in told:
                    await net.send(identity({"old": old, "new": new}[who].did))
                await reached(indexer, net)

    asyncio.run(main())
    assert handles(db) == [(alice, False), (alice, True)]


def holding(number: int, handle: str | None = "alice.test") -> RepoState:
    return RepoState(plc_did(number), handle, handle is not None, "https://p.example")


def held(store: Store) -> list[tuple[str | None, bool]]:
    return [(state.handle, state.handle_verified) for state in store.repos()]


def test_who_is_found_to_hold_a_handle_takes_it_from_whoever_did(db: Path) -> None:
    """Whether that is stored, or was found a moment before; whoever lost it is shown anew."""
    with open_database(db) as connection:
        store = Store(connection)
        for number in (1, 2):
            batch = store.batch()
            batch.set_repo(holding(number))
            store.apply(batch)
        assert held(store) == [("alice.test", False), ("alice.test", True)]
        batch = store.batch()
        batch.set_repo(holding(3))
        batch.set_repo(holding(4))
        assert batch.visibility == {plc_did(2)}, "of the third nothing was shown yet"
        store.apply(batch)
        assert held(store) == [("alice.test", False)] * 3 + [("alice.test", True)]
        store.close()
    with open_database(db) as connection:  # and so after a restart
        store = Store(connection)
        batch = store.batch()
        batch.set_repo(holding(1))
        store.apply(batch)
        assert sorted(held(store)) == [("alice.test", False)] * 3 + [("alice.test", True)]
        store.close()


def test_a_handle_that_was_given_up_is_taken_from_nobody(db: Path) -> None:
    with open_database(db) as connection:
        store = Store(connection)
        for states in ([holding(1)], [holding(1, "other.test"), holding(2)], [holding(3, None)]):
            batch = store.batch()
            for state in states:
                batch.set_repo(state)
            store.apply(batch)
        assert held(store) == [("other.test", True), ("alice.test", True), (None, False)]
        store.close()


# --- bounded and cheap --------------------------------------------------------------------------


def asked_in(db: Path, states: list[RepoState], times: list[float]) -> list[list[str]]:
    """Which repos are asked for at these times (in seconds), the directory being out of reach."""
    clock = [0.0]
    http = HttpClient(Policy())
    with open_database(db) as connection:
        store = Store(connection)
        batch = store.batch()
        for state in states:
            batch.set_repo(state)
        store.apply(batch)
        resolver = Resolver(http, plc="http://127.0.0.1:1")
        renewals = Renewals(store, resolver, 30.0, lambda: clock[0])
        found = []
        for clock[0] in times:
            due = renewals.due()
            asyncio.run(renewals.ask(due))
            found.append(due)
        store.close()
    http.close()
    return found


def test_only_identities_in_doubt_are_asked_for(db: Path) -> None:
    synced, pds = SyncState.SYNCED, "https://pds.example"
    doubtful = [
        RepoState(plc_did(1), handle="a.test", pds=pds, sync_state=synced),
        RepoState(plc_did(2), sync_state=synced),
        RepoState(plc_did(3), pds=pds, active=False, status="deactivated", sync_state=synced),
    ]
    certain = [
        RepoState(plc_did(4), "a.test", True, pds, sync_state=synced),
        RepoState(plc_did(5), pds=pds, sync_state=synced),  # it claims no handle
        RepoState(plc_did(6), pds=pds, active=False, status="deleted", sync_state=synced),
        RepoState(plc_did(7)),  # about to be fetched, which tells
    ]
    (asked,) = asked_in(db, doubtful + certain, [0.0])
    assert asked == [state.did for state in doubtful]


def test_the_pause_doubles_up_to_an_hour(db: Path) -> None:
    state = RepoState(plc_did(1), handle="a.test", pds="https://p.example")
    times = [float(second) for second in range(0, 30_000, 10)]
    asked = asked_in(db, [RepoState(state.did, sync_state=SyncState.SYNCED)], times)
    when = [at for at, dids in zip(times, asked, strict=True) if dids]
    pauses = [b - a for a, b in pairwise(when)]
    assert pauses[:4] == [30.0, 60.0, 120.0, 240.0]
    assert max(pauses) == MAX_SECONDS


def test_many_take_turns(db: Path) -> None:
    states = [RepoState(plc_did(n), sync_state=SyncState.SYNCED) for n in range(3 * AT_ONCE)]
    asked = asked_in(db, states, [0.0, 1.0, 2.0, 3.0])
    assert [len(dids) for dids in asked] == [AT_ONCE, AT_ONCE, AT_ONCE, 0]
    assert {did for dids in asked for did in dids} == {state.did for state in states}

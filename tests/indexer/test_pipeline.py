"""From the socket to durable rows: what the indexer keeps, refuses, counts, and comes back to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    error_frame,
    first_commit,
    new_repo,
    plc_did,
    reached,
    rows,
    running,
    settled,
    until,
)
from tests.indexer.repo_builder import (
    NOW_US,
    P256,
    Repo,
    account,
    create,
    delete,
    identity,
    update,
)

POST = "app.bsky.feed.post/3k2yihcrp2c2a"
Scenario = Callable[[Firehose], Awaitable[None]]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"


def indexed(db: Path, scenario: Scenario) -> None:
    """Run the indexer over what ``scenario`` sends before it starts, to the end."""

    async def main() -> None:
        async with Firehose() as net:
            await scenario(net)
            async with running(net, db) as indexer:
                await reached(indexer, net)
                if not net.pds_is_down:
                    await settled(indexer)

    asyncio.run(main())


def names(db: Path) -> list[str]:
    return [name for (name,) in rows(db, "SELECT name FROM datasets ORDER BY name")]


def drops(db: Path) -> dict[str, int]:
    return dict(rows(db, "SELECT reason, count FROM drops"))


def repo_states(db: Path) -> list[tuple[bool, str | None, str]]:
    return rows(db, "SELECT active, status, sync_state FROM repos ORDER BY did")


# --- records ----------------------------------------------------------------------------------


def test_a_published_dataset_becomes_rows_with_handle_and_cursor(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        await net.send(first_commit(new_repo(net, handle="alice.test"), "cats", "dogs"))

    indexed(db, scenario)
    assert names(db) == ["cats", "dogs"]
    state = "handle, handle_verified, active, sync_state"
    assert rows(db, f"SELECT {state} FROM repos") == [("alice.test", True, True, "synced")]
    assert rows(db, "SELECT cursor, epoch_us(seen_at) FROM sources") == [(1, NOW_US)]
    assert drops(db) == {}


def test_updates_and_deletes_follow_the_author(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats", "dogs", "mice"))
        await net.send(repo.commit(update(f"{DATASET}/cats", dataset("lions"))))
        await net.send(repo.commit(delete(f"{DATASET}/dogs")))

    indexed(db, scenario)
    assert names(db) == ["lions", "mice"]
    assert rows(db, "SELECT sync_state FROM repos") == [("synced",)]


def test_an_invalid_record_is_kept_aside_and_its_siblings_are_indexed(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(
            repo.commit(
                create(f"{DATASET}/a", dataset("good")),
                create(f"{DATASET}/b", dataset(name=7)),
                create(f"{DATASET}/c", b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"),
                create(f"{DATASET}/d", dataset("large", more="x" * 1_000_000)),
            )
        )

    indexed(db, scenario)
    assert names(db) == ["good"]
    assert drops(db) == {"invalid_record": 1, "invalid_record_cbor": 1, "oversized_record": 1}
    kept = rows(db, "SELECT reason, detail, rkey, size FROM invalid_records ORDER BY reason")
    assert [reason for reason, *_ in kept] == sorted(drops(db))
    assert f"{DATASET}/b" in kept[0][1]
    assert [(rkey, size > 0) for *_, rkey, size in kept] == [("b", True), ("c", True), ("d", False)]


def test_an_update_that_is_not_valid_takes_the_old_version_away(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        await net.send(repo.commit(update(f"{DATASET}/cats", {"name": "no dataset"})))

    indexed(db, scenario)
    assert names(db) == []
    assert drops(db) == {"invalid_record": 1}


def test_noise_moves_nothing_but_the_cursor(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(repo.commit(create(POST, {"text": "hello"})))
        await net.send(account(repo.did, active=False), identity(repo.did))

    indexed(db, scenario)
    assert rows(db, "SELECT count(*) FROM repos") == [(0,)]
    assert rows(db, "SELECT cursor FROM sources") == [(3,)]
    assert drops(db) == {}


# --- who may change what ----------------------------------------------------------------------


def test_a_forged_commit_is_refused_and_causes_no_fetch_but_of_the_key(db: Path) -> None:
    async def main() -> set[str]:
        async with Firehose() as net:
            repo = new_repo(net, handle="alice.test")
            await net.send(repo.commit(create(f"{DATASET}/a", dataset()), key=P256))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            return {path.partition(":")[0] for path in net.asked}

    assert asyncio.run(main()) == {"/did"}
    assert drops(db) == {"bad_signature": 1}
    assert rows(db, "SELECT count(*) FROM repos") == [(0,)]


def test_a_key_that_was_rotated_is_found_before_the_identity_event(db: Path) -> None:
    seconds = [0.0]

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db, seconds=lambda: seconds[0]) as indexer:
                await reached(indexer, net)
                seconds[0] += 10  # a resolver asks again about one DID every two seconds
                repo.key = P256
                net.knows(repo.did, P256)
                await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
                await reached(indexer, net)

    asyncio.run(main())
    assert names(db) == ["cats", "dogs"]
    assert drops(db) == {}


def test_an_unknown_account_is_named(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        net.documents.clear()
        await net.send(first_commit(repo, "cats"))

    indexed(db, scenario)
    assert drops(db) == {"identity_not_found": 1}


def test_what_was_missed_is_known_to_be_missing(db: Path) -> None:
    """The commits after a gap are applied, since the tree proves each; the repo is marked."""

    async def scenario(net: Firehose) -> None:
        net.pds_is_down = True
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        repo.commit(create(f"{DATASET}/lost", dataset("lost")))
        await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
        await net.send(repo.commit(create(f"{DATASET}/mice", dataset("mice"))))

    indexed(db, scenario)
    assert names(db) == ["cats", "dogs", "mice"]
    assert rows(db, "SELECT sync_state FROM repos") == [("desynchronized",)]


def test_posts_of_a_tracked_repo_are_followed_so_that_its_chain_holds(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        await net.send(repo.commit(create(POST, {"text": "hello"})))
        await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
        repo_state.append((str(repo.rev), str(repo.data)))

    repo_state: list[tuple[str, str]] = []
    indexed(db, scenario)
    assert rows(db, "SELECT rev, data_cid FROM repos") == repo_state
    assert rows(db, "SELECT sync_state FROM repos") == [("synced",)]


def test_a_repo_that_is_first_seen_in_its_middle_is_not_called_synced(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        net.pds_is_down = True
        repo = new_repo(net)
        repo.commit(create(f"{DATASET}/before", dataset("before")))
        await net.send(repo.commit(create(f"{DATASET}/cats", dataset("cats"))))

    indexed(db, scenario)
    assert names(db) == ["cats"]
    assert rows(db, "SELECT sync_state FROM repos") == [("new",)]


def test_a_rejected_commit_that_proves_a_newer_state_marks_the_repo(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        net.pds_is_down = True
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        message = repo.commit(create(f"{DATASET}/dogs", dataset("dogs")))
        await net.send(message.having(ops=[]))

    indexed(db, scenario)
    assert drops(db) == {"inversion_mismatch": 1}
    assert rows(db, "SELECT sync_state FROM repos") == [("desynchronized",)]


def test_two_datas_under_one_rev_are_refused_and_kept(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        fork = Repo(did=repo.did)
        await net.send(fork.commit(create(f"{DATASET}/x", dataset("x")), rev=repo.rev))

    indexed(db, scenario)
    assert drops(db) == {"forked_rev": 1}
    assert names(db) == ["cats"]


# --- accounts ---------------------------------------------------------------------------------


def test_accounts_go_and_come_back(db: Path) -> None:
    async def main() -> list[object]:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            seen: list[object] = []
            for event in (
                account(repo.did, active=False, status="deactivated"),
                account(repo.did, active=True),
            ):
                await net.send(event)
                async with running(net, db) as indexer:
                    await reached(indexer, net)
                seen.append((repo_states(db)[0][:2], names(db)))
            return seen

    assert asyncio.run(main()) == [
        ((False, "deactivated"), ["cats"]),
        ((True, None), ["cats"]),
    ]
    actions = [action for (action,) in rows(db, "SELECT action FROM changes ORDER BY seq")]
    assert actions == ["put", "visibility"] or actions == ["put", "visibility", "visibility"]


def test_a_deleted_account_is_purged_and_its_old_commits_stay_away(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        first = first_commit(repo, "cats")
        await net.send(first, account(repo.did, active=False, status="deleted"), first)

    indexed(db, scenario)
    assert names(db) == []
    assert repo_states(db) == [(False, "deleted", "new")]


def test_nothing_is_kept_of_what_a_deleted_account_has_written(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        first = first_commit(repo, "cats")
        refused = repo.commit(create(f"{DATASET}/secret", dataset("secret"))).without("prevData")
        late = repo.commit(create(f"{DATASET}/late", dataset("secret")))
        await net.send(first, refused, account(repo.did, active=False, status="deleted"), late)

    indexed(db, scenario)
    assert drops(db) == {"missing_prev_data": 1, "inactive_account": 1}
    assert rows(db, "SELECT reason FROM quarantine") == []


def test_an_old_account_event_that_is_replayed_changes_nothing(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        hide = account(repo.did, active=False, status="takendown")
        await net.send(hide, account(repo.did, active=True))
        await net.send(hide.at(2).frame)

    indexed(db, scenario)
    assert repo_states(db) == [(True, None, "synced")]


def test_a_handle_counts_only_when_it_leads_back(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net, handle="alice.test")
            await net.send(first_commit(repo, "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                net.knows(repo.did, handle="mallory.test")
                net.handles["mallory.test"] = plc_did(99)
                await net.send(identity(repo.did, handle="alice.test"))
                await reached(indexer, net)

    asyncio.run(main())
    assert rows(db, "SELECT handle, handle_verified FROM repos") == [("mallory.test", False)]


# --- delivery ---------------------------------------------------------------------------------


async def busy(net: Firehose) -> None:
    """Three accounts with some of everything."""
    repos = [new_repo(net, i, f"user{i}.test") for i in range(3)]
    await net.send(*(first_commit(repo, "cats", "dogs") for repo in repos))
    for i, repo in enumerate(repos):
        await net.send(repo.commit(update(f"{DATASET}/cats", dataset(f"cats of {i}"))))
        await net.send(repo.commit(create(POST, {"text": "hello"})))
    await net.send(repos[0].commit(delete(f"{DATASET}/dogs")))
    await net.send(account(repos[1].did, active=False, status="suspended"))
    await net.send(repos[2].commit(create(f"{DATASET}/mice", dataset(name=0))))


FINAL = """
    SELECT r.uri, r.cid, r.rev, d.name, p.active, p.rev, p.data_cid, p.handle, p.sync_state
    FROM records r JOIN datasets d USING (doc) JOIN repos p USING (repo) ORDER BY r.uri
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    db = tmp_path_factory.mktemp("undisturbed") / "index.duckdb"
    indexed(db, busy)
    result = rows(db, FINAL)
    assert len(result) == 5
    return result


def test_a_restart_goes_on_from_the_cursor(db: Path, undisturbed: list[object]) -> None:
    async def main() -> tuple[list[int | None], int]:
        async with Firehose() as net:
            await busy(net)
            every, net.sent = net.sent, []
            for frame in every:
                net.sent.append(frame)
                async with running(net, db) as indexer:
                    await reached(indexer, net)
            return net.seen, len(every)

    seen, sent = asyncio.run(main())
    assert seen == list(range(sent))
    assert rows(db, FINAL) == undisturbed


# --- bad sources ------------------------------------------------------------------------------


def test_a_malformed_event_whose_seq_is_known_is_passed_at_once(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        await net.send(first_commit(new_repo(net, 2), "dogs").having(rev="not a tid"))

    indexed(db, scenario)
    assert drops(db) == {"invalid_event": 1}
    assert rows(db, "SELECT seq FROM quarantine") == [(2,)]


def test_that_a_source_is_halted_is_stored_until_it_is_tried_again(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"), error_frame("FutureCursor"))
            async with running(net, db) as indexer:
                await until(
                    lambda: indexer.status().sources[0].halted_because is not None, lambda: "halted"
                )
            query = "SELECT cursor, halted_because FROM sources"
            assert rows(db, query) == [(1, "FutureCursor: because")]
            net.sent.pop()
            async with running(net, db) as indexer:
                await until(lambda: len(net.seen) == 2, lambda: "tried again")
                await asyncio.sleep(0.1)
            assert rows(db, query) == [(1, None)]

    asyncio.run(main())

"""From the socket to durable rows: what the indexer keeps, refuses, counts, and comes back to."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol import cbor
from atdata.protocol.errors import StoreError
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.pipeline import Indexer
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
from tests.indexer.repo_builder import (
    NOW_US,
    P256,
    Message,
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
    kept = rows(db, "SELECT reason, detail, frame FROM quarantine ORDER BY reason")
    assert [reason for reason, _, _ in kept] == sorted(drops(db))
    assert f"{DATASET}/b" in kept[0][1]


def test_an_update_that_is_not_valid_takes_the_old_version_away(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        await net.send(repo.commit(update(f"{DATASET}/cats", {"name": "no dataset"})))

    indexed(db, scenario)
    assert names(db) == []
    assert drops(db) == {"invalid_record": 1}


def test_look_alikes_and_noise_move_nothing_but_the_cursor(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo, other = new_repo(net, 1), new_repo(net, 2)
        await net.send(repo.commit(create(POST, {"text": f"see at://x/{DATASET}/y"})))
        await net.send(other.commit(create("ac.foundation.datasetx.record/a", dataset())))
        await net.send(account(repo.did, active=False), identity(repo.did))

    indexed(db, scenario)
    assert rows(db, "SELECT count(*) FROM repos") == [(0,)]
    assert rows(db, "SELECT cursor FROM sources") == [(4,)]
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
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await asyncio.sleep(2.1)  # a resolver asks again about one DID every two seconds
                repo.key = P256
                net.knows(repo.did, P256)
                await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
                await reached(indexer, net)

    asyncio.run(main())
    assert names(db) == ["cats", "dogs"]
    assert drops(db) == {}


def test_a_commit_that_nobody_can_vouch_for_is_kept(db: Path) -> None:
    frames: list[bytes] = []

    async def main() -> None:
        async with Firehose() as net:
            known, unknown = new_repo(net, 1), new_repo(net, 2)
            await net.send(first_commit(known, "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                net.plc_is_down = True
                await net.send(first_commit(unknown, "dogs"))
                frames.append(net.sent[-1][1])
                await reached(indexer, net)

    asyncio.run(main())
    assert drops(db) == {"identity_unavailable": 1}
    assert rows(db, "SELECT frame FROM quarantine") == [(frames[0],)]
    assert names(db) == ["cats"]


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


def test_a_text_that_quotes_a_collection_makes_us_ask_for_nothing(db: Path) -> None:
    asked: list[str] = []

    async def scenario(net: Firehose) -> None:
        net.asked = asked
        repo = new_repo(net)
        quote = f"look at at://did:plc:x/{DATASET}/cats"
        await net.send(repo.commit(create(POST, {"text": quote})))

    indexed(db, scenario)
    assert rows(db, "SELECT cursor FROM sources") == [(1,)]
    assert rows(db, "SELECT did FROM repos") == []
    assert [path for path in asked if "did:plc" in path] == []


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


def test_sync_events_mark_a_repo_only_where_it_differs(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        net.pds_is_down = True
        same, moved = new_repo(net, 1), new_repo(net, 2)
        await net.send(first_commit(same, "cats"), first_commit(moved, "dogs"))
        same.rev = same.next_rev()
        await net.send(same.sync())
        moved.commit(create(f"{DATASET}/unseen", dataset()))
        await net.send(moved.sync())

    indexed(db, scenario)
    assert [state for _, _, state in repo_states(db)] == ["synced", "desynchronized"]


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


def test_a_deleted_account_that_comes_back_is_indexed_again(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        await net.send(account(repo.did, active=False, status="deleted"))
        await net.send(account(repo.did, active=True))
        net.repos[repo.did] = back = Repo(did=repo.did, commits=repo.commits)
        back.commit(create(f"{DATASET}/mice", dataset("mice")))
        await net.send(back.commit(create(f"{DATASET}/dogs", dataset("dogs"))))

    indexed(db, scenario)
    assert names(db) == ["dogs", "mice"]
    assert repo_states(db) == [(True, None, "synced")]


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


def test_lost_connections_lose_nothing(db: Path, undisturbed: list[object]) -> None:
    async def main() -> list[int | None]:
        async with Firehose(drops_clients=True) as net:
            async with running(net, db) as indexer:
                await until(lambda: bool(net.seen), lambda: "connected")
                await busy(net)
                await reached(indexer, net)
            return net.seen

    assert len(asyncio.run(main())) > 2
    assert rows(db, FINAL) == undisturbed


def test_a_window_that_is_sent_again_changes_nothing(db: Path, undisturbed: list[object]) -> None:
    async def scenario(net: Firehose) -> None:
        await busy(net)
        every = list(net.sent)
        net.sent[5:5] = every[:5]
        net.sent.extend(every[3:])

    indexed(db, scenario)
    assert rows(db, FINAL) == undisturbed


def test_two_sources_with_their_own_seqs_give_the_same_rows(
    db: Path, undisturbed: list[object]
) -> None:
    async def main() -> list[tuple[str, int]]:
        async with Firehose() as net, Firehose() as relay:
            await busy(net)
            relay.sent = [(0, b"")]
            for _, frame in list(net.sent):
                relay.sent.append((1000 + len(relay.sent), reseq(frame, 1000 + len(relay.sent))))
            del relay.sent[0]
            async with running(net, db, relay) as indexer:
                await reached(indexer, net)
                await reached(indexer, relay)
            return [(net.url, net.last), (relay.url, relay.last)]

    positions = asyncio.run(main())
    assert sorted(rows(db, "SELECT url, cursor FROM sources")) == sorted(positions)
    assert rows(db, FINAL) == undisturbed


def reseq(frame: bytes, seq: int) -> bytes:
    """The same frame as another source would number it."""
    for split in range(1, 40):
        try:
            head, body = cbor.decode(frame[:split]), cbor.decode(frame[split:])
        except ValueError:
            continue
        assert isinstance(head, dict)
        assert isinstance(body, dict)
        return cbor.encode(head) + cbor.encode({**body, "seq": seq})
    raise AssertionError("no frame")


def test_killed_at_several_points_it_ends_with_the_same_rows(
    db: Path, undisturbed: list[object]
) -> None:
    """A process of its own, ended by SIGKILL again and again while it reads."""

    async def main() -> int:
        async with Firehose() as net:
            await busy(net)
            command = ["-m", "indexer", "run", "--db", str(db), "--source", net.url]
            command += ["--plc", net.plc, "--dev"]
            kills = 0
            while not (db.exists() and kills >= 6):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, *command, stderr=asyncio.subprocess.DEVNULL
                )
                await until(lambda: len(net.seen) > kills, lambda: "connected")  # noqa: B023
                await asyncio.sleep(0.02 * kills)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                kills += 1
            async with running(net, db) as indexer:
                await reached(indexer, net)
            return kills

    assert asyncio.run(main()) == 6
    assert rows(db, FINAL) == undisturbed
    seqs = [seq for (seq,) in rows(db, "SELECT seq FROM changes ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1))


# --- bad sources ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "invalid_framing"),
        (b"\xa2\x61t\x67#comm", "invalid_cbor"),
        (account("did:plc:x").frame + b"\x00", "invalid_framing"),
        (account("did:plc:x").having(seq=2**53).frame, "invalid_seq"),
        (account("did:plc:x").having(seq="7").frame, "invalid_seq"),
    ],
)
def test_a_frame_that_cannot_be_read_is_kept_and_passed_the_second_time(
    db: Path, bad: bytes, reason: str
) -> None:
    async def main() -> list[int | None]:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"), bad)
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            return net.seen

    assert asyncio.run(main()) == [0, 1]
    assert names(db) == ["cats", "dogs"]
    assert drops(db) == {reason: 2}
    assert rows(db, "SELECT reason, frame FROM quarantine") == [(reason, bad)]


def test_a_malformed_event_whose_seq_is_known_is_passed_at_once(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        repo = new_repo(net)
        await net.send(first_commit(repo, "cats"))
        await net.send(first_commit(new_repo(net, 2), "dogs").having(rev="not a tid"))

    indexed(db, scenario)
    assert drops(db) == {"invalid_event": 1}
    assert rows(db, "SELECT seq FROM quarantine") == [(2,)]


def test_messages_of_a_later_protocol_are_counted_and_passed(db: Path) -> None:
    async def scenario(net: Firehose) -> None:
        await net.send(Message("#labels", {"seq": 1}), Message("#x", {"seq": 2}, op=7))

    indexed(db, scenario)
    assert drops(db) == {"unknown_type": 1, "unknown_op": 1}


def error_frame(name: str) -> bytes:
    return cbor.encode({"op": -1}) + cbor.encode({"error": name, "message": "because"})


def test_a_cursor_in_the_future_stops_that_source_alone(db: Path) -> None:
    async def main() -> tuple[str | None, str | None]:
        async with Firehose() as net, Firehose() as other:
            await net.send(first_commit(new_repo(net), "cats"), error_frame("FutureCursor"))
            other.documents = net.documents
            async with running(net, db, other) as indexer:
                await until(lambda: halted(indexer)[0] is not None, lambda: "halted")
                await other.send(first_commit(new_repo(net, 2), "dogs"))
                await reached(indexer, other)
                return halted(indexer)

    def halted(indexer: Indexer) -> tuple[str | None, str | None]:
        first, second = indexer.status().sources
        return first.halted_because, second.halted_because

    why, other = asyncio.run(main())
    assert why is not None
    assert "FutureCursor" in why
    assert other is None
    assert names(db) == ["cats", "dogs"]


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


def test_a_source_that_finds_us_too_slow_is_given_time_and_resumed(db: Path) -> None:
    async def main() -> list[int | None]:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"), error_frame("ConsumerTooSlow"))
            async with running(net, db) as indexer:
                await until(lambda: len(net.seen) > 1, lambda: "came back")
                net.sent = [
                    entry for entry in net.sent if entry[1] != error_frame("ConsumerTooSlow")
                ]
                await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
                await reached(indexer, net)
            return net.seen

    assert asyncio.run(main())[:2] == [0, 1]
    assert names(db) == ["cats", "dogs"]
    assert drops(db)["stream_error"] >= 1


def test_a_message_above_the_limit_is_passed_without_a_loop(db: Path) -> None:
    async def main() -> list[int | None]:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            net.sent.append((4, b"\x00" * 5_000_001))
            legal = repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))).at(5)
            net.sent.append((5, legal.frame))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            return net.seen

    assert asyncio.run(main()) == [0, 2, 3, 4]
    assert names(db) == ["cats", "dogs"]
    assert drops(db) == {"oversized_frame": 3}


# --- our own database -------------------------------------------------------------------------


def test_a_database_that_cannot_be_written_ends_the_run(db: Path) -> None:
    """Another writer holds the source's row, so that our transaction fails; nothing of it stays."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            with open_database(db) as connection:
                http = HttpClient(Policy(dev=True))
                config = IndexerConfig(sources=(net.url,), db=db, plc=net.plc, dev=True)
                resolver = Resolver(http, plc=net.plc)
                indexer = Indexer(config, connection, resolver, clock=lambda: NOW_US)
                task = asyncio.create_task(indexer.run())
                await reached(indexer, net)
                rival = connection.cursor()
                rival.execute("BEGIN")
                rival.execute("DELETE FROM sources")
                await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
                with pytest.raises(StoreError, match="cannot write the index"):
                    await task
                rival.execute("ROLLBACK")

    asyncio.run(main())
    assert names(db) == ["cats"]
    assert rows(db, "SELECT cursor FROM sources") == [(1,)]

"""What people ask of an index that is closed: compare, mark repos, judge the quarantine again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from atdata.protocol.errors import InvalidSyntax, NotFound
from indexer import admin
from indexer.config import IndexerConfig
from indexer.database import open_database
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
from tests.indexer.repo_builder import account, create, delete


def test_a_comparison_names_each_record_and_a_resync_heals_it(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            config = IndexerConfig(db=db, plc=net.plc, dev=True)
            assert await asyncio.to_thread(admin.differences, config) == []
            repo.commit(delete(f"{DATASET}/cats"), create(f"{DATASET}/new", dataset("new")))
            found = await asyncio.to_thread(admin.differences, config)
            assert [(d.uri.rpartition("/")[2], d.ours is None) for d in found] == [
                ("cats", False),
                ("new", True),
            ]
            admin.resync(db, repo.did)
            async with running(net, db) as indexer:
                await until(lambda: indexer.status().resynced == 1, lambda: "fetched")
                await settled(indexer)
            assert await asyncio.to_thread(admin.differences, config) == []

    asyncio.run(main())
    with pytest.raises(InvalidSyntax):
        admin.resync(db, "nobody")


def test_a_resync_of_what_a_pds_did_not_serve_asks_it_again(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db, sweep=True, sweep_seconds=0.2) as indexer:
                await reached(indexer, net)
                await settled(indexer)
                del net.repos[repo.did]
                await until(lambda: indexer.status().sweep.gone == 1, lambda: "not served")
                await settled(indexer)
            assert rows(db, "SELECT active, status FROM repos") == [(False, "not found")]
            net.repos[repo.did] = repo
            assert admin.resync(db, repo.did).wants_resync
            async with running(net, db) as indexer:
                await settled(indexer)

    asyncio.run(main())
    assert rows(db, "SELECT active, status, sync_state, sync_error FROM repos") == [
        (True, None, "synced", None)
    ]


def test_a_resync_brings_no_account_back_that_a_source_has_hidden(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            away = account(repo.did, active=False, status="takendown")
            await net.send(first_commit(repo, "cats"), away)
            async with running(net, db) as indexer:
                await reached(indexer, net)
            repo.commit(create(f"{DATASET}/dogs", dataset("dogs")))
            state = admin.resync(db, repo.did)
            assert (state.active, state.status) == (False, "takendown")
            await net.send(account(repo.did, active=True))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)

    asyncio.run(main())
    assert rows(db, "SELECT name FROM datasets ORDER BY name") == [("cats",), ("dogs",)]


def test_the_quarantine_is_listed_shown_and_replayed(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            net.plc_is_down = True
            await net.send(first_commit(new_repo(net), "cats"))
            async with running(net, db, parked_seconds=60.0) as indexer:
                await reached(indexer, net)
            (kept,) = admin.quarantined(db)
            assert admin.quarantined_row(db, kept.id) == kept
            assert kept.frame == net.sent[0][1]
            net.plc_is_down = False
            config = IndexerConfig(db=db, plc=net.plc, dev=True)
            assert await asyncio.to_thread(admin.replay, config, kept.id) == 1

    asyncio.run(main())
    assert rows(db, "SELECT name FROM datasets") == [("cats",)]
    with pytest.raises(NotFound):
        admin.quarantined_row(db, 1)


def test_what_is_dropped_for_the_same_reason_again_counts_once(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset())).without("prevData"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            config = IndexerConfig(db=db, plc=net.plc, dev=True)
            before = admin.quarantined(db)
            for _ in range(2):
                assert await asyncio.to_thread(admin.replay, config) == 0
            assert admin.quarantined(db) == before

    asyncio.run(main())
    assert rows(db, "SELECT * FROM drops") == [("missing_prev_data", 1)]


def test_what_turns_out_to_be_invalid_is_let_go_of_all_the_same(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            net.plc_is_down = True
            bad = (create(f"{DATASET}/{name}", dataset(7)) for name in "abc")
            await net.send(new_repo(net).commit(*bad))
            async with running(net, db, parked_seconds=60.0) as indexer:
                await reached(indexer, net)
            net.plc_is_down = False
            config = IndexerConfig(db=db, plc=net.plc, dev=True)
            assert await asyncio.to_thread(admin.replay, config) == 1
            assert await asyncio.to_thread(admin.replay, config) == 0, "none of the three records"

    asyncio.run(main())
    assert rows(db, "SELECT count(*) FROM invalid_records") == [(3,)]


def test_the_same_frame_of_two_sources_is_let_go_of_twice(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net, Firehose() as other:
            net.plc_is_down = True
            message = first_commit(new_repo(net), "cats")
            await net.send(message)
            await other.send(message)
            async with running(net, db, other, parked_seconds=60.0) as indexer:
                await reached(indexer, net)
                await reached(indexer, other)
            assert len(admin.quarantined(db)) == 2
            net.plc_is_down = False
            config = IndexerConfig(db=db, plc=net.plc, dev=True)
            assert await asyncio.to_thread(admin.replay, config) == 2

    asyncio.run(main())
    assert rows(db, "SELECT name FROM datasets") == [("cats",)]


def compared(net: Firehose, db: Path) -> list[admin.Difference]:
    return admin.differences(IndexerConfig(db=db, plc=net.plc, dev=True))


def test_what_is_hidden_here_and_served_there_differs(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            hidden = account(repo.did, active=False, status="suspended")
            await net.send(first_commit(repo, "cats"), hidden)
            async with running(net, db) as indexer:
                await reached(indexer, net)
            (found,) = await asyncio.to_thread(compared, net, db)
            assert found == admin.Difference(repo.did, "hidden (suspended)", f"rev {repo.rev}")
            del net.repos[repo.did]
            assert await asyncio.to_thread(compared, net, db) == []

    asyncio.run(main())


def test_what_a_source_lists_and_the_index_does_not_know_differs(tmp_path: Path) -> None:
    """Record by record. A repo that is listed and holds nothing of ours is no difference."""
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            unknown, other = new_repo(net, 5), new_repo(net, 6)
            first_commit(unknown, "dogs")
            other.commit(create("app.bsky.feed.post/3k2yihcrp2c2a", {"text": "hello"}))
            (found,) = await asyncio.to_thread(compared, net, db)
            assert (found.uri, found.ours) == (f"at://{unknown.did}/{DATASET}/dogs", None)

    asyncio.run(main())


def test_a_source_whose_list_breaks_off_is_named(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net, Firehose() as relay:
            await relay.send(first_commit(new_repo(net), "cats"))
            async with running(net, db, relay) as indexer:
                await reached(indexer, relay)
            relay.plc_is_down = True
            (found,) = await asyncio.to_thread(compared, net, db)
            assert found.uri == relay.url
            assert "answered 502" in (found.ours or "")

    asyncio.run(main())


def test_a_repo_that_is_not_tracked_cannot_be_compared(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"
    open_database(db).close()
    with pytest.raises(NotFound, match="has no repo"):
        admin.differences(IndexerConfig(db=db), (plc_did(1),))
    with pytest.raises(InvalidSyntax):
        admin.differences(IndexerConfig(db=db), ("nobody",))

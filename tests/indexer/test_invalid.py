"""Records that no known lexicon explains: held apart, never lost, judged again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import duckdb

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from atdata.protocol.syntax import Tid
from indexer import admin
from indexer.batch import RepoState, SyncState
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.quarantine import QuarantineLimits
from indexer.reexamine import Reexamined, reexamine
from indexer.store import Store
from indexer.tables import InvalidRow
from indexer.versions import Version, judged, store_version
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
from tests.indexer.repo_builder import create, delete, update

ALICE, BOB = plc_did(1), plc_did(2)
SOURCE = "wss://relay.example"
NOW = 1_700_000_000_000_000
REV = str(Tid.from_parts(NOW, 1))


def version(did: str, rkey: str, name: object, more: str = "") -> Version:
    block = cbor.encode(dataset(name, more=more))
    return Version(did, DATASET, rkey, Cid.of(block), REV, block)


def store(store: Store, *versions: Version, at: int = NOW) -> int:
    batch = store.batch()
    for i, item in enumerate(versions):
        store_version(batch, item, SOURCE, at + i)
        batch.set_repo(batch.repo(item.did) or RepoState(item.did, sync_state=SyncState.SYNCED))
    return store.apply(batch)


def held(store: Store) -> set[tuple[str, str]]:
    return {(row.did, row.rkey) for row in store.invalid.newest(100)}


def opened(limit: int = 1_000_000) -> Store:
    return Store(open_database(":memory:"), limits=QuarantineLimits(invalid_bytes=limit))


def test_it_takes_the_place_of_the_version_that_was_valid_and_gives_it_back() -> None:
    index = opened()
    assert store(index, version(ALICE, "a", "cats"), version(ALICE, "b", 7)) == 1
    assert (held(index), index.quarantined) == ({(ALICE, "b")}, 1)
    assert store(index, version(ALICE, "a", 7)) == 1, "the valid one is gone"
    assert held(index) == {(ALICE, "a"), (ALICE, "b")}
    assert store(index, version(ALICE, "a", 8)) == 0, "one that is not shown, for another"
    assert store(index, version(ALICE, "b", "dogs")) == 1
    assert held(index) == {(ALICE, "a")}
    assert index.documents_by_uri(ALICE).keys() == {
        f"at://{ALICE}/{DATASET}/a",
        f"at://{ALICE}/{DATASET}/b",
    }


def test_it_goes_with_its_record_and_with_its_account() -> None:
    index = opened()
    store(index, *(version(did, rkey, 7) for did in (ALICE, BOB) for rkey in "ab"))
    batch = index.batch()
    batch.delete(ALICE, version(ALICE, "a", 7).doc)
    batch.purge(BOB)
    index.apply(batch)
    assert (held(index), index.quarantined) == ({(ALICE, "b")}, 1)


def test_another_accounts_record_is_not_touched_by_one_of_the_same_key() -> None:
    index = opened()
    mine = version(ALICE, "a", "cats")
    store(index, mine)
    bad = judged(version(BOB, "a", 7), SOURCE, NOW)
    assert isinstance(bad, InvalidRow)
    batch = index.batch()
    batch.docs[mine.doc] = BOB, bad
    batch.docs[mine.doc] = BOB, InvalidRow(mine.doc, *(getattr(bad, n) for n in bad.__slots__[1:]))
    index.apply(batch)
    assert index.documents(ALICE).valid == {mine.doc: str(mine.cid)}
    assert (held(index), index.drops["key_collision"]) == (set(), 1)


def test_bytes_are_bounded_the_oldest_go_and_the_rows_stay(tmp_path: Path) -> None:
    path = tmp_path / "index.duckdb"
    with open_database(path) as connection:
        index = Store(connection, limits=QuarantineLimits(invalid_bytes=10_000))
        for i in range(8):
            store(index, version(ALICE, f"r{i}", 7, more="x" * 3_000), at=NOW + i)
        assert (index.invalid.rows, index.invalid.bytes < 10_000) == (8, True)
        kept = [row.rkey for row in index.invalid.newest(8) if row.block is not None]
        assert kept == ["r7", "r6"]
        index.close()
    with open_database(path) as connection:
        again = Store(connection)
        assert (again.invalid.rows, again.invalid.bytes) == (8, index.invalid.bytes)
        assert len(held(again)) == 8
        found = reexamine(again, NOW)
        assert (found.valid, found.invalid, found.to_fetch) == (0, 2, (ALICE,))
        again.close()


def as_an_older_release_left_it(connection: duckdb.DuckDBPyConnection, index: Store) -> None:
    """Two records that are valid, held as if their lexicon had not been known."""
    store(index, version(ALICE, "a", 7), version(ALICE, "b", 7), version(BOB, "c", 7))
    for did, rkey in ((ALICE, "b"), (BOB, "c")):
        good = version(did, rkey, f"{rkey} is fine")
        connection.cursor().execute(
            "UPDATE invalid_records SET block = ?, cid = ? WHERE doc = ?",
            [good.block, str(good.cid), good.doc],
        )


def test_what_the_models_know_by_now_is_shown() -> None:
    connection = open_database(":memory:")
    index = Store(connection)
    as_an_older_release_left_it(connection, index)
    before = index.change
    assert reexamine(index, NOW + 9) == Reexamined(valid=2, invalid=1, to_fetch=())
    names = "SELECT name FROM datasets ORDER BY name"
    assert connection.execute(names).fetchall() == [("b is fine",), ("c is fine",)]
    assert (held(index), index.change - before) == ({(ALICE, "a")}, 2)
    assert reexamine(index, NOW + 9) == Reexamined(valid=0, invalid=1, to_fetch=())
    assert index.drops == {"invalid_record": 3}, "judged again is not dropped again"


# --- with a network -----------------------------------------------------------------------------


def test_an_invalid_record_hides_nothing_from_a_comparison(tmp_path: Path) -> None:
    """Whatever else of its repo is missing is still told, and so is another invalid version."""
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"))
            await net.send(repo.commit(create(f"{DATASET}/bad", dataset(7))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            config = IndexerConfig(db=db, plc=net.plc, dev=True)
            assert await asyncio.to_thread(admin.differences, config) == []
            repo.commit(create(f"{DATASET}/new", dataset("new")))
            repo.commit(update(f"{DATASET}/bad", dataset(8)), delete(f"{DATASET}/cats"))
            found = await asyncio.to_thread(admin.differences, config)
            assert [
                (d.uri.rpartition("/")[2], d.ours is None, d.theirs is None) for d in found
            ] == [("bad", False, False), ("cats", False, True), ("new", True, False)]

    asyncio.run(main())


def test_replaying_everything_lets_go_of_nothing_that_is_still_invalid(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(repo.commit(create(f"{DATASET}/bad", dataset(7))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            config = IndexerConfig(db=db, plc=net.plc, dev=True)
            (kept,) = admin.quarantined(db)
            assert admin.quarantined_row(db, kept.id) == kept
            assert (kept.reason, kept.did) == ("invalid_record", repo.did)
            assert kept.frame == cbor.encode(dataset(7))
            for row in (None, kept.id):
                assert await asyncio.to_thread(admin.replay, config, row) == 0
            assert admin.quarantined(db) == [kept]
            assert await asyncio.to_thread(admin.differences, config) == []

    asyncio.run(main())


def test_a_fetched_repo_judges_what_is_held_again_and_counts_it_once(tmp_path: Path) -> None:
    """Whose bytes are not kept is fetched by the run after ``requeue``."""
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            writes = [create(f"{DATASET}/{key}", dataset(7)) for key in ("bad", "worse")]
            await net.send(repo.commit(*writes))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            with duckdb.connect(str(db)) as connection:
                connection.execute("UPDATE invalid_records SET block = NULL, size = 0")
            assert admin.requeue(db) == Reexamined(0, 0, (repo.did,))
            async with running(net, db) as indexer:
                await until(lambda: indexer.status().resynced == 1, lambda: "fetched")
                await settled(indexer)
            held = rows(db, "SELECT rkey FROM invalid_records WHERE block IS NOT NULL")
            assert sorted(held) == [("bad",), ("worse",)]
            assert rows(db, "SELECT * FROM drops") == [("invalid_record", 2)]
            assert admin.requeue(db) == Reexamined(0, 2, ())

    asyncio.run(main())

"""The store: one transaction per batch, and a file that can be opened again whatever happened."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from atdata.protocol.errors import StoreError
from atdata.protocol.keys import key_of
from atdata.protocol.syntax import Tid
from indexer import arrow
from indexer.batch import Batch, Gap, Position, RepoState, SyncState
from indexer.database import DamagedFile, open_database
from indexer.drops import Drop, DropReason
from indexer.migrations import SCHEMA_VERSION
from indexer.quarantine import QuarantineLimits
from indexer.rows import Envelope, rows_of
from indexer.store import Store
from indexer.tables import Rows
from tests.indexer.network import DATASET, SCHEMA, dataset, plc_did

ALICE, BOB = plc_did(1), plc_did(2)
SOURCE = "wss://relay.example"
NOW = 1_700_000_000_000_000


def put(did: str, rkey: str, name: str = "cats", **members: Any) -> Rows:
    block = cbor.encode(dataset(name, **members))
    rev = str(Tid.from_parts(NOW, 1))
    return rows_of(Envelope(did, DATASET, rkey, str(Cid.of(block)), rev, NOW), block)


def put_schema(did: str, rkey: str, *names: str) -> Rows:
    of = {"$type": "ac.foundation.dataset.schemaType#primitive", "primitive": "str"}
    body: dict[str, Any] = {
        "name": "Schema",
        "version": "1.0.0",
        "createdAt": "2023-11-14T12:00:00Z",
        "fields": [{"name": name, "fieldType": of, "optional": False} for name in names],
    }
    block = cbor.encode(body)
    rev = str(Tid.from_parts(NOW, 1))
    return rows_of(Envelope(did, SCHEMA, rkey, str(Cid.of(block)), rev, NOW), block)


def doc(did: str, rkey: str) -> int:
    return key_of(f"at://{did}/{DATASET}/{rkey}")


def drop(frame: bytes = b"frame", reason: DropReason = DropReason.BAD_SIGNATURE) -> Drop:
    return Drop(reason, "why", SOURCE, 3, ALICE, frame)


class Index:
    """A database and its store, with what tests ask of them."""

    def __init__(self, path: str | Path = ":memory:", **options: Any) -> None:
        self.connection = open_database(path)
        self.store = Store(self.connection, **options)

    def apply(self, *puts: Rows, deletes: tuple[tuple[str, str], ...] = ()) -> int:
        batch = self.store.batch()
        for rows in puts:
            batch.put(rows)
        for did, rkey in deletes:
            batch.delete(did, doc(did, rkey))
        return self.store.apply(batch)

    def all(self, query: str) -> list[Any]:
        return self.connection.cursor().execute(query).fetchall()

    def names(self) -> list[str]:
        return [name for (name,) in self.all("SELECT name FROM datasets ORDER BY name")]

    def changes(self) -> list[tuple[int, int, str]]:
        return self.all("SELECT seq, doc, action FROM changes ORDER BY seq")

    def close(self) -> None:
        self.store.close()
        self.connection.close()


# --- opening ----------------------------------------------------------------------------------


def test_the_file_is_the_same_after_it_was_closed(tmp_path: Path) -> None:
    first = Index(tmp_path / "index.duckdb")
    batch = first.store.batch()
    state = RepoState(
        ALICE, "alice.test", True, "https://pds", False, "suspended", {SOURCE: 4}, "rev", "cid"
    )
    state = replace(state, sync_state=SyncState.DESYNCHRONIZED, sync_error="RepoSuspended")
    gap = Gap(3, 9, None, NOW, "because", NOW)
    batch.set_repo(state)
    batch.put(put(ALICE, "a"))
    batch.advance(Position(SOURCE, 7, NOW - 5, NOW, (gap,)))
    batch.drop(drop(), NOW, keep=True)
    batch.note("sweep", "done")
    first.store.apply(batch)
    first.close()
    again = Index(tmp_path / "index.duckdb").store
    assert again.repo(ALICE) == state
    assert again.is_tracked(ALICE)
    assert not again.is_tracked(BOB)
    assert again.position(SOURCE) == Position(SOURCE, 7, NOW - 5, NOW, (gap,))
    assert again.meta("sweep") == "done"
    assert (again.change, again.drops, again.quarantined) == (1, {"bad_signature": 1}, 1)


def test_refuses_a_file_of_a_newer_version(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.duckdb")
    index.connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    index.close()
    with pytest.raises(StoreError, match="schema version 99"):
        open_database(tmp_path / "index.duckdb")


@pytest.mark.parametrize("version", ["abc", "", "0", "-1", "1_0", " 6", "٦", "9" * 5_000])
@pytest.mark.parametrize("read_only", [False, True])
def test_refuses_a_file_whose_version_is_none(
    tmp_path: Path, version: str, read_only: bool
) -> None:
    """It is neither taken for new, nor for damaged: nothing is done to it."""
    path = tmp_path / "index.duckdb"
    index = Index(path)
    index.connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", [version])
    index.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"schema version .*, which is none") as caught:
        open_database(path, read_only=read_only)
    assert not isinstance(caught.value, DamagedFile)
    assert len(str(caught.value)) < 600
    assert path.read_bytes() == before


def test_refuses_a_database_that_is_not_an_index(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "other.duckdb") as other:
        other.execute("CREATE TABLE precious (x INTEGER)")
    with pytest.raises(StoreError, match="not an index"):
        open_database(tmp_path / "other.duckdb")


def test_a_file_whose_maker_ended_before_it_was_ready_is_made_ready(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.duckdb")
    index.connection.execute("DELETE FROM meta")
    index.close()
    again = Index(tmp_path / "index.duckdb")
    assert again.apply(put(ALICE, "a")) == 1
    assert again.all("SELECT value FROM meta WHERE key = 'schema_version'") == [
        (str(SCHEMA_VERSION),)
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{}/out.csv'",
        "ATTACH '{}/other.duckdb'",
        "SELECT * FROM read_text('{}/secret')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
    ],
)
def test_nothing_outside_the_file_can_be_reached(tmp_path: Path, statement: str) -> None:
    (tmp_path / "secret").write_text("secret")
    connection = open_database(tmp_path / "index.duckdb")
    with pytest.raises(duckdb.Error):
        connection.execute(statement.format(tmp_path))


def test_times_are_utc_wherever_the_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    cursor = open_database(":memory:").cursor()
    assert cursor.execute("SELECT strftime(to_timestamp(0), '%H:%M')").fetchone() == ("00:00",)


def test_arrow_and_ddl_have_the_same_columns() -> None:
    index = Index()
    for table, schema in arrow.SCHEMAS.items():
        columns = "SELECT column_name FROM duckdb_columns() WHERE table_name = ?"
        declared = {name for (name,) in index.connection.execute(columns, [table]).fetchall()}
        assert set(schema.names) == declared, table
    assert {name for (name,) in index.all("SHOW TABLES")} == set(arrow.SCHEMAS)


def test_row_types_have_the_columns_of_their_tables() -> None:
    for kind, table in arrow.DETAIL_TABLES.items():
        assert [f.name for f in fields(kind)] == arrow.SCHEMAS[table].names


# --- one transaction --------------------------------------------------------------------------


def test_a_new_version_replaces_all_rows_of_the_old_one() -> None:
    index = Index()
    index.apply(put(ALICE, "a", "old", tags=["x", "y"]), put_schema(ALICE, "s", "one", "two"))
    index.apply(put(ALICE, "a", "new", tags=["z"]), put_schema(ALICE, "s", "three"))
    assert index.names() == ["new"]
    assert index.all("SELECT tag FROM dataset_tags") == [("z",)]
    assert index.all("SELECT name FROM schema_fields") == [("three",)]
    assert index.all("SELECT count(*) FROM records") == [(2,)]


def test_a_delete_leaves_nothing_but_its_change() -> None:
    index = Index()
    index.apply(put(ALICE, "a", tags=["x"]), put_schema(ALICE, "s", "one"))
    batch = index.store.batch()
    batch.delete(ALICE, doc(ALICE, "a"))
    batch.delete(ALICE, key_of(f"at://{ALICE}/{SCHEMA}/s"))
    index.store.apply(batch)
    for table in ("records", "datasets", "dataset_tags", "schemas", "schema_fields"):
        assert index.all(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert sorted(action for _, _, action in index.changes()) == ["delete", "delete", "put", "put"]


def test_a_delete_of_nothing_is_no_change() -> None:
    index = Index()
    assert index.apply(deletes=((ALICE, "a"),)) == 0
    assert index.changes() == []


def test_of_two_effects_on_one_record_the_later_wins() -> None:
    index = Index()
    batch = index.store.batch()
    batch.put(put(ALICE, "a", "first"))
    batch.put(put(ALICE, "a", "second"))
    batch.put(put(ALICE, "b", "gone"))
    batch.delete(ALICE, doc(ALICE, "b"))
    assert index.store.apply(batch) == 1
    assert index.names() == ["second"]


def test_change_seqs_rise_without_gaps_across_batches_and_restarts(tmp_path: Path) -> None:
    first = Index(tmp_path / "index.duckdb")
    first.apply(put(ALICE, "a"), put(ALICE, "b"))
    first.close()
    again = Index(tmp_path / "index.duckdb")
    again.apply(put(ALICE, "a"), deletes=((ALICE, "b"),))
    assert again.changes() == [
        (1, doc(ALICE, "a"), "put"),
        (2, doc(ALICE, "b"), "put"),
        (3, doc(ALICE, "a"), "put"),
        (4, doc(ALICE, "b"), "delete"),
    ]


def test_a_new_handle_or_pds_says_which_records_to_look_at() -> None:
    """They are found and shown with it, so what is derived from the changes must know."""
    index = Index()
    batch = index.store.batch()
    batch.set_repo(RepoState(ALICE))
    batch.put(put(ALICE, "a"))
    index.store.apply(batch)
    for state, changes in (
        (RepoState(ALICE, handle="claimed.test"), 2),
        (RepoState(ALICE, handle="alice.test", handle_verified=True), 3),
        (RepoState(ALICE, handle="alice.test", handle_verified=True, rev="x"), 3),
        (RepoState(ALICE, handle="new.test", handle_verified=True, rev="x"), 4),
        (
            RepoState(
                ALICE, handle="new.test", handle_verified=True, rev="x", pds="https://b.test"
            ),
            5,
        ),
    ):
        batch = index.store.batch()
        batch.set_repo(state)
        index.store.apply(batch)
        assert len(index.changes()) == changes
    assert index.changes()[-1] == (5, doc(ALICE, "a"), "visibility")


def test_hiding_an_account_keeps_its_rows_and_says_which_to_look_at() -> None:
    index = Index()
    batch = index.store.batch()
    batch.set_repo(RepoState(ALICE))
    batch.put(put(ALICE, "a"))
    batch.put(put(BOB, "b"))
    index.store.apply(batch)
    batch = index.store.batch()
    batch.set_repo(RepoState(ALICE, active=False, status="deactivated"))
    index.store.apply(batch)
    assert index.changes()[2:] == [(3, doc(ALICE, "a"), "visibility")]
    assert index.names() == ["cats", "cats"]
    assert index.all("SELECT did, active, status FROM repos") == [(ALICE, False, "deactivated")]


def test_a_purge_takes_what_is_stored_and_what_came_before_it_but_not_after() -> None:
    index = Index()
    index.apply(put(ALICE, "a", "stored"), put(BOB, "b", "bystander"))
    batch = index.store.batch()
    batch.put(put(ALICE, "c", "before"))
    batch.purge(ALICE)
    batch.put(put(ALICE, "d", "after"))
    index.store.apply(batch)
    assert index.names() == ["after", "bystander"]


def test_a_purge_takes_what_is_kept_of_the_account_in_the_quarantine() -> None:
    index = Index()
    keep(index, b"stored")
    batch = index.store.batch()
    batch.drop(drop(b"before"), NOW, keep=True)
    batch.drop(replace(drop(b"bystander"), did=BOB), NOW, keep=True)
    batch.purge(ALICE)
    batch.drop(drop(b"after"), NOW, keep=True)
    index.store.apply(batch)
    assert index.all("SELECT frame FROM quarantine ORDER BY frame") == [
        (b"after",),
        (b"bystander",),
    ]
    assert index.store.quarantine.rows == 2
    assert index.store.drops == {"bad_signature": 4}, "the counters stay"


def test_a_batch_sees_its_own_effects_and_nobody_else_does_before_it_is_durable() -> None:
    index = Index()
    batch = index.store.batch()
    batch.set_repo(RepoState(ALICE, rev="one"))
    assert batch.repo(ALICE) == RepoState(ALICE, rev="one")
    assert index.store.repo(ALICE) is None
    index.store.apply(batch)
    assert index.store.repo(ALICE) == RepoState(ALICE, rev="one")


def test_positions_of_several_sources() -> None:
    index = Index()
    for url, cursor in ((SOURCE, 5), ("wss://other.example", 900), (SOURCE, 8)):
        batch = index.store.batch()
        batch.advance(Position(url, cursor))
        index.store.apply(batch)
    assert index.all("SELECT url, cursor FROM sources ORDER BY cursor") == [
        (SOURCE, 8),
        ("wss://other.example", 900),
    ]


def test_text_and_times_at_the_edges_are_stored() -> None:
    index = Index()
    index.apply(put(ALICE, "a", "a\x00'; DROP TABLE records; --", createdAt="0001-01-01T00:00:00Z"))
    assert index.names() == ["a\ufffd'; DROP TABLE records; --"]
    assert index.all("SELECT epoch_us(sort_at) FROM records")[0][0] < -62_000_000_000_000_000


# --- failure ----------------------------------------------------------------------------------


def test_a_transaction_that_fails_leaves_no_trace_and_stops_the_store() -> None:
    """Another writer holds the same row: DuckDB refuses, half way through our transaction."""
    index = Index()
    batch = index.store.batch()
    batch.advance(Position(SOURCE, 1))
    batch.set_repo(RepoState(ALICE, rev="one"))
    index.store.apply(batch)
    rival = index.connection.cursor()
    rival.execute("BEGIN")
    rival.execute("DELETE FROM sources")

    batch = index.store.batch()
    batch.put(put(ALICE, "a"))
    batch.set_repo(RepoState(ALICE, rev="two"))
    batch.advance(Position(SOURCE, 2))
    with pytest.raises(StoreError, match="cannot write the index"):
        index.store.apply(batch)
    rival.execute("ROLLBACK")

    assert index.names() == []
    assert index.changes() == []
    assert index.all("SELECT cursor FROM sources") == [(1,)]
    assert index.store.position(SOURCE) == Position(SOURCE, 1)
    assert index.store.repo(ALICE) == RepoState(ALICE, rev="one")
    with pytest.raises(StoreError, match="cannot be written since"):
        index.store.apply(index.store.batch())
    assert Store(index.connection).apply(index.store.batch()) == 0


def test_readers_see_all_of_a_batch_or_nothing() -> None:
    index = Index()
    reader = index.connection.cursor()
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM records").fetchone() == (0,)
    for round_ in range(20):
        index.apply(put(ALICE, "a", f"name {round_}"), put(ALICE, "b"))
    assert reader.execute("SELECT count(*) FROM records").fetchone() == (0,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM records").fetchone() == (2,)


# --- drops and quarantine ---------------------------------------------------------------------


def test_drops_are_counted_and_only_some_are_kept() -> None:
    index = Index()
    batch = index.store.batch()
    batch.drop(drop(reason=DropReason.STALE_REV), NOW, keep=False)
    batch.drop(drop(reason=DropReason.STALE_REV), NOW, keep=False)
    batch.drop(drop(b"bytes"), NOW, keep=True)
    index.store.apply(batch)
    assert index.store.drops == {"stale_rev": 2, "bad_signature": 1}
    assert index.all("SELECT source, seq, did, reason, detail, frame FROM quarantine") == [
        (SOURCE, 3, ALICE, "bad_signature", "why", b"bytes")
    ]


def keep(index: Index, *frames: bytes, at: int = NOW) -> None:
    batch = index.store.batch()
    for i, frame in enumerate(frames):
        batch.drop(drop(frame), at + i, keep=True)
    index.store.apply(batch)


def test_the_same_drop_is_counted_again_and_kept_once() -> None:
    index = Index()
    keep(index, b"x", b"x")
    keep(index, b"x", at=NOW + 9)
    assert index.store.drops == {"bad_signature": 3}
    assert (index.store.quarantined, index.all("SELECT count(*) FROM quarantine")) == (1, [(1,)])


def test_the_quarantine_is_bounded_by_rows_the_oldest_go_first() -> None:
    index = Index(limits=QuarantineLimits(rows=10))
    keep(index, *(b"%d" % i for i in range(11)))
    kept = [frame for (frame,) in index.all("SELECT frame FROM quarantine ORDER BY kept_at")]
    assert kept == [b"%d" % i for i in range(3, 11)]
    assert index.store.quarantined == 8


def test_the_quarantine_is_bounded_by_bytes() -> None:
    index = Index(limits=QuarantineLimits(bytes=1_000))
    keep(index, *(bytes([i]) * 300 for i in range(4)))
    assert index.all("SELECT count(*), sum(octet_length(frame)) FROM quarantine") == [(2, 600)]


def test_what_was_let_go_gives_its_space_back(tmp_path: Path) -> None:
    """Whoever sends rubbish without end fills neither the disk nor the memory. (Rows that were
    deleted stay in a table that has a primary key.)"""
    path = tmp_path / "index.duckdb"
    index = Index(path, limits=QuarantineLimits(rows=300, bytes=10_000_000))
    sizes: list[int] = []
    for _ in range(15):
        batch = index.store.batch()
        for _ in range(100):
            batch.drop(drop(os.urandom(10_000)), NOW, keep=True)
        batch.set_repo(RepoState(ALICE))
        batch.advance(Position(SOURCE, len(sizes) + 1))
        index.store.apply(batch)
        index.connection.execute("CHECKPOINT")
        sizes.append(path.stat().st_size)
    assert index.store.quarantined <= 300
    assert max(sizes) < 12_000_000, sizes  # of 15 MB that passed through


def test_details_of_drops_are_short() -> None:
    index = Index()
    batch = index.store.batch()
    batch.drop(replace(drop(), detail="x" * 10_000), NOW, keep=True)
    index.store.apply(batch)
    assert index.all("SELECT length(detail) FROM quarantine") == [(500,)]


# --- against an obvious model -----------------------------------------------------------------

RKEYS = st.sampled_from(["a", "b", "c"])
DIDS = st.sampled_from([ALICE, BOB])


def test_where_the_disk_is_nearly_full_nothing_more_is_written(tmp_path: Path) -> None:
    path = tmp_path / "index.duckdb"
    Index(path, free_bytes=1).close()
    index = Index(path, free_bytes=2**60)
    for _ in range(2):
        with pytest.raises(StoreError, match="the disk is nearly full"):
            index.apply(put(ALICE, "cats"))
    assert index.names() == []
    index.close()
    index = Index(path, free_bytes=1)
    assert index.apply(put(ALICE, "cats")) == 1
    index.close()


def test_in_memory_and_where_nobody_shall_look_the_disk_is_not_asked(tmp_path: Path) -> None:
    for path, free_bytes in ((":memory:", 2**60), (tmp_path / "index.duckdb", 0)):
        index = Index(path, free_bytes=free_bytes)
        assert index.apply(put(ALICE, "cats")) == 1
        index.close()


EFFECTS = st.one_of(
    st.tuples(st.just("put"), DIDS, RKEYS, st.sampled_from(["x", "y", "z"])),
    st.tuples(st.just("delete"), DIDS, RKEYS),
    st.tuples(st.just("purge"), DIDS),
    st.tuples(st.just("show"), DIDS, st.booleans()),
)


def run(effect: tuple[Any, ...], batch: Batch, model: dict[tuple[str, str], str]) -> None:
    match effect:
        case ("put", did, rkey, name):
            batch.put(put(did, rkey, name, tags=[name]))
            model[did, rkey] = name
        case ("delete", did, rkey):
            batch.delete(did, doc(did, rkey))
            model.pop((did, rkey), None)
        case ("purge", did):
            batch.purge(did)
            for key in [key for key in model if key[0] == did]:
                del model[key]
        case ("show", did, active):
            batch.set_repo(RepoState(did, active=active, sync_state=SyncState.SYNCED))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(EFFECTS, max_size=6), max_size=5))
def test_any_batches_leave_the_rows_of_a_dict(batches: list[list[tuple[Any, ...]]]) -> None:
    """And whoever follows ``changes`` knows which docs are there."""
    index = Index()
    model: dict[tuple[str, str], str] = {}
    for effects in batches:
        batch = index.store.batch()
        for effect in effects:
            run(effect, batch, model)
        index.store.apply(batch)
    expected = sorted((doc(did, rkey), name, name) for (did, rkey), name in model.items())
    query = "SELECT doc, name, tag FROM datasets JOIN dataset_tags USING (doc) ORDER BY doc"
    assert index.all(query) == expected
    assert index.all("SELECT doc FROM records ORDER BY doc") == [(d,) for d, _, _ in expected]
    followed = {changed: action for _, changed, action in index.changes()}
    assert sorted(d for d, a in followed.items() if a != "delete") == [d for d, _, _ in expected]
    seqs = [seq for seq, _, _ in index.changes()]
    assert seqs == list(range(1, len(seqs) + 1))
    index.close()


def test_a_record_whose_key_was_searched_for_cannot_replace_or_remove_anothers() -> None:
    index = Index()
    index.apply(put(ALICE, "cats"))
    key = doc(ALICE, "cats")
    forged = put(BOB, "dogs")
    forged = replace(
        forged,
        record=replace(forged.record, doc=key),
        detail=replace(forged.detail, doc=key),
        tags=(),
    )
    index.apply(forged)
    assert index.all("SELECT did, doc FROM records") == [(ALICE, key)]
    batch = index.store.batch()
    batch.delete(BOB, key)
    assert index.store.apply(batch) == 0
    assert index.all("SELECT count(*) FROM records") == index.all("SELECT count(*) FROM datasets")
    assert index.all("SELECT did FROM records") == [(ALICE,)]
    assert index.store.drops == {"key_collision": 2}

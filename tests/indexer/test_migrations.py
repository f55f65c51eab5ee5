"""Files of earlier schema versions: brought forward with all that they hold, or refused."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from atdata.protocol.errors import StoreError
from indexer.batch import Position, RepoState, SyncState
from indexer.database import open_database
from indexer.migrations import SCHEMA_VERSION
from indexer.snapshots import check, folder_of, opened, paths
from indexer.store import Store

SCHEMAS = Path(__file__).parent / "schemas"
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
CHANGES = "range(7, 200000)"


@pytest.fixture(params=[1, 2, 3, 4, 6])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A closed file as an earlier release wrote it, with a repo, a source and a drop."""
    path, version = tmp_path / "index.duckdb", request.param
    with duckdb.connect(str(path)) as connection:
        connection.execute((SCHEMAS / f"v{version}.sql").read_text(encoding="utf-8"))
        connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", [str(version)])
        connection.execute(
            "INSERT INTO repos (repo, did, handle, rev, data_cid, sync_state)"
            " VALUES (7, ?, 'alice.test', 'rev', 'cid', 'desynchronized')",
            [DID],
        )
        connection.execute("INSERT INTO sources (source, url, cursor) VALUES (1, 'wss://x', 42)")
        connection.execute("INSERT INTO drops VALUES ('bad_signature', 3)")
        connection.execute(f"INSERT INTO changes SELECT i, -i, 'put' FROM {CHANGES} t(i)")
    return path


def version_of(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        query = "SELECT value FROM meta WHERE key = 'schema_version'"
        ((value,),) = connection.execute(query).fetchall()
    return int(value)


def columns(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, ...]]:
    """In any order: a migrated table has its new columns last."""
    query = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns()"
    return sorted(connection.execute(query).fetchall())


def keys(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, ...]]:
    query = "SELECT table_name, constraint_text FROM duckdb_constraints() WHERE constraint_type = ?"
    return sorted(connection.execute(query, ["PRIMARY KEY"]).fetchall())


def test_an_older_file_is_brought_forward_with_all_that_it_holds(
    older: Path,
) -> None:
    with open_database(older) as connection, open_database(":memory:") as new:
        assert columns(connection) == columns(new)
        assert keys(connection) == keys(new)
        store = Store(connection)
    desynchronized = SyncState.DESYNCHRONIZED
    state = RepoState(DID, "alice.test", rev="rev", data_cid="cid", sync_state=desynchronized)
    assert store.repos() == (state,)
    assert store.positions == (Position("wss://x", 42),)
    assert store.drops == {"bad_signature": 3}
    assert store.change == 199_999


def test_the_changes_keep_their_seqs_and_their_order(older: Path) -> None:
    """In which they lie in the file, too, so that few of its blocks are read for the newest."""
    with open_database(older) as connection:
        found = connection.execute("SELECT seq, doc, action FROM changes").fetchall()
    assert found == [(i, -i, "put") for i in range(7, 200_000)]


@pytest.mark.parametrize("older", [1, 2, 3, 4], indirect=True)
def test_repos_of_records_that_were_quarantined_are_fetched_once_more(older: Path) -> None:
    """Invalid records have had a table of their own since version 5, in which none is lost."""
    with duckdb.connect(str(older)) as connection:
        connection.execute("UPDATE repos SET sync_state = 'synced'")
        for row, (reason, did) in enumerate([("invalid_record", DID), ("bad_signature", "did:x")]):
            connection.execute(
                "INSERT INTO quarantine VALUES (?, 'wss://x', 1, ?, ?, 'why', 'bytes', now())",
                [row, did, reason],
            )
            connection.execute(
                "INSERT INTO repos (repo, did, sync_state) VALUES (?, 'did:x', 'synced')", [row]
            )
    with open_database(older) as connection:
        store = Store(connection)
        assert [kept.reason for kept in store.quarantine.newest(9)] == ["bad_signature"]
        states = {state.did: state.sync_state for state in store.repos()}
    assert states == {DID: SyncState.DESYNCHRONIZED, "did:x": SyncState.SYNCED}


def test_it_is_brought_forward_once_and_stays_readable(older: Path) -> None:
    for read_only in (False, True, False):
        with open_database(older, read_only=read_only) as connection:
            query = "SELECT value FROM meta WHERE key = 'schema_version'"
            assert connection.execute(query).fetchall() == [(str(SCHEMA_VERSION),)]


def test_a_migration_that_was_cut_off_is_done_again(older: Path) -> None:
    """The process ended between the new column and the new version."""
    before = version_of(older)
    open_database(older).close()
    with duckdb.connect(str(older)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", [str(before)])
    with open_database(older) as connection:
        assert Store(connection).repo_count == 1


def test_an_old_file_that_may_only_be_read_says_what_to_do(older: Path) -> None:
    with pytest.raises(StoreError, match="open it once for writing"):
        open_database(older, read_only=True)


def test_before_a_migration_a_snapshot_is_taken_of_what_was_there(older: Path) -> None:
    before = version_of(older)
    open_database(older).close()
    (kept,) = paths(folder_of(older))
    found = opened(kept)
    check(found)
    assert found.manifest.schema_version == before
    assert found.manifest.cursors == {"wss://x": 42}
    open_database(older).close()
    assert paths(folder_of(older)) == [kept], "once"


def test_without_that_snapshot_nothing_is_changed(older: Path) -> None:
    before = version_of(older)
    folder_of(older).write_text("in the way")
    with pytest.raises(StoreError, match="without a snapshot"):
        open_database(older)
    assert version_of(older) == before

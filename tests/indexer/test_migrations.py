"""Files of earlier schema versions: brought forward with all that they hold, or refused."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from atdata.protocol.errors import StoreError
from indexer.batch import Position, RepoState, SyncState
from indexer.database import open_database
from indexer.migrations import SCHEMA_VERSION
from indexer.store import Store

SCHEMAS = Path(__file__).parent / "schemas"
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """A closed file as the first release wrote it, with a repo, a source and a drop."""
    path = tmp_path / "index.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute((SCHEMAS / "v1.sql").read_text(encoding="utf-8"))
        connection.execute("INSERT INTO meta VALUES ('schema_version', '1')")
        connection.execute(
            "INSERT INTO repos (repo, did, handle, rev, data_cid, sync_state)"
            " VALUES (7, ?, 'alice.test', 'rev', 'cid', 'desynchronized')",
            [DID],
        )
        connection.execute("INSERT INTO sources (source, url, cursor) VALUES (1, 'wss://x', 42)")
        connection.execute("INSERT INTO drops VALUES ('bad_signature', 3)")
    return path


def columns(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, ...]]:
    """In any order: a migrated table has its new columns last."""
    query = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns()"
    return sorted(connection.execute(query).fetchall())


def test_a_file_of_version_1_is_brought_forward_with_all_that_it_holds(version_1: Path) -> None:
    with open_database(version_1) as connection, open_database(":memory:") as new:
        assert columns(connection) == columns(new)
        store = Store(connection)
    desynchronized = SyncState.DESYNCHRONIZED
    state = RepoState(DID, "alice.test", rev="rev", data_cid="cid", sync_state=desynchronized)
    assert store.repos() == (state,)
    assert store.positions == (Position("wss://x", 42),)
    assert store.drops == {"bad_signature": 3}


def test_it_is_brought_forward_once_and_stays_readable(version_1: Path) -> None:
    for read_only in (False, True, False):
        with open_database(version_1, read_only=read_only) as connection:
            query = "SELECT value FROM meta WHERE key = 'schema_version'"
            assert connection.execute(query).fetchall() == [(str(SCHEMA_VERSION),)]


def test_a_migration_that_was_cut_off_is_done_again(version_1: Path) -> None:
    """The process ended between the new column and the new version."""
    open_database(version_1).close()
    with duckdb.connect(str(version_1)) as connection:
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    with open_database(version_1) as connection:
        assert Store(connection).repo_count == 1


def test_an_old_file_that_may_only_be_read_says_what_to_do(version_1: Path) -> None:
    with pytest.raises(StoreError, match="open it once for writing"):
        open_database(version_1, read_only=True)

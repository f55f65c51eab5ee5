"""Recovery: what is damaged is set aside and restored, and nothing else is touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import structlog

from atdata.protocol.errors import StoreError
from indexer import recovery
from indexer.batch import Position, RepoState
from indexer.database import FILE_ID, open_database
from indexer.migrations import SCHEMA_VERSION
from indexer.recovery import RESTORED, open_or_restore
from indexer.snapshots import DamagedSnapshot, folder_of, paths, take
from indexer.store import Store
from indexer.sweep import LISTED

SOURCE = "wss://relay.example"


@pytest.fixture
def said() -> Iterator[list[Any]]:
    """What was logged."""
    with structlog.testing.capture_logs() as logs:
        yield logs


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """An index with three snapshots, at the cursors 1, 2 and 3, closed at the cursor 4."""
    path = tmp_path / "index.duckdb"
    with open_database(path) as connection:
        for cursor in (1, 2, 3, 4):
            write(connection, cursor)
            if cursor < 4:
                take(connection, folder_of(path), at=cursor)
    return path


def write(connection: duckdb.DuckDBPyConnection, cursor: int) -> None:
    """One transaction of the writer: a repo, a change and the cursor."""
    connection.execute("INSERT INTO changes VALUES (?, ?, 'put')", [cursor, cursor * 1_000])
    store = Store(connection)
    batch = store.batch()
    batch.set_repo(RepoState(f"did:web:n{cursor}.example"))
    batch.note(LISTED + SOURCE, "listed")
    batch.advance(Position(SOURCE, cursor))
    store.apply(batch)


def held(path: Path, **options: Any) -> int:
    """The cursor after opening as the indexer does; the rows must be those of that cursor."""
    with open_or_restore(path, **options) as connection:
        query = "SELECT coalesce(max(cursor), 0), (SELECT count(*) FROM repos) FROM sources"
        ((cursor, repos),) = connection.execute(query).fetchall()
    assert repos == cursor
    return int(cursor)


def noted(path: Path) -> dict[str, Any] | None:
    with open_database(path, read_only=True) as connection:
        found = connection.execute("SELECT value FROM meta WHERE key = ?", [RESTORED]).fetchall()
    return json.loads(found[0][0]) if found else None


def tear(path: Path) -> bytes:
    """Half of the file is gone. Returns what is left of it."""
    path.write_bytes(path.read_bytes()[:300_000])
    return path.read_bytes()


def asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob("index.duckdb.broken-*"))


def test_a_good_file_is_opened_and_nothing_else(db: Path, said: list[Any]) -> None:
    before = sorted(db.parent.rglob("*"))
    assert held(db) == 4
    assert sorted(db.parent.rglob("*")) == before
    assert (noted(db), said) == (None, [])


def test_a_torn_file_is_set_aside_and_the_newest_snapshot_restored(
    db: Path, said: list[Any]
) -> None:
    left = tear(db)
    db.with_name(db.name + ".wal").write_bytes(b"its log")
    assert held(db) == 3
    aside, its_log = asides(db)
    assert aside.read_bytes() == left
    assert its_log.name == aside.name + ".wal"
    assert its_log.read_bytes() == b"its log"
    found = noted(db)
    assert found is not None
    assert (found["snapshot_at"], found["set_aside"]) == (3, aside.name)
    assert "damaged" in found["why"]
    errors = [entry for entry in said if entry["log_level"] == "error"]
    assert errors[-1]["cursors"] == {SOURCE: 3}
    assert held(db) == 3, "and it stays"
    assert len(asides(db)) == 2


def test_what_was_restored_is_listed_again_and_is_another_file(db: Path) -> None:
    with open_database(db) as connection:
        (before,) = connection.execute("SELECT value FROM meta WHERE key = ?", [FILE_ID]).fetchall()
    tear(db)
    held(db)
    with open_database(db) as connection:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        changes = connection.execute("SELECT seq, doc, action FROM changes ORDER BY seq").fetchall()
    assert LISTED + SOURCE not in meta
    assert meta[FILE_ID] != before[0]
    assert [seq for seq, _, _ in changes] == [1, 2, 3, 4]
    assert changes[3][1] != 4_000, "a derived index that holds change 4 finds another one"


def test_of_bad_snapshots_the_next_older_one_is_taken(db: Path, said: list[Any]) -> None:
    third, second, _ = paths(folder_of(db))
    (third / "repos.parquet").write_bytes(b"PAR1")
    (second / "manifest.json").unlink()
    tear(db)
    assert held(db) == 1
    bad = [entry["snapshot"] for entry in said if entry["event"] == "snapshot is no good"]
    assert bad == [third.name, second.name]
    assert {p.name for p in folder_of(db).glob("*.bad")} == {f"{n}.bad" for n in bad}


@pytest.mark.parametrize("snapshots", [True, False])
def test_with_no_good_snapshot_it_begins_anew_and_says_so(
    db: Path, said: list[Any], *, snapshots: bool
) -> None:
    if snapshots:
        for path in paths(folder_of(db)):
            (path / "repos.parquet").unlink()
    else:
        shutil.rmtree(folder_of(db))
    left = tear(db)
    assert held(db) == 0
    assert [path.read_bytes() for path in asides(db)] == [left]
    found = noted(db)
    assert found is not None
    assert found["snapshot_at"] is None
    assert any("begins anew" in entry["event"] for entry in said)
    with open_or_restore(db) as connection:
        write(connection, 1)
    assert held(db) == 1


def test_a_file_that_is_missing_beside_its_snapshots_is_restored(db: Path) -> None:
    db.unlink()
    assert held(db) == 3
    found = noted(db)
    assert found is not None
    assert found["set_aside"] is None
    assert "missing" in found["why"]


def test_a_new_index_is_made_without_a_word(tmp_path: Path, said: list[Any]) -> None:
    assert held(tmp_path / "index.duckdb") == 0
    assert said == []
    assert noted(tmp_path / "index.duckdb") is None


@pytest.mark.parametrize("step", ["aside", "log"])
def test_a_restoration_that_was_cut_off_is_done_again(db: Path, step: str) -> None:
    """The process ended after the file was set aside, or after its log was."""
    tear(db)
    log = db.with_name(db.name + ".wal")
    log.write_bytes(b"its log")
    db.with_name(db.name + ".restoring").write_bytes(b"half of a file")
    aside = db.rename(db.with_name(db.name + ".broken-20260101T000000"))
    if step == "log":
        log.rename(aside.with_name(aside.name + ".wal"))
    assert held(db) == 3
    assert not log.exists()
    assert not db.with_name(db.name + ".restoring").exists()
    kept = {path.read_bytes() for path in asides(db)}
    assert b"its log" in kept


def test_a_file_that_lost_its_log_is_older_than_its_snapshot(tmp_path: Path) -> None:
    """DuckDB opens it without a word, as it was at the last checkpoint."""
    path = tmp_path / "index.duckdb"
    with open_database(path) as connection:
        connection.execute("SET checkpoint_threshold = '1GB'")
        for cursor in (1, 2):
            write(connection, cursor)
        take(connection, folder_of(path), at=5)
        shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").rename(path)
    assert held(path) == 2
    found = noted(path)
    assert found is not None
    assert "has lost what snapshot" in found["why"]
    assert len(asides(path)) == 1


def test_a_suspect_file_is_copied_row_by_row(db: Path) -> None:
    """It can be read, but failed while it was written: nothing is lost, not even the last rows."""
    assert held(db, suspect=True) == 4
    assert len(asides(db)) == 1
    found = noted(db)
    assert found is not None
    assert "failed while it was written" in found["why"]


def test_an_index_whose_keys_are_damaged_keeps_its_rows(db: Path) -> None:
    """Bits are flipped where only the primary keys are: every row can be read, none be found."""
    with open_database(db) as connection:
        rows = "SELECT i, 'name', 'uri', i, NULL, NULL FROM range(20000) t(i)"
        connection.execute(f"INSERT INTO labels {rows}")
    whole = db.read_bytes()
    for offset in range(12_288 + 200_000, len(whole), 262_144):
        for path in asides(db):
            path.unlink()
        db.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        with open_or_restore(db) as connection:
            ((labels,),) = connection.execute("SELECT count(*) FROM labels").fetchall()
        if asides(db) and labels == 20_000:
            return  # set aside, and every row copied
    raise AssertionError("no block held keys alone")


def refused(path: Path) -> str:
    """The message; nothing was moved."""
    before = {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    with pytest.raises(StoreError) as caught:
        open_or_restore(path)
    assert {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()} == before
    return str(caught.value)


def test_a_file_of_another_process_is_left_alone(db: Path) -> None:
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    try:
        assert "another process has it open" in refused(db)
        with pytest.raises(StoreError, match="another process has it open"):
            recovery.restore(db, "a person asked for it")
        assert asides(db) == []
    finally:
        other.communicate(b"\n")
    assert held(db) == 4


def test_a_file_whose_version_is_none_is_left_alone_until_somebody_asks(db: Path) -> None:
    with open_database(db) as connection:
        connection.execute("UPDATE meta SET value = 'abc' WHERE key = 'schema_version'")
    assert "atdata index restore" in refused(db)
    recovery.restore(db, "a person asked for it")
    assert held(db) == 3


def test_a_file_of_a_newer_version_or_with_other_tables_is_left_alone(db: Path) -> None:
    with open_database(db) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    assert "use the newer program" in refused(db)
    db.unlink()
    with duckdb.connect(str(db)) as other:
        other.execute("CREATE TABLE precious (x INTEGER)")
    assert "not an index" in refused(db)


def test_a_person_chooses_which_snapshot(db: Path) -> None:
    third, second, first = paths(folder_of(db))
    found = recovery.restore(db, "a person asked for it", second)
    assert (found.snapshot_at, held(db)) == (2, 2), "and newer ones don't undo it"
    (first / "changes.parquet").unlink()
    with pytest.raises(DamagedSnapshot):
        recovery.restore(db, "a person asked for it", first)
    assert held(db) == 2
    assert third.exists()


def test_a_snapshot_of_an_older_version_is_brought_forward(tmp_path: Path) -> None:
    """Taken before the migration, of a file as the first release wrote it."""
    path = tmp_path / "index.duckdb"
    ddl = (Path(__file__).parent / "schemas" / "v1.sql").read_text(encoding="utf-8")
    with duckdb.connect(str(path)) as connection:
        connection.execute(ddl)
        connection.execute("INSERT INTO meta VALUES ('schema_version', '1')")
        connection.execute("INSERT INTO sources (source, url, cursor) VALUES (1, 'wss://x', 1)")
        connection.execute(
            "INSERT INTO repos (repo, did, sync_state) VALUES (7, 'did:web:a.example', 'synced')"
        )
    open_database(path).close()
    (kept,) = paths(folder_of(path))
    assert json.loads((kept / "manifest.json").read_text())["schema_version"] == 1
    tear(path)
    assert held(path) == 1
    assert not list(tmp_path.glob("*restoring*")), "no snapshot of the snapshot is left"
    with open_database(path, read_only=True) as connection:
        query = "SELECT value FROM meta WHERE key = 'schema_version'"
        assert connection.execute(query).fetchall() == [(str(SCHEMA_VERSION),)]
        assert [state.did for state in Store(connection).repos()] == ["did:web:a.example"]

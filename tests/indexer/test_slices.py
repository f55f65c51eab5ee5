"""Records may have a megabyte each: reading all of them, for a check, a snapshot or to restore one,
stays within the memory that there is."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from indexer import snapshots
from indexer.database import open_database
from indexer.recovery import open_or_restore, restore
from indexer.slices import AT_ONCE, rows_at_once, slices

ROWS, LENGTH = 900, 480_000
MEMORY = "256MB"


def fill(connection: duckdb.DuckDBPyConnection, rows: int, length: int) -> None:
    """``rows`` records whose bodies are ``length`` characters long, no two alike."""
    for first in range(0, rows, 100):
        connection.execute(
            "INSERT INTO records SELECT range, 1, range::VARCHAR, 'did:plc:x', 'dataset', 'n', "
            "'c', 'r', 'cid', 'rev', now(), '', now(), "
            "('\"' || repeat(md5(range::VARCHAR), $length // 32) || '\"')::JSON "
            "FROM range($first, $end)",
            {"first": first, "end": min(rows, first + 100), "length": length},
        )
    connection.execute("CHECKPOINT")


def told(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Without reading all at once."""
    found = [
        connection.execute(
            f"SELECT count(*), bit_xor(hash(record)) FROM records WHERE {within}"
        ).fetchall()[0]
        for within in tuple(slices(connection, "records"))
    ]
    count, digest = 0, 0
    for rows, part in found:
        count, digest = count + rows, digest ^ (part or 0)
    return count, digest


def test_an_index_of_large_records_is_read_copied_and_restored(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"
    with open_database(db) as connection:
        fill(connection, ROWS, LENGTH)
    with open_or_restore(db, memory_limit=MEMORY) as connection:
        with pytest.raises(duckdb.OutOfMemoryException):
            connection.execute("SELECT bit_xor(hash(records)) FROM records").fetchall()
        before = told(connection)
        assert before[0] == ROWS
        made = snapshots.take(connection, snapshots.folder_of(db), at=1)
        assert next(t.rows for t in made.manifest.tables if t.name == "records") == ROWS
    restore(db, "a test wants it")
    with open_or_restore(db, memory_limit=MEMORY) as connection:
        assert told(connection) == before


@pytest.mark.parametrize(("length", "rows"), [(100, 5_000), (100_000, 300)])
def test_slices_have_every_row_once(length: int, rows: int) -> None:
    with open_database(":memory:") as connection:
        assert list(slices(connection, "records")) == ["true"]
        fill(connection, rows, length)
        connection.execute("DELETE FROM records WHERE doc % 7 = 3 OR doc < 20")
        wanted = {doc for (doc,) in connection.execute("SELECT doc FROM records").fetchall()}
        parts = [
            [d for (d,) in connection.execute(f"SELECT doc FROM records WHERE {w}").fetchall()]
            for w in tuple(slices(connection, "records"))
        ]
    assert sorted(doc for part in parts for doc in part) == sorted(wanted)


def test_the_longer_the_records_the_fewer_are_read_at_once() -> None:
    with open_database(":memory:") as connection:
        assert rows_at_once(connection, "records") == 10_000
        fill(connection, 5, 100_000)
        assert rows_at_once(connection, "records") * 100_000 <= AT_ONCE
        assert len(list(slices(connection, "records"))) == 1
        connection.execute("DELETE FROM records")
        fill(connection, 2, 20_000_000)
        assert rows_at_once(connection, "records") == 10

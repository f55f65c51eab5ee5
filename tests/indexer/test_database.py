"""Opening the file: what is in the way is said, and is not taken for damage."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from atdata.protocol.errors import StoreError
from indexer.database import FILE_ID, DamagedFile, open_database, verify

BLOCK = 262_144


def refused(path: Path, *, read_only: bool = False) -> str:
    """What is said of a file that is refused, and left as it was."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError) as caught:
        open_database(path, read_only=read_only)
    assert not isinstance(caught.value, DamagedFile)
    assert (path.read_bytes() if path.is_file() else None) == before
    return str(caught.value)


def test_a_file_that_another_process_has_open(tmp_path: Path) -> None:
    path = tmp_path / "index.duckdb"
    open_database(path).close()
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    try:
        assert "another process has it open" in refused(path)
        assert "another process has it open" in refused(path, read_only=True)
    finally:
        other.communicate(b"\n")
    open_database(path).close()


def test_what_was_never_an_index(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    text.write_text("not a database at all, " * 500)
    assert "it is no DuckDB file" in refused(text)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert "a file of another database" in refused(other)
    with duckdb.connect(str(tmp_path / "other.duckdb")) as mine:
        mine.execute("CREATE TABLE precious (x INTEGER)")
    assert "not an index" in refused(tmp_path / "other.duckdb")


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    assert "it is a directory" in refused(tmp_path)
    assert "its directory does not exist" in refused(tmp_path / "missing" / "index.duckdb")
    assert "there is no such file" in refused(tmp_path / "index.duckdb", read_only=True)


def test_a_file_that_this_process_has_open_otherwise(tmp_path: Path) -> None:
    with open_database(tmp_path / "index.duckdb", threads=1):
        assert "this process has it open" in refused(tmp_path / "index.duckdb")


def whole(path: Path) -> bytes:
    with open_database(path) as connection:
        connection.execute(
            "INSERT INTO changes SELECT i, hash(i) >> 1, 'put' FROM range(20000) t(i)"
        )
        connection.execute("CHECKPOINT")
    return path.read_bytes()


@pytest.mark.parametrize("length", [0, 7, 8, 12, 4096, 8192, 12288, 12289, 200_000])
def test_a_file_cut_short_is_damaged(tmp_path: Path, length: int) -> None:
    path = tmp_path / "index.duckdb"
    path.write_bytes(whole(path)[:length])
    if 0 < length < 12:
        assert "it is no DuckDB file" in refused(path)
        return
    with pytest.raises(DamagedFile):
        open_database(path)


def test_zeros_and_a_file_without_its_magic_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "index.duckdb"
    content = whole(path)
    for damaged in (bytes(8192), content[:8] + b"KCUD" + content[12:]):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile):
            open_database(path)


def test_reading_through_finds_a_flipped_bit_in_any_row(tmp_path: Path) -> None:
    path = tmp_path / "index.duckdb"
    content = whole(path)
    found = 0
    for offset in range(12288 + 100, len(content), BLOCK):
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
        try:
            with open_database(path) as connection:
                rows = connection.execute("SELECT count(*) FROM changes").fetchall()
                assert rows == [(20_000,)], "which reads no row"
                verify(connection, path, "1GB")
        except DamagedFile:
            found += 1
    assert found >= 2
    path.write_bytes(content)
    with open_database(path) as connection:
        verify(connection, path, "1GB")
        limit = connection.execute("SELECT current_setting('memory_limit')").fetchall()
        assert limit == [("953.6 MiB",)], "as before"


def test_each_file_has_an_id_of_its_own_that_stays(tmp_path: Path) -> None:
    query = f"SELECT value FROM meta WHERE key = '{FILE_ID}'"
    ids = []
    for name in ("a.duckdb", "b.duckdb", "a.duckdb"):
        with open_database(tmp_path / name) as connection:
            ids += connection.execute(query).fetchall()
    assert ids[0] == ids[2] != ids[1]

"""The index's DuckDB file: how it is opened, made, brought forward and read through.

Rules protected here are those against the hazards of DuckDB 1.x in docs/invariants.md: all DDL at
open, in its own transaction, then CHECKPOINT; a snapshot before each migration; nothing outside the
file can be reached through it. What is damaged, and what is only refused, are told apart.
"""

from __future__ import annotations

import re
import time
import uuid
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from atdata.protocol.errors import StoreError, quote
from indexer import snapshots
from indexer.migrations import SCHEMA_VERSION, migrate
from indexer.slices import slices

FILE_ID = "file_id"  # in meta

_HEADERS = 3 * 4096
_BLOCK = 262_144
_LOOKED_UP = 500  # keys of each table
_VERSION = re.compile("[1-9][0-9]{0,8}", re.ASCII).fullmatch
_VERIFY_MEMORY = "256MB"

# What DuckDB's message contains, and what it means for a person. Nothing here is damage.
_REFUSALS = (
    ("Could not set lock", "another process has it open, and one process at a time may"),
    ("different configuration", "this process has it open already"),
    ("Trying to read a database file with version", "another version of DuckDB wrote it"),
    ("ncrypted", "it is encrypted"),
    ("No space left", "the disk is full"),
    ("File too large", "a file here may not be as large"),
    ("Out of Memory", "there is not enough memory (memory_limit)"),
    ("Permission denied", "this user may not read and write it"),
    ("Read-only file system", "its file system can't be written"),
    ("Too many open files", "too many files are open"),
    ("Is a directory", "it is a directory"),
    ("No such file or directory", "its directory does not exist"),
    ("database does not exist", "there is no such file"),
    ("external extensions is disabled", "it is a file of another database"),
)
_NO_DAMAGE = (
    duckdb.BinderException,
    duckdb.ConnectionException,
    duckdb.InvalidInputException,
    duckdb.OutOfMemoryException,
    duckdb.PermissionException,
)


class DamagedFile(StoreError):
    """The index's file, or its write-ahead log, can't be read to its end."""


def open_database(
    path: str | Path,
    *,
    read_only: bool = False,
    memory_limit: str = "1GB",
    threads: int = 2,
    has_snapshot: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Open or make the database at ``path`` (``:memory:`` for one that is not kept). Before an
    older one is brought forward a snapshot is taken, unless it ``has_snapshot``.

    Nothing outside the file can be read or written through the connection: no external access, no
    extension beyond those built in (json, parquet, icu). Times are UTC. Raises ``StoreError``
    if the file cannot be opened, is not ours, or was written by a newer version, ``DamagedFile``
    if it is torn.
    """
    connection = connect(path, read_only=read_only, memory_limit=memory_limit, threads=threads)
    try:
        prepare(connection, path, read_only=read_only, has_snapshot=has_snapshot)
    except duckdb.Error as error:
        connection.close()
        raise failure(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect(
    path: str | Path, *, read_only: bool = False, memory_limit: str = "1GB", threads: int = 2
) -> duckdb.DuckDBPyConnection:
    """A connection to whatever database is at ``path``. Raises as ``open_database``."""
    config: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "enable_external_access": False,
        "python_enable_replacements": False,
        "memory_limit": memory_limit,
        "threads": threads,
    }
    was_there = Path(path).exists()
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=config)
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
    except duckdb.Error as error:
        if not was_there and "Could not write file" in str(error):
            Path(path).unlink(missing_ok=True)  # half a header, which would be taken for damage
        raise failure(path, error) from error
    return connection


def failure(path: str | Path, error: duckdb.Error) -> StoreError:
    """What is wrong with the file at ``path``, which is not open, if it made DuckDB say this."""
    name, said = quote(str(path), 200), quote(str(error), 400)
    if (meaning := refusal(error)) is not None:
        return StoreError(f"cannot open the index {name}: {meaning} ({said})")
    if "not a valid DuckDB database file" in str(error) and not _was_one(Path(path)):
        return StoreError(
            f"cannot open the index {name}: it is no DuckDB file (--db takes another)"
        )
    return DamagedFile(f"the index {name} is damaged: {said}")


def refusal(error: BaseException) -> str | None:
    """What is in the way, if DuckDB's ``error`` is not about damage."""
    found = next((meaning for text, meaning in _REFUSALS if text in str(error)), None)
    return found or ("DuckDB refuses it" if isinstance(error, _NO_DAMAGE) else None)


def _was_one(path: Path) -> bool:
    """Whether a file without DuckDB's magic looks like what is left of a DuckDB file."""
    if path.with_name(path.name + ".wal").exists() or snapshots.paths(snapshots.folder_of(path)):
        return True
    size = path.stat().st_size
    with path.open("rb") as file:
        nothing = not file.read(_HEADERS).strip(b"\0")
    return nothing or (size > _HEADERS and (size - _HEADERS) % _BLOCK == 0)


def prepare(
    connection: duckdb.DuckDBPyConnection,
    path: str | Path,
    *,
    read_only: bool,
    has_snapshot: bool = False,
) -> None:
    """Make the tables where there are none; refuse what we do not understand."""
    found = _schema_version(connection, path)
    if found is not None and found > SCHEMA_VERSION:
        raise StoreError(
            f"{quote(str(path), 200)} has schema version {found}, this program knows "
            f"{SCHEMA_VERSION}: use the newer program, or another file"
        )
    if found is not None and found < SCHEMA_VERSION and read_only:
        raise StoreError(
            f"{quote(str(path), 200)} has schema version {found}, this program reads "
            f"{SCHEMA_VERSION}: open it once for writing, which brings it forward"
        )
    if read_only:
        return
    if found is None:
        _make(connection)
    elif found < SCHEMA_VERSION:
        if not has_snapshot:
            _keep(connection, Path(path), found)
        migrate(connection, found)
    connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", [FILE_ID, uuid.uuid4().hex])


def _make(connection: duckdb.DuckDBPyConnection) -> None:
    ddl = resources.files("indexer").joinpath("schema.sql").read_text(encoding="utf-8")
    connection.execute("BEGIN")
    connection.execute(ddl)
    connection.execute("COMMIT")
    connection.execute("CHECKPOINT")
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", [str(SCHEMA_VERSION)]
    )


def _keep(connection: duckdb.DuckDBPyConnection, path: Path, found: int) -> None:
    """A snapshot of what a migration will change. Raises ``StoreError``."""
    if str(path) == ":memory:":
        return
    try:
        snapshots.take(connection, snapshots.folder_of(path), at=time.time_ns() // 1_000)
    except StoreError as error:
        if isinstance(error.__cause__, duckdb.Error):
            raise failure(path, error.__cause__) from error
        raise
    except OSError as error:
        raise StoreError(
            f"{quote(str(path), 200)} has schema version {found} and is not brought forward to "
            f"{SCHEMA_VERSION} without a snapshot, which can't be written: {error}"
        ) from error


def _schema_version(connection: duckdb.DuckDBPyConnection, path: str | Path) -> int | None:
    """None where the tables are missing, or were made by a process that ended just then. Raises
    ``StoreError`` where it is no number of a version."""
    tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
    if not tables:
        return None
    if "meta" not in tables:
        raise StoreError(f"{quote(str(path), 200)} is a DuckDB file, but not an index")
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None:
        return None
    if _VERSION(str(row[0])) is None:
        raise StoreError(
            f"{quote(str(path), 200)} has schema version {quote(str(row[0]))}, which is none; this "
            f"program knows {SCHEMA_VERSION}: use another file, or put a snapshot in its place "
            "(atdata index restore)"
        )
    return int(row[0])


# --- reading it through -----------------------------------------------------------------------


def verify(connection: duckdb.DuckDBPyConnection, path: str | Path, memory_limit: str) -> None:
    """Read every row of every table, and find some through the tables' keys. About 1.5 s per
    million records. Raises ``DamagedFile``; ``StoreError`` if there is not the memory for it."""
    cursor = connection.cursor()
    try:
        cursor.execute(f"SET GLOBAL memory_limit = '{_VERIFY_MEMORY}'")
        for name, key in _tables(cursor):
            for within in tuple(slices(cursor, name)):
                query = f"SELECT bit_xor(hash({name})) FROM {name} WHERE {within}"  # noqa: S608
                cursor.execute(query).fetchall()
            if key is not None:
                _look_up(cursor, name, key)
        cursor.execute("SET GLOBAL memory_limit = ?", [memory_limit])
    except duckdb.Error as error:
        raise failure(path, error) from error
    finally:
        cursor.close()


def _tables(cursor: duckdb.DuckDBPyConnection) -> list[tuple[str, str | None]]:
    """Each table with the column that is its primary key, if it has one."""
    return cursor.execute(
        "SELECT t.table_name, c.constraint_column_names[1] FROM duckdb_tables() t "
        "LEFT JOIN duckdb_constraints() c "
        "ON c.table_name = t.table_name AND c.constraint_type = 'PRIMARY KEY' "
        "ORDER BY t.table_name"
    ).fetchall()


def _look_up(cursor: duckdb.DuckDBPyConnection, table: str, key: str) -> None:
    """Names are the catalog's own, so that they may stand in the statement."""
    sample = f"SELECT {key} FROM {table} USING SAMPLE reservoir({_LOOKED_UP} ROWS)"  # noqa: S608
    keys = [value for (value,) in cursor.execute(sample).fetchall()]
    marks = ", ".join("?" * len(keys)) or "NULL"
    query = f"SELECT count(*) FROM {table} WHERE {key} IN ({marks})"  # noqa: S608
    ((found,),) = cursor.execute(query, keys).fetchall()
    if found != len(keys):
        raise duckdb.DatabaseError(f"{len(keys) - found} of {len(keys)} keys of {table} are lost")

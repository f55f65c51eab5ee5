"""The index's DuckDB file: how it is opened, made and brought forward.

Rules protected here are those against the hazards of DuckDB 1.x in docs/invariants.md: all DDL at
open, in its own transaction, then CHECKPOINT; nothing outside the file can be reached through it.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from atdata.protocol.errors import StoreError, quote
from indexer.migrations import SCHEMA_VERSION, migrate


def open_database(
    path: str | Path,
    *,
    read_only: bool = False,
    memory_limit: str = "1GB",
    threads: int = 2,
) -> duckdb.DuckDBPyConnection:
    """Open or make the database at ``path`` (``:memory:`` for one that is not kept).

    Nothing outside the file can be read or written through the connection: no external access, no
    extension beyond those built in (json, parquet, icu). Times are UTC. Raises ``StoreError``
    if the file cannot be opened, is not ours, or was written by a newer version.
    """
    config: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "enable_external_access": False,
        "python_enable_replacements": False,
        "memory_limit": memory_limit,
        "threads": threads,
    }
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=config)
    except duckdb.Error as error:
        raise StoreError(
            f"cannot open the index {quote(str(path), 200)}: {quote(str(error), 400)} "
            "(one process at a time may write it)"
        ) from error
    try:
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        _prepare(connection, path, read_only=read_only)
    except duckdb.Error as error:
        connection.close()
        raise StoreError(f"cannot prepare {quote(str(path), 200)}: {error}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def _prepare(connection: duckdb.DuckDBPyConnection, path: str | Path, *, read_only: bool) -> None:
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
    if found == SCHEMA_VERSION or read_only:
        return
    if found is not None:
        migrate(connection, found)
        return
    ddl = resources.files("indexer").joinpath("schema.sql").read_text(encoding="utf-8")
    connection.execute("BEGIN")
    connection.execute(ddl)
    connection.execute("COMMIT")
    connection.execute("CHECKPOINT")
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", [str(SCHEMA_VERSION)]
    )


def _schema_version(connection: duckdb.DuckDBPyConnection, path: str | Path) -> int | None:
    """None where the tables are missing, or were made by a process that ended just then."""
    tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
    if not tables:
        return None
    if "meta" not in tables:
        raise StoreError(f"{quote(str(path), 200)} is a DuckDB file, but not an index")
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return None if row is None else int(row[0])

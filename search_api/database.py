"""Reading from DuckDB: one cursor, one snapshot and one time bound per request.

The connection comes from outside: that of the writer in the same process, or of a read-only copy.
A second ``execute`` on one cursor drops the first result, so a session fetches everything at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from atdata.protocol.errors import StoreError
from search_api.deadlines import Deadlines

Row = tuple[Any, ...]


class QueryTimeout(StoreError):
    """A request asked the database for longer than it may."""


class Session:
    """One consistent view of the database, for one request on one thread."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """All rows of one statement. ``params`` are bound, never pasted."""
        return self._cursor.execute(sql, params).fetchall()

    def row(self, sql: str, params: Sequence[object] = ()) -> Row | None:
        """The first row, or None."""
        return self._cursor.execute(sql, params).fetchone()

    def value(self, sql: str, params: Sequence[object] = ()) -> Any:
        """The first column of the first row. The statement must have one."""
        row = self.row(sql, params)
        if row is None:
            raise StoreError(f"the index's database gave no row for: {sql}")
        return row[0]

    def arrow(self, sql: str, rows: int) -> Any:
        """The result as Arrow batches of ``rows`` each, read as they are asked for. To be closed:
        a reader that is left to itself keeps the whole database open."""
        return self._cursor.execute(sql).to_arrow_reader(rows)


class Database:
    """Gives out sessions on a connection that somebody else owns."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float = 5.0) -> None:
        """``seconds`` bounds each session as a whole."""
        self._connection = connection
        self._seconds = seconds
        self._deadlines = Deadlines()

    @contextmanager
    def session(self, seconds: float | None = None) -> Iterator[Session]:
        """A read transaction. Raises ``QueryTimeout`` when it takes longer than its bound, and
        ``StoreError`` when the database cannot answer."""
        cursor = self._connection.cursor()
        try:
            with self._deadlines.within(seconds or self._seconds, cursor.interrupt):
                cursor.execute("BEGIN TRANSACTION READ ONLY")
                yield Session(cursor)
        except duckdb.InterruptException as error:
            raise QueryTimeout("the database took too long to answer") from error
        except duckdb.Error as error:
            raise StoreError(f"the database cannot answer: {error}") from error
        finally:
            cursor.close()


def connect_read_only(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a published copy of the index. Raises ``StoreError`` if it is none, or is being written
    by another process."""
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise StoreError(f"cannot open the index at {path}: {error}") from error


FEW_KEYS = 100  # that are looked up one by one


def among(column: str, keys: Sequence[object]) -> tuple[str, list[object]]:
    """A condition and its parameters: few keys are looked up, for many the table is scanned."""
    if len(keys) <= FEW_KEYS:
        return f"{column} IN ({marks(keys)})", list(keys)
    return f"{column} = ANY(?)", [list(keys)]


def picked(docs: Sequence[int], *tables: str) -> tuple[str, list[object]]:
    """``WITH …``, and its parameters: in what follows each of ``tables`` has only the rows of
    ``docs``. Where such a condition stands behind joins, DuckDB goes through all records first."""
    chosen, keys = among("doc", docs)
    parts = (
        f"{table} AS MATERIALIZED (SELECT * FROM main.{table} WHERE {chosen})"  # noqa: S608
        for table in tables
    )
    return f"WITH {', '.join(parts)} ", keys * len(tables)


def marks(values: Sequence[object]) -> str:
    """``?, ?, ?`` for an IN list. For keys, an index lookup where a join would be a scan."""
    return ", ".join("?" * len(values))

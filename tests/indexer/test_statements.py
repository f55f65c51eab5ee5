"""Rows and keys reach DuckDB by two ways, few and many, which must do the same."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from indexer import arrow
from indexer.database import open_database
from indexer.statements import delete, insert, with_keys
from indexer.tables import DatasetRow, FieldRow, RecordRow

EDGES: list[tuple[str, list[Any]]] = [
    (
        "changes",
        [arrow.ChangeRow(1, 2**62, "put"), arrow.ChangeRow(2, 0, "it's; DROP TABLE changes; --")],
    ),
    (
        "quarantine",
        [
            arrow.QuarantineRow(1, "wss://a", None, None, "r", "", b"", 0),
            arrow.QuarantineRow(2, "wss://a", 2**53, "did:a", "r", "é\n", bytes(range(256)), -1),
        ],
    ),
    (
        "sources",
        [
            arrow.SourceRow(1, "wss://a", 2**53, None, None, "[]", None),
            arrow.SourceRow(2, "wss://b", 0, -62_135_596_800_000_000, 2**50, "[1]", "why"),
        ],
    ),
    ("datasets", [DatasetRow(3, "n", None, "at://x", 4, None, None, "blobs", None, None, None)]),
    (
        "schema_fields",
        [
            FieldRow(3, 0, "a", "ndarray", "float32", "[2,null]", None, False, None),
            FieldRow(3, 1, "b", "str", None, None, None, True, "what"),
        ],
    ),
    (
        "records",
        [
            RecordRow(
                *(9, 8, "at://x/y/z", "did:plc:x", "dataset", "n", "y", "z", "bafy", "3k"),
                *(1_700_000_000_000_001, "2023", -1, '{"a": "\\u0001é"}'),
            )
        ],
    ),
]


@pytest.fixture
def cursor() -> duckdb.DuckDBPyConnection:
    return open_database(":memory:").cursor()


def stored(cursor: duckdb.DuckDBPyConnection, table: str) -> list[Any]:
    return cursor.execute(
        f"SELECT DISTINCT COLUMNS(*)::VARCHAR FROM {table} ORDER BY ALL"
    ).fetchall()


@pytest.mark.parametrize(("table", "rows"), EDGES, ids=[table for table, _ in EDGES])
def test_few_rows_are_written_as_many_are(
    cursor: duckdb.DuckDBPyConnection, table: str, rows: list[Any]
) -> None:
    insert(cursor, table, rows)
    few = stored(cursor, table)
    assert len(few) == len(rows)
    cursor.execute(f"DELETE FROM {table}")
    with arrow.registered(cursor, "incoming", arrow.table(table, rows)):
        cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
    assert stored(cursor, table) == few


@pytest.mark.parametrize("count", [1, 400, 401, 3_000])
def test_any_number_of_rows_is_written_found_and_removed(
    cursor: duckdb.DuckDBPyConnection, count: int
) -> None:
    insert(cursor, "changes", [arrow.ChangeRow(2 * i, i, "put") for i in range(count)])
    query = "SELECT seq FROM changes WHERE seq IN {keys} ORDER BY seq"
    assert [seq for (seq,) in with_keys(cursor, query, range(2 * count))] == [
        2 * i for i in range(count)
    ]
    delete(cursor, "changes", "seq", [2 * i for i in range(count) if i % 2 == 0])
    left = cursor.execute("SELECT count(*), min(doc) FROM changes").fetchone()
    assert left == (count // 2, 1 if count > 1 else None)


def test_no_keys_find_and_remove_nothing(cursor: duckdb.DuckDBPyConnection) -> None:
    insert(cursor, "changes", [])
    insert(cursor, "changes", [arrow.ChangeRow(1, 1, "put")])
    delete(cursor, "changes", "seq", [])
    assert with_keys(cursor, "SELECT seq FROM changes WHERE seq IN {keys}", []) == []
    assert cursor.execute("SELECT count(*) FROM changes").fetchone() == (1,)

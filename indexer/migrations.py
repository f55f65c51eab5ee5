"""How a file of an earlier schema version becomes one of this version: forward, step by step.

Rules protected here: DDL stands in a transaction of its own, followed by CHECKPOINT before any row
is written, and every step can be run again, since a process may end between the two. A step is
never changed once it was released; ``schema.sql`` says what all of them together lead to.
"""

from __future__ import annotations

import duckdb

SCHEMA_VERSION = 7


_INVALID_RECORDS = """
CREATE TABLE IF NOT EXISTS invalid_records (
    doc BIGINT NOT NULL, repo BIGINT NOT NULL, did VARCHAR NOT NULL, collection VARCHAR NOT NULL,
    rkey VARCHAR NOT NULL, cid VARCHAR NOT NULL, rev VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    detail VARCHAR NOT NULL, source VARCHAR NOT NULL, kept_at TIMESTAMPTZ NOT NULL,
    size BIGINT NOT NULL, block BLOB)
"""
_FETCH_INVALID = """
UPDATE repos SET sync_state = 'desynchronized' WHERE sync_state = 'synced' AND did IN (
    SELECT did FROM quarantine
    WHERE reason IN ('invalid_record', 'invalid_record_cbor', 'oversized_record'))
"""
_LET_GO_OF_INVALID = """
DELETE FROM quarantine
WHERE reason IN ('invalid_record', 'invalid_record_cbor', 'oversized_record')
"""


def _without_key(table: str, columns: str) -> tuple[str, ...]:
    """The same table and rows, but no primary key, which no statement takes away."""
    return (
        f"ALTER TABLE {table} RENAME TO {table}_before",
        f"CREATE TABLE {table} ({columns})",
        f"INSERT INTO {table} BY NAME SELECT * FROM {table}_before",  # noqa: S608
        f"DROP TABLE {table}_before",
    )


_STEPS: dict[int, tuple[str, ...]] = {
    2: ("ALTER TABLE repos ADD COLUMN IF NOT EXISTS sync_error VARCHAR",),
    3: ("ALTER TABLE sources ADD COLUMN IF NOT EXISTS halted_because VARCHAR",),
    4: (
        *_without_key(
            "sources",
            "source BIGINT NOT NULL, url VARCHAR NOT NULL, cursor BIGINT NOT NULL, event_time "
            "TIMESTAMPTZ, seen_at TIMESTAMPTZ, gaps JSON NOT NULL DEFAULT '[]', "
            "halted_because VARCHAR",
        ),
        *_without_key(
            "repos",
            "repo BIGINT NOT NULL, did VARCHAR NOT NULL, handle VARCHAR, handle_verified "
            "BOOLEAN NOT NULL DEFAULT false, pds VARCHAR, active BOOLEAN NOT NULL DEFAULT "
            "true, status VARCHAR, account_seq JSON NOT NULL DEFAULT '{}', rev VARCHAR, "
            "data_cid VARCHAR, sync_state VARCHAR NOT NULL, sync_error VARCHAR",
        ),
        *_without_key(
            "quarantine",
            "id BIGINT NOT NULL, source VARCHAR NOT NULL, seq BIGINT, did VARCHAR, reason "
            "VARCHAR NOT NULL, detail VARCHAR NOT NULL, frame BLOB NOT NULL, kept_at "
            "TIMESTAMPTZ NOT NULL",
        ),
        *_without_key(
            "drops",
            "reason VARCHAR NOT NULL, count BIGINT NOT NULL",
        ),
    ),
    5: (_INVALID_RECORDS,),
    # Invalid records were in the quarantine, as frames, and could be lost from it: their repos are
    # fetched once more, which puts each in its own row.
    6: (_FETCH_INVALID, _LET_GO_OF_INVALID),
    # Changes are removed, too: without a key DuckDB gives their space back.
    7: _without_key(
        "changes",
        "seq BIGINT NOT NULL, doc BIGINT NOT NULL, action VARCHAR NOT NULL",
    ),
}
"""Version → the statements that lead to it from the one before."""


def migrate(connection: duckdb.DuckDBPyConnection, found: int) -> None:
    """From schema version ``found`` to ``SCHEMA_VERSION``. Raises ``duckdb.Error``; then the file
    still has the version that it had."""
    for version in range(found + 1, SCHEMA_VERSION + 1):
        connection.execute("BEGIN")
        for statement in _STEPS[version]:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
        connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", [str(version)]
        )

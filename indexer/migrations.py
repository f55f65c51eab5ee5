"""How a file of an earlier schema version becomes one of this version: forward, step by step.

Rules protected here: DDL stands in a transaction of its own, followed by CHECKPOINT before any row
is written, and every step can be run again, since a process may end between the two. A step is
never changed once it was released; ``schema.sql`` says what all of them together lead to.
"""

from __future__ import annotations

import duckdb

SCHEMA_VERSION = 3

_STEPS: dict[int, tuple[str, ...]] = {
    2: ("ALTER TABLE repos ADD COLUMN IF NOT EXISTS sync_error VARCHAR",),
    3: ("ALTER TABLE sources ADD COLUMN IF NOT EXISTS halted_because VARCHAR",),
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

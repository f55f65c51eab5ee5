"""How many rows of a table are read at once.

Rule protected here: invariant 8, whatever authors put into their records, reading a whole table
takes a bounded amount of memory. DuckDB reads 2,048 rows at a time, of which each may have a
megabyte; a few rows at a time it only reads if these are asked for by number.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

AT_ONCE = 64_000_000  # bytes, as far as the longest texts of the table let them be foreseen
_MOST, _LEAST = 10_000, 10  # rows
_VECTOR = 2_048  # rows that DuckDB reads at once, if it may
# What the storage of each piece of a column says of it; of a text only the first 8 bytes are there.
_LONGEST = r"""
SELECT coalesce(sum(longest), 0) FROM (
    SELECT max(TRY_CAST(regexp_extract(stats, 'Max String Length: (\d+)', 1) AS BIGINT)) AS longest
    FROM pragma_storage_info(?) GROUP BY column_name)
"""


def rows_at_once(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    """So many rows of ``table`` have at most ``AT_ONCE`` bytes, if not a single one has a tenth."""
    ((longest,),) = cursor.execute(_LONGEST, [table]).fetchall()
    return max(_LEAST, min(_MOST, AT_ONCE // max(1, int(longest))))


def slices(cursor: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    """Conditions that part the rows of ``table``: one for all of them where they are short. Names
    are the catalog's own, so that they may stand in a statement."""
    rows = rows_at_once(cursor, table)
    if rows >= _VECTOR:
        yield "true"
        return
    query = f"SELECT coalesce(min(rowid), 0), coalesce(max(rowid), 0) FROM {table}"  # noqa: S608
    ((first, last),) = cursor.execute(query).fetchall()
    for start in range(first, last + 1, rows):
        yield f"rowid BETWEEN {start} AND {start + rows - 1}"

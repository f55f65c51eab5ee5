"""DuckDB's memory follows its file, where the indexer is alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import duckdb
import pytest

from indexer.database import open_database
from indexer.memory import alone, following, limit_for


def bytes_of(connection: duckdb.DuckDBPyConnection) -> int:
    """The limit in force, as DuckDB rounds it to MiB."""
    query = "SELECT current_setting('memory_limit')"
    ((text,),) = connection.cursor().execute(query).fetchall()
    number, unit = str(text).split()
    return round(float(number) * {"MiB": 1 << 20, "GiB": 1 << 30}[unit])


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        (0, "128000000B"),
        (256_000_000, "128000000B"),
        (600_000_000, "300000000B"),
        (9_000_000_000, "1000000000B"),
    ],
)
def test_half_of_the_file_within_bounds(size: int, limit: str) -> None:
    assert limit_for(size) == limit


def test_a_file_that_grows_gets_more(tmp_path: Path) -> None:
    """Its size is that of another file, which has holes."""
    large = tmp_path / "large"

    async def main() -> list[int]:
        with open_database(tmp_path / "i.duckdb", memory_limit=alone(large)) as connection:
            seen = [bytes_of(connection)]
            async with following(connection, large, 0.01):
                with large.open("wb") as file:
                    file.truncate(800_000_000)
                async with asyncio.timeout(10):
                    while bytes_of(connection) == seen[0]:
                        await asyncio.sleep(0.01)
                seen.append(bytes_of(connection))
            return seen

    assert asyncio.run(main()) == [pytest.approx(128e6, rel=0.01), pytest.approx(400e6, rel=0.01)]

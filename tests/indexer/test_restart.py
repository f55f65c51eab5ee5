"""A process whose database failed begins anew, once."""

from __future__ import annotations

import asyncio
import re
import resource
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import duckdb
import pytest

from atdata.protocol.errors import StoreError
from indexer.database import open_database
from indexer.restart import OPTION, command, is_suspect
from tests.indexer.network import Firehose, first_commit, new_repo, rows

RUN = ["-m", "indexer", "run", "--db", "x"]
NOW = 1_700_000_000.0


def error(cause: Exception) -> StoreError:
    found = StoreError("cannot write the index")
    found.__cause__ = cause
    return found


def test_once_within_the_hour_and_again_after_it() -> None:
    failed = error(duckdb.IOException("IO Error: Could not write: No space left on device"))
    again = command(RUN, failed, NOW)
    assert again == [*RUN, OPTION, "1700000000"]
    assert command(again, failed, NOW + 3_599) is None
    assert command(again, failed, NOW + 3_600) == [*RUN, OPTION, "1700003600"]


def test_only_a_failure_of_the_database_is_a_reason() -> None:
    assert command(RUN, OSError("the port is taken"), NOW) is None
    assert command(RUN, ValueError("our own mistake"), NOW) is None


def test_damage_makes_the_file_suspect_and_a_full_disk_does_not() -> None:
    full = command(RUN, error(duckdb.IOException("No space left on device")), NOW)
    torn = command(RUN, error(duckdb.FatalException("Corrupt database file")), NOW)
    assert full is not None
    assert torn is not None
    assert not is_suspect(full[-1])
    assert is_suspect(torn[-1])
    assert not is_suspect(None)


async def limited(
    net: Firehose, db: Path, file_bytes: int, program: list[str]
) -> tuple[int | None, str]:
    """``program`` in a process that can't make a file longer than that."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, "--db", str(db), "--dev"),
        *("--source", net.url, "--plc", net.plc),
        stderr=PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes)),
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    ("program", "last_words"),
    [
        (["-m", "indexer", "run"], "StoreError: "),
        (["-m", "atdata.cli", "index", "run"], "atdata: "),
        (["-m", "atdata.cli", "serve", "--port", "0"], "atdata: the indexer ended: "),
    ],
)
def test_a_disk_that_stays_full_ends_the_process_after_one_more_attempt(
    tmp_path: Path, program: list[str], last_words: str
) -> None:
    """The log of the database can't grow: the cursor stays with the rows that were stored."""
    db = tmp_path / "index.duckdb"
    open_database(db).close()
    size = db.stat().st_size

    async def main() -> tuple[int | None, str]:
        async with Firehose() as net:
            repos = [new_repo(net, n) for n in range(40)]
            await net.send(*(first_commit(repo, "x" * 190, "y" * 190) for repo in repos))
            return await limited(net, db, 20_000, program)

    status, said = asyncio.run(main())
    assert status == 1
    assert size > 20_000, "the file itself can't be written, either"
    assert len(re.findall("starts anew, once", said)) == 1, said
    assert said.splitlines()[-1].startswith(last_words), said
    assert "Traceback" not in said
    assert "No space left" in said or "File too large" in said
    ((stored,),) = rows(db, "SELECT count(*) FROM records")
    ((cursor,),) = rows(db, "SELECT coalesce(max(cursor), 0) FROM sources")
    assert (stored, cursor < 40) == (2 * cursor, True), "two records a commit"

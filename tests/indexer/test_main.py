"""The indexer's commands as processes: what they print, how they end, what they leave behind."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from indexer.database import open_database
from tests.indexer.network import Firehose, first_commit, new_repo, rows, until
from tests.indexer.repo_builder import create


async def command(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of ``python -m indexer …``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "indexer", *arguments, stdout=PIPE, stderr=PIPE
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


def test_ends_cleanly_when_asked_with_the_cursor_written(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> int:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "indexer", "run", "--db", str(db), "--dev"),
                *("--source", net.url, "--plc", net.plc),
                stderr=DEVNULL,
            )
            await until(lambda: any("did:plc" in path for path in net.asked), lambda: "read")
            for number in range(20):
                await net.send(repo.commit(create(f"app.bsky.feed.post/{number}", {"text": ""})))
            process.send_signal(signal.SIGTERM)
            return await process.wait()

    assert asyncio.run(main()) == 0
    ((cursor,),) = rows(db, "SELECT cursor FROM sources")
    ((rev_is_ours,),) = rows(db, "SELECT rev IS NOT NULL FROM repos")
    assert 1 <= cursor <= 21
    assert rev_is_ours


def test_status_is_json_about_a_database_at_rest(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"
    open_database(db).close()
    code, out, _ = asyncio.run(command("status", "--db", str(db)))
    found = json.loads(out)
    assert (code, found["sources"], found["repos"], found["sweep"]) == (0, [], 0, None)


def test_what_is_wrong_is_one_line_and_a_status(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing" / "index.duckdb")
    for arguments in (
        ("run", "--db", missing, "--source", "wss://relay.example"),
        ("run", "--db", str(tmp_path / "x.duckdb"), "--source", "ftp://relay.example"),
        ("status", "--db", missing),
        ("replay", str(tmp_path)),
    ):
        code, out, error = asyncio.run(command(*arguments))
        assert (code, out) == (1, ""), arguments
        assert len(error.splitlines()) == 1, error


def test_records_and_replays(tmp_path: Path) -> None:
    folder = tmp_path / "recording"

    async def main() -> tuple[str, str]:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats"))
            options = ["--plc", net.plc, "--dev", "--idle", "0.3", "--provenance", "a test"]
            code, made, error = await command(
                "record", str(folder), "--source", f"pds0={net.url}", *options
            )
            assert code == 0, error
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "indexer", "replay", str(folder)), stdout=PIPE, stderr=DEVNULL
        )
        assert process.stdout is not None
        line = await process.stdout.readline()
        process.terminate()
        await process.wait()
        return made, line.decode()

    made, line = asyncio.run(main())
    assert json.loads(made)["provenance"] == "a test"
    serving = json.loads(line)
    assert serving["sources"]["pds0"] == serving["plc"].replace("http", "ws") + "/pds0"

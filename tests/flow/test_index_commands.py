"""``atdata index …`` on files that no process has open: what is printed, how it ends, what it did.

First against a small network on loopback, then against real PDSes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.devnet import Account, Devnet, xrpc
from indexer import snapshots
from indexer.database import open_database
from tests.flow.node import node, source_arguments
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    plc_did,
    reached,
    rows,
    running,
    settled,
)
from tests.indexer.repo_builder import account, create, delete

STATUS = "/xrpc/ac.foundation.dataset.getIndexStatus"


async def command(*arguments: str, status: int = 0) -> str:
    """Standard output of ``atdata index …``, or standard error where a failure is expected."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATDATA_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atdata.cli", "index", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
    )
    out, error = await process.communicate()
    assert process.returncode == status, error.decode()
    assert b"Traceback" not in error
    return (out or error).decode() if status else out.decode()


def on(db: Path, *net: Firehose) -> list[str]:
    """The options that name the file, and the network."""
    return ["--db", str(db), *(part for n in net for part in ("--plc", n.plc, "--dev"))]


def test_status_is_for_people_and_for_programs(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            await net.send(first_commit(new_repo(net), "cats", "dogs"))
            await net.send(new_repo(net, 1).commit(create(f"{DATASET}/bad", dataset(7))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)
            printed = await command("status", *on(db))
            assert f"{net.url}: cursor 2, last event of 2023-11-14 22:13:20 UTC\n" in printed
            assert "repos: 2 (2 synced, " in printed
            assert "invalid records: 1\n" in printed
            assert "dropped invalid_record: 1\n" in printed
            found = json.loads(await command("status", "--json", *on(db)))
            assert found["sources"][0]["cursor"] == 2
            assert (found["repos"], found["changes"], found["quarantined"]) == (2, 2, 1)
            assert "no such file" in await command(
                "status", "--db", str(tmp_path / "none.duckdb"), status=1
            )

    asyncio.run(main())


def test_verify_names_what_differs_and_resync_has_it_fetched(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"), first_commit(new_repo(net, 1), "x"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)
            assert await command("verify", *on(db, net)) == ""
            repo.commit(delete(f"{DATASET}/cats"), create(f"{DATASET}/new", dataset("new")))
            lines = (await command("verify", *on(db, net), status=1)).splitlines()
            assert [line.partition(": ")[0].rpartition("/")[2] for line in lines] == ["cats", "new"]
            assert lines[0].endswith("PDS None")
            assert "index None" in lines[1]
            unknown = await command("verify", *on(db, net), "did:web:unknown.example", status=1)
            assert "has no repo" in unknown
            named = await command("verify", "--json", *on(db, net), repo.did, status=1)
            assert [item["uri"] for item in json.loads(named)] == [
                line.partition(": ")[0] for line in lines
            ]

            assert "is queued" in await command("resync", repo.did, *on(db))
            async with running(net, db) as indexer:
                await settled(indexer)
            assert await command("verify", *on(db, net)) == ""

    asyncio.run(main())


def test_resync_takes_nothing_but_a_did_and_makes_no_file(tmp_path: Path) -> None:
    async def main() -> None:
        missing = tmp_path / "missing.duckdb"
        assert "is not a valid" in await command("resync", "alice.test", *on(missing), status=1)
        assert "there is no index" in await command(
            "resync", "did:web:alice.test", *on(missing), status=1
        )
        assert "there is no index" in await command("requeue", *on(missing), status=1)
        assert not missing.exists()

    asyncio.run(main())


def test_the_quarantine_is_listed_shown_and_replayed(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            net.plc_is_down = True
            await net.send(first_commit(new_repo(net), "cats"))
            async with running(net, db, parked_seconds=60.0) as indexer:
                await reached(indexer, net)
            (kept,) = json.loads(await command("quarantine", "list", "--json", *on(db)))
            assert kept["frame"] == len(net.sent[0][1]), "its length: the bytes are in `show`"
            line = await command("quarantine", "list", *on(db))
            assert line.startswith(f"{kept['id']} {kept['reason']} {kept['did']}: ")
            shown = json.loads(await command("quarantine", "show", str(kept["id"]), *on(db)))
            assert bytes.fromhex(shown["frame"]) == net.sent[0][1]
            assert "has no row 1" in await command("quarantine", "show", "1", *on(db), status=1)

            still_down = await command("quarantine", "replay", str(kept["id"]), *on(db, net))
            assert still_down == "0 let go of\n"
            net.plc_is_down = False
            assert await command("quarantine", "replay", *on(db, net)) == "1 let go of\n"
            assert json.loads(await command("quarantine", "list", "--json", *on(db))) == []

    asyncio.run(main())
    assert rows(db, "SELECT name FROM datasets") == [("cats",)]


def test_requeue_judges_invalid_records_again(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            bad = new_repo(net, 1)
            await net.send(first_commit(new_repo(net), "cats"))
            await net.send(bad.commit(create(f"{DATASET}/bad", dataset(7))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)
            said = "0 records are valid now, 1 are not; 0 repos are queued\n"
            assert await command("requeue", *on(db)) == said
            (kept,) = json.loads(await command("quarantine", "list", "--json", *on(db)))
            assert (kept["reason"], kept["did"]) == ("invalid_record", bad.did)
            assert await command("quarantine", "replay", *on(db, net)) == "0 let go of\n"
            assert "has no repo" in await command("verify", plc_did(9), *on(db, net), status=1)

    asyncio.run(main())


def test_what_is_hidden_is_not_said_to_be_queued(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            bad = new_repo(net)
            await net.send(bad.commit(create(f"{DATASET}/bad", dataset(7))))
            await net.send(account(bad.did, active=False, status="deactivated"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            with open_database(db) as connection:
                connection.execute("UPDATE invalid_records SET block = NULL, size = 0")
            said = "0 records are valid now, 0 are not; 0 repos are queued\n"
            assert await command("requeue", *on(db)) == said
            said = "is deactivated: it is fetched when its account is active again\n"
            assert await command("resync", bad.did, *on(db)) == f"{bad.did} {said}"

    asyncio.run(main())


def test_a_snapshot_is_taken_and_restored(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)
            assert "no good snapshot" in await command("restore", *on(db), status=1)
            made = json.loads(await command("snapshot", "--json", *on(db)))
            assert (made["cursors"], made["changes"]) == ({net.url: 1}, 1)
            assert " rows\n" in await command("snapshot", *on(db))
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            assert "has no snapshot 'x'" in await command("restore", "x", *on(db), status=1)

            name = Path(made["snapshot"]).name
            assert "set aside: index.duckdb.broken-" in await command("restore", name, *on(db))
            found = json.loads(await command("status", "--json", *on(db)))
            assert found["sources"][0]["cursor"] == 1
            async with running(net, db) as indexer:
                await reached(indexer, net)
            assert await command("verify", *on(db, net)) == ""

    asyncio.run(main())
    assert rows(db, "SELECT name FROM datasets ORDER BY name") == [("cats",), ("dogs",)]
    assert len(list(tmp_path.glob("*.broken-*"))) == 1


def test_a_process_that_finds_a_torn_file_says_what_it_does(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"
    db.write_bytes(bytes(20_000))
    log = tmp_path / "node.log"
    with node(tmp_path) as running_node:
        status = running_node.get(STATUS)
    assert status["restored"].keys() == {"at"}, "there was no snapshot"
    assert "index begins anew" in log.read_text()
    (aside,) = tmp_path.glob("*.broken-*")
    assert aside.read_bytes() == bytes(20_000)


# --- with real PDSes ----------------------------------------------------------------------------


def publish(account: Account, *names: str) -> None:
    body: dict[str, Any] = {"identifier": account.handle, "password": account.password}
    session = xrpc(account.pds_url, "com.atproto.server.createSession", body=body)
    for name in names:
        path = {"repo": account.did, "collection": DATASET, "rkey": name}
        body = {**path, "record": dataset(name), "validate": False}
        token = str(session["accessJwt"])
        xrpc(account.pds_url, "com.atproto.repo.createRecord", body=body, token=token)


@pytest.mark.devnet
def test_a_node_whose_file_is_torn_is_complete_again_after_a_while(
    devnet: Devnet, tmp_path: Path
) -> None:
    db = tmp_path / "index.duckdb"
    account = devnet.create_account(0, "commands")
    source = source_arguments(["ws" + devnet.pdses[0].url.removeprefix("http")])
    network = ["--plc", devnet.plc, "--dev", "--db", str(db)]
    publish(account, "before")
    search = f"/xrpc/ac.foundation.dataset.searchDatasets?author={account.did}"
    with node(tmp_path, "--plc", devnet.plc, *source) as first:
        first.wait_until(lambda: first.get(search)["hitsTotal"] == 1, "it is found")
    assert asyncio.run(command("verify", *network, account.did)) == ""
    made = json.loads(asyncio.run(command("snapshot", "--json", "--db", str(db))))

    publish(account, "later")
    missing = asyncio.run(command("verify", *network, account.did, status=1))
    assert missing.startswith(f"at://{account.did}/{DATASET}/later: index None, PDS ")
    with node(tmp_path, "--plc", devnet.plc, *source) as second:
        second.wait_until(lambda: second.get(search)["hitsTotal"] == 2, "it is found")
    db.write_bytes(db.read_bytes()[: db.stat().st_size // 2])
    assert "damaged" in asyncio.run(command("status", "--db", str(db), status=1))

    with node(tmp_path, "--plc", devnet.plc, *source) as third:
        third.wait_until(lambda: third.get(search)["hitsTotal"] == 2, "it is found again")
        third.wait_until(lambda: "sweep" in third.get(STATUS), "everything was listed again")
        status = third.get(STATUS)
    assert status["restored"]["snapshotAt"] <= status["restored"]["at"]
    assert Path(made["snapshot"]) in snapshots.paths(snapshots.folder_of(db))
    assert asyncio.run(command("verify", *network, account.did)) == ""

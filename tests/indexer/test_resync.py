"""Repos that are fetched: from PDSes that answer wrongly, slowly, in pieces, late, or elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Identity, Resolver
from indexer.repos import Failed, Fetched, Gone, RepoClient, RepoLimits
from indexer.tables import Rows
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    new_repo,
    plc_did,
    reached,
    rows,
    running,
    until,
)
from tests.indexer.pds import Answer, body, pds
from tests.indexer.repo_builder import (
    K256,
    NOW_US,
    P256,
    TIME,
    Message,
    Repo,
    account,
    create,
    delete,
    unchecked_car,
    update,
)

POST = "app.bsky.feed.post/3k2yihcrp2c2a"


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"


def names(db: Path) -> list[str]:
    return [name for (name,) in rows(db, "SELECT name FROM datasets ORDER BY name")]


def states(db: Path) -> list[str]:
    return [state for (state,) in rows(db, "SELECT sync_state FROM repos ORDER BY did")]


# --- one answer ---------------------------------------------------------------------------------


def fetch(answer: Answer, did: str, **limits: Any) -> Fetched | Gone | Failed:
    with pds(answer) as url:
        client = HttpClient(Policy(dev=True))
        resolver = Resolver(client, plc=url)
        repos = RepoClient(client, resolver, lambda: NOW_US, RepoLimits(**limits))
        return repos.fetch(Identity(did, url, K256.multibase, None))


def a_repo(number: int = 0, records: int = 12) -> Repo:
    repo = Repo(did=plc_did(number))
    for i in range(records):
        repo.commit(create(f"{DATASET}/r{i:02}", dataset(f"cats {i}")))
    return repo


def test_a_whole_repo_is_taken() -> None:
    repo = a_repo()
    answer = fetch(body(repo.car()), repo.did)
    assert isinstance(answer, Fetched)
    assert answer.repo.records == repo.paths
    cids = sorted(row.record.cid for row in answer.judged if isinstance(row, Rows))
    assert cids == sorted(map(str, repo.paths.values())), "the writer need not judge them"


@pytest.mark.parametrize(
    ("data", "drop"),
    [
        (a_repo(1).car(), "envelope_mismatch"),
        (a_repo(0).car(key=P256), "bad_signature"),
        (a_repo(0).car()[:-1], "invalid_car"),
        (b"", "invalid_car"),
        (b"<html>", "invalid_car"),
    ],
    ids=["another account's", "signed by another key", "cut in a block", "empty", "no CAR"],
)
def test_a_repo_that_proves_nothing_is_refused_by_name(data: bytes, drop: str) -> None:
    answer = fetch(body(data), plc_did(0))
    assert isinstance(answer, Failed)
    assert answer.drop == drop


@pytest.mark.parametrize("name", ["RepoNotFound", "RepoTakendown", "RepoDeactivated"])
def test_what_a_pds_says_of_an_account_is_an_answer(name: str) -> None:
    text = f'{{"error": "{name}", "message": "so it is"}}'.encode()
    assert fetch(body(text, 400), plc_did(0)) == Gone(name)


# --- in the running indexer ---------------------------------------------------------------------


@dataclass
class BusyFirehose(Firehose):
    """As a PDS it wants to be left alone for a day."""

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        answer = await super()._answer(client, request)
        if "getRepo" in request.path:
            answer = client.respond(HTTPStatus.TOO_MANY_REQUESTS, "no")
            answer.headers["Retry-After"] = "86400"
        return answer


def test_an_account_that_moves_away_from_a_host_that_is_closed_is_fetched_at_its_new_one(
    db: Path,
) -> None:
    async def main() -> None:
        async with BusyFirehose() as old, Firehose() as new:
            repo = new_repo(old)
            repo.commit(create(f"{DATASET}/before", dataset("before")))
            await old.send(repo.commit(create(f"{DATASET}/cats", dataset("cats"))))
            async with running(old, db) as indexer:
                await until(lambda: any("getRepo" in p for p in old.asked), lambda: "asked")
                await reached(indexer, old)
                service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer"}
                old.documents[repo.did]["service"] = [{**service, "serviceEndpoint": new.plc}]
                new.repos[repo.did] = repo
                await old.send(Message("#identity", {"did": repo.did, "time": TIME}))
                await until(lambda: indexer.status().resynced == 1, lambda: f"{new.asked}")

    asyncio.run(main())
    assert names(db) == ["before", "cats"]


@dataclass
class Losing(Repo):
    """Its PDS has lost the block ``lost``."""

    lost: bytes = b""

    def car(self, **signed: Any) -> bytes:
        message = Message("", {"blocks": super().car(**signed)})
        blocks = {raw: block for raw, block in message.blocks.items() if raw != self.lost}
        return unchecked_car([self.signed_commit(**signed)[0]], blocks.items())


def test_a_repo_that_lacks_a_record_is_healed_by_its_author_alone(db: Path) -> None:
    """Until then its live commits are indexed, and it is known not to be synced."""

    async def main() -> None:
        async with Firehose() as net:
            repo = Losing(did=new_repo(net).did)
            net.repos[repo.did] = repo
            equal = [create(f"{DATASET}/{rkey}", dataset("equal")) for rkey in ("a", "b")]
            repo.commit(*equal, create(f"{DATASET}/c", dataset("before")))
            repo.lost = repo.paths[f"{DATASET}/b"].raw
            repo.commit(delete(f"{DATASET}/a"))
            await net.send(repo.commit(create(f"{DATASET}/cats", dataset("cats"))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await until(
                    lambda: indexer.status().drops.get("missing_block", 0) > 1, lambda: "tried"
                )
            assert names(db) == ["cats"]
            assert states(db) == ["new"]
            assert f"{DATASET}/b" in rows(db, "SELECT sync_error FROM repos")[0][0]
            async with running(net, db) as indexer:
                await net.send(repo.commit(update(f"{DATASET}/b", dataset("anew"))))
                await until(lambda: indexer.status().resynced == 1, lambda: "fetched")

    asyncio.run(main())
    assert names(db) == ["anew", "before", "cats"]
    assert states(db) == ["synced"]


def test_a_deleted_account_that_is_back_as_it_was_is_filled_again(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(repo.commit(create(f"{DATASET}/cats", dataset("cats"))))
            async with running(net, db) as indexer:
                await net.send(account(repo.did, active=False, status="deleted"))
                await reached(indexer, net)
                await net.send(account(repo.did, active=True))
                await until(lambda: indexer.status().resynced == 1, lambda: "fetched")

    asyncio.run(main())
    assert (names(db), states(db)) == (["cats"], ["synced"])


def test_a_pds_that_is_down_is_tried_until_it_is_back_and_the_queue_outlives_us(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            net.pds_is_down = True
            repo = new_repo(net)
            repo.commit(create(f"{DATASET}/before", dataset("before")))
            await net.send(repo.commit(create(f"{DATASET}/cats", dataset("cats"))))
            for _ in range(2):
                async with running(net, db) as indexer:
                    await reached(indexer, net)
                    await until(lambda: asked(net) >= 2, lambda: "tried again")
                net.asked.clear()
            assert states(db) == ["new"]
            assert "InternalServerError" in rows(db, "SELECT sync_error FROM repos")[0][0]
            net.pds_is_down = False
            async with running(net, db) as indexer:
                await until(lambda: indexer.status().resynced == 1, lambda: "fetched")

    def asked(net: Firehose) -> int:
        return sum("getRepo" in path for path in net.asked)

    asyncio.run(main())
    assert names(db) == ["before", "cats"]
    assert rows(db, "SELECT sync_error FROM repos") == [(None,)]

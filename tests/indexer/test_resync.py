"""Repos that are fetched: from PDSes that answer wrongly, slowly, in pieces, late, or elsewhere."""

from __future__ import annotations

import asyncio
import http.server
import time
from pathlib import Path
from typing import Any

import pytest

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Identity, Resolver
from atdata.protocol import car
from indexer.repos import Failed, Fetched, Gone, RepoClient, RepoLimits
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
    until,
)
from tests.indexer.pds import Answer, body, pds
from tests.indexer.repo_builder import (
    K256,
    NOW_US,
    P256,
    Repo,
    account,
    create,
    delete,
    identity,
    unchecked_car,
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


def test_a_repo_that_is_cut_at_any_block_boundary_is_refused() -> None:
    """Such a file is a valid CAR; only the walk of the whole tree shows what is missing."""
    repo = a_repo()
    roots, blocks = car.read(repo.car()).roots, list(car.read(repo.car()).blocks.items())
    client = HttpClient(Policy(dev=True))
    served: list[bytes] = []
    with pds(lambda request: body(served[-1])(request)) as url:
        repos = RepoClient(client, Resolver(client, plc=url), lambda: NOW_US)
        for cut in range(len(blocks)):
            served.append(unchecked_car(roots, blocks[:cut]))
            answer = repos.fetch(Identity(repo.did, url, K256.multibase, None))
            assert isinstance(answer, Failed), cut
            assert answer.drop in ("missing_block", "invalid_car"), cut
        served.append(unchecked_car(roots, blocks))
        whole = repos.fetch(Identity(repo.did, url, K256.multibase, None))
        assert isinstance(whole, Fetched)


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


def test_a_host_that_asks_to_be_left_alone_is_heard() -> None:
    answer = fetch(body(b"{}", 429, Retry_After="3600"), plc_did(0))
    assert isinstance(answer, Failed)
    assert answer.retry_after == 3600


def test_a_body_without_end_is_cut_off() -> None:
    sent: list[int] = []

    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            sent.append(request.wfile.write(bytes(65_536)))

    answer = fetch(endless, plc_did(0), bytes=1_000_000)
    assert isinstance(answer, Failed)
    assert "at most 1000000" in answer.why
    assert sum(sent) < 50_000_000


def test_a_trickle_is_cut_off() -> None:
    def trickle(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        for _ in range(1000):
            request.wfile.write(b"\x00")
            time.sleep(0.01)

    answer = fetch(trickle, plc_did(0), seconds=0.3)
    assert isinstance(answer, Failed)
    assert "too slow" in answer.why


# --- in the running indexer ---------------------------------------------------------------------


def test_a_repo_first_seen_in_its_middle_is_fetched(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            repo.commit(create(f"{DATASET}/before", dataset("before")))
            await net.send(repo.commit(create(f"{DATASET}/cats", dataset("cats"))))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)

    asyncio.run(main())
    assert names(db) == ["before", "cats"]
    assert states(db) == ["synced"]


def test_a_swallowed_commit_is_healed_at_the_next_one_deletes_included(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"))
            repo.commit(delete(f"{DATASET}/cats"), create(f"{DATASET}/mice", dataset("mice")))
            await net.send(repo.commit(create(POST, {"text": "hello"})))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)

    asyncio.run(main())
    assert names(db) == ["dogs", "mice"]
    assert states(db) == ["synced"]


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


def test_a_migration_is_followed_to_the_new_pds_and_key(db: Path) -> None:
    """The old PDS serves the repo no more; the directory names the new one before #identity."""

    async def main() -> None:
        async with Firehose() as old, Firehose() as new:
            old.pds_is_down = True
            repo = new_repo(old)
            repo.commit(create(f"{DATASET}/before", dataset("before")))
            await old.send(repo.commit(create(f"{DATASET}/cats", dataset("cats"))))
            async with running(old, db) as indexer:
                await reached(indexer, old)
                await until(lambda: any("getRepo" in p for p in old.asked), lambda: "asked")
                repo.key = P256
                repo.commit(create(f"{DATASET}/after", dataset("after")))
                new.repos[repo.did] = repo
                new.knows(repo.did, P256)
                old.documents[repo.did] = new.documents[repo.did]
                await asyncio.sleep(2.1)  # a resolver asks again about one DID every two seconds
                await old.send(identity(repo.did))
                await reached(indexer, old)
                await settled(indexer)

    asyncio.run(main())
    assert names(db) == ["after", "before", "cats"]
    assert states(db) == ["synced"]


def test_an_account_that_comes_back_is_compared(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            await net.send(account(repo.did, active=False, status="deactivated"))
            repo.commit(create(f"{DATASET}/dogs", dataset("dogs")))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                assert not any("getRepo" in path for path in net.asked)
                await net.send(account(repo.did, active=True))
                await reached(indexer, net)
                await settled(indexer)

    asyncio.run(main())
    assert names(db) == ["cats", "dogs"]


def test_a_commit_parked_for_want_of_the_directory_is_applied_when_it_is_back(db: Path) -> None:
    """Of an account that nobody knew: nothing but its key is asked for until then."""

    async def main() -> None:
        async with Firehose() as net:
            net.plc_is_down = True
            await net.send(first_commit(new_repo(net), "cats"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await until(lambda: indexer.status().quarantined == 1, lambda: "parked")
            assert rows(db, "SELECT count(*) FROM repos") == [(0,)]
            assert not any("xrpc" in path for path in net.asked)
            net.plc_is_down = False
            async with running(net, db) as indexer:
                await until(lambda: indexer.status().repos == 1, lambda: "applied")
                await settled(indexer)

    asyncio.run(main())
    assert names(db) == ["cats"]
    assert rows(db, "SELECT count(*) FROM quarantine") == [(0,)]

"""A repo's first commit that waits for the directory, and what is told of the account meanwhile."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from indexer.tracked import MAX_EXPECTED, Tracked
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
from tests.indexer.repo_builder import account, create

DID = plc_did(0)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"


def told_meanwhile(db: Path, status: str, *, relay: bool, restarted: bool = False) -> None:
    """While the directory is down, which also is the account's PDS, its first commit comes, and
    then that it is away: of a ``relay``, which is believed at once, or of the PDS."""

    async def main() -> None:
        async with Firehose() as net, Firehose() as other:
            source = other if relay else net
            net.plc_is_down = True
            await source.send(first_commit(new_repo(net), "cats"))
            if restarted:
                async with running(net, db, other, parked_seconds=60.0) as indexer:
                    await reached(indexer, source)
            await source.send(account(DID, active=False, status=status))
            async with running(net, db, other) as indexer:
                await reached(indexer, source)
                net.plc_is_down = False
                await until(lambda: indexer.status().quarantined == 0, lambda: "let in")
                await settled(indexer)

    asyncio.run(main())


@pytest.mark.parametrize("relay", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
def test_who_is_deleted_meanwhile_is_never_shown(db: Path, relay: bool, restarted: bool) -> None:
    told_meanwhile(db, "deleted", relay=relay, restarted=restarted)
    assert rows(db, "SELECT active, status FROM repos") == [(False, "deleted")]
    assert rows(db, "SELECT uri FROM records") == []


@pytest.mark.parametrize("relay", [True, False])
def test_who_is_taken_down_meanwhile_is_hidden(db: Path, relay: bool) -> None:
    told_meanwhile(db, "takendown", relay=relay)
    assert rows(db, "SELECT active, status FROM repos") == [(False, "takendown")]
    assert len(rows(db, "SELECT uri FROM records")) == 1


def test_a_commit_waits_for_what_is_told_of_its_account(db: Path) -> None:
    """Of the source itself it is not known yet whether it may speak for the account."""

    async def main() -> None:
        async with Firehose() as net, Silent() as source:
            net.plc_is_down = True
            await source.send(first_commit(new_repo(net), "cats"))
            await source.send(account(DID, active=False, status="takendown"))
            async with running(net, db, source) as indexer:
                await reached(indexer, source)
                net.plc_is_down = False
                asked = len(source.asked)
                await until(lambda: len(source.asked) > asked, lambda: "looked at again")
                await until(lambda: indexer.status().quarantined == 2, lambda: "still parked")
            assert rows(db, "SELECT uri FROM records") == []

    asyncio.run(main())


class Silent(Firehose):
    """It does not say what it is."""

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        if request.path.endswith("describeServer"):
            self.asked.append(request.path)
            return client.respond(HTTPStatus.BAD_GATEWAY, "down")
        return await super()._answer(client, request)


def test_a_repo_that_was_not_followed_meanwhile_is_fetched(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            net.plc_is_down = True
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            repo.commit(create(f"{DATASET}/dogs", dataset("dogs")))  # is swallowed
            async with running(net, db) as indexer:
                await reached(indexer, net)
                net.plc_is_down = False
                await until(lambda: indexer.status().resynced == 1, lambda: "fetched")

    asyncio.run(main())
    assert rows(db, "SELECT name FROM datasets ORDER BY name") == [("cats",), ("dogs",)]


def test_that_an_account_is_active_does_not_let_its_commit_in(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net, Firehose() as relay:
            net.plc_is_down = True
            await relay.send(first_commit(new_repo(net), "cats"), account(DID, active=True))
            async with running(net, db, relay) as indexer:
                await reached(indexer, relay)

    asyncio.run(main())
    assert rows(db, "SELECT did FROM repos") == []


def test_nobody_becomes_known_by_word_of_an_account_alone(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            new_repo(net)
            await net.send(account(DID, active=False, status="deactivated"))
            async with running(net, db) as indexer:
                await reached(indexer, net)

    asyncio.run(main())
    assert rows(db, "SELECT did FROM repos") == []


def test_a_flood_of_parked_commits_takes_bounded_room_in_the_screens() -> None:
    tracked = Tracked([b"did:plc:known"])
    tracked.expect([b"did:plc:known", *(b"did:plc:%d" % i for i in range(MAX_EXPECTED + 5))])
    assert len(tracked) == MAX_EXPECTED + 1
    tracked.update([b"did:plc:another"])
    assert b"did:plc:another" in tracked

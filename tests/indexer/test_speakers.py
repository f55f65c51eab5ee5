"""Who may speak for an account: a relay for all, a PDS for its own, whatever comes first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from atdata.network.http import HttpClient, Policy
from atdata.protocol.errors import IdentityUnavailable
from indexer.speakers import RELAY, Speaker, Speakers
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
from tests.indexer.repo_builder import Message, Repo, account, create, identity

DID = plc_did(0)
AWAY = account(DID, active=False, status="deactivated")
GONE = account(DID, active=False, status="deleted")


class Host(Firehose):
    """A source that describes itself, as a PDS does; ``describes`` and ``status`` are what it
    answers."""

    status: int = 200
    describes: Any = {"availableUserDomains": [".test"]}  # noqa: RUF012

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        if not request.path.endswith("describeServer") or self.plc_is_down:
            return await super()._answer(client, request)
        self.asked.append(request.path)
        answer = client.respond(HTTPStatus(self.status), json.dumps(self.describes))
        answer.headers["Connection"] = "close"
        return answer


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"


def shown(db: Path) -> list[tuple[bool, str | None, int]]:
    """Of the only account: active, status, how many records."""
    return rows(db, "SELECT active, status, (SELECT count(*) FROM records) FROM repos ORDER BY did")


def drops(db: Path) -> dict[str, int]:
    return dict(rows(db, "SELECT reason, count FROM drops"))


# --- what a source is ---------------------------------------------------------------------------


def speaker(status: int, describes: Any) -> tuple[Speaker, str]:
    """What that answer makes of a source, and its origin."""

    async def main() -> tuple[Speaker, str]:
        async with Host() as net:
            net.status, net.describes = status, describes
            http = HttpClient(Policy(dev=True))
            try:
                found = await asyncio.to_thread(Speakers(http).of, net.url)
            finally:
                http.close()
            return found, net.plc

    return asyncio.run(main())


def test_who_has_once_described_itself_stays_a_pds() -> None:
    """A page of its proxy for a moment must not let it speak for the accounts of others."""

    async def main() -> None:
        async with Host() as net:
            http, now = HttpClient(Policy(dev=True)), [0.0]
            speakers = Speakers(http, lambda: now[0])
            first = await asyncio.to_thread(speakers.of, net.url)
            for net.status, net.describes in ((404, {}), (200, "hello"), (501, {})):
                now[0] += 10_000.0
                assert await asyncio.to_thread(speakers.of, net.url) == first != RELAY
            http.close()

    asyncio.run(main())


def test_a_host_that_describes_itself_is_a_pds() -> None:
    pds, origin = speaker(200, {"availableUserDomains": [], "did": "did:web:pds.example.com"})
    assert pds.speaks_for(origin)
    assert pds.speaks_for("https://pds.example.com")
    assert not pds.speaks_for("https://elsewhere.example.com")
    assert not pds.speaks_for(None)


@pytest.mark.parametrize(
    ("status", "describes"),
    [
        (404, {}),
        (501, {"error": "MethodNotImplemented"}),
        (400, {"error": "InvalidRequest"}),
        (200, {"did": "did:web:relay.example.com"}),
        (200, ["availableUserDomains"]),
    ],
)
def test_a_host_that_does_not_is_a_relay(status: int, describes: Any) -> None:
    found, _ = speaker(status, describes)
    assert found == RELAY
    assert found.speaks_for("https://anywhere.example.com")
    assert found.speaks_for(None)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_an_outage_makes_a_host_neither(status: int) -> None:
    with pytest.raises(IdentityUnavailable, match="does not say what it is"):
        speaker(status, {})


def tried(net: Host, times: int, *, after: float = 10.0) -> list[Speaker | None]:
    """What a source is at each of so many looks, ``after`` so many seconds each; None: unknown."""
    http, now = HttpClient(Policy(dev=True)), [0.0]
    speakers, found = Speakers(http, lambda: now[0]), list[Speaker | None]()
    try:
        for _ in range(times):
            now[0] += after
            try:
                found.append(speakers.of(net.url))
            except IdentityUnavailable:
                found.append(None)
    finally:
        http.close()
    return found


@pytest.mark.parametrize("status", [401, 403, 500])
def test_who_says_nothing_and_lists_by_collection_is_a_relay(status: int) -> None:
    async def main() -> None:
        async with Host() as net:
            net.status, net.lists = status, lambda _: {"repos": []}
            assert await asyncio.to_thread(tried, net, 3) == [None, None, RELAY]

    asyncio.run(main())


@pytest.mark.parametrize(("status", "found"), [(401, RELAY), (403, RELAY), (500, None)])
def test_who_refuses_to_say_it_for_an_hour_is_a_relay_and_an_outage_is_none(
    status: int, found: Speaker | None
) -> None:
    async def main() -> None:
        async with Host() as net:
            net.status = status
            looks = await asyncio.to_thread(lambda: tried(net, 7, after=600.0))
            assert looks == [None] * 6 + [found]

    asyncio.run(main())


def test_a_pds_that_refuses_to_say_it_again_is_no_relay() -> None:
    async def main() -> None:
        async with Host() as net:
            http, now = HttpClient(Policy(dev=True)), [0.0]
            speakers = Speakers(http, lambda: now[0])
            await asyncio.to_thread(speakers.of, net.url)
            net.status, net.lists = 403, lambda _: {"repos": []}
            for _ in range(4):
                now[0] += 4_000.0
                with pytest.raises(IdentityUnavailable):
                    await asyncio.to_thread(speakers.of, net.url)
            http.close()

    asyncio.run(main())


def test_what_a_relay_says_counts_whatever_its_proxy_refuses_and_waits_uncounted(db: Path) -> None:
    async def main() -> None:
        async with Host() as net:
            net.status = 403
            await net.send(first_commit(new_repo(net), "cats"), GONE)
            async with running(net, db) as indexer:
                await reached(indexer, net)
                asked = sum("describeServer" in path for path in net.asked)
                await until(
                    lambda: sum("describeServer" in path for path in net.asked) > asked,
                    lambda: "looked at again",
                )
                assert indexer.status().drops == {"identity_unavailable": 1}
                net.lists = lambda _: {"repos": []}
                await until(lambda: indexer.status().quarantined == 0, lambda: "applied")

    asyncio.run(main())
    assert shown(db) == [(False, "deleted", 0)]


# --- an account that moves from `old` to `new` --------------------------------------------------


class Move:
    """An account with one dataset at ``old``, which also is the directory; it goes to ``new``."""

    def __init__(self, old: Host, new: Host) -> None:
        self.old, self.new = old, new
        self.repo: Repo = new_repo(old)
        self.old_seq = self.new_seq = 0

    def leave(self) -> None:
        """The directory names ``new`` from now on, which signed the repo under a rev of its own."""
        self.repo.commit()
        self.old.documents[DID]["service"][0]["serviceEndpoint"] = self.new.plc
        self.new.repos[DID] = self.repo


Step = Callable[[Move], Awaitable[None]]


async def leaves(move: Move) -> None:
    move.leave()


async def old_says_away(move: Move) -> None:
    await move.old.send(AWAY)


async def old_says_deleted(move: Move) -> None:
    await move.old.send(GONE)


async def new_says_who(move: Move) -> None:
    await move.new.send(identity(DID))


def moved(db: Path, *steps: Step) -> None:
    """Index the account's first dataset, then the steps, each one taken to the end; at last the
    account goes on at ``new``."""

    async def main() -> None:
        async with Host() as old, Host() as new:
            move = Move(old, new)
            async with running(old, db, new) as indexer:
                await old.send(first_commit(move.repo, "cats"))
                await reached(indexer, old)
                for step in steps:
                    await step(move)
                    for net in (old, new):
                        if net.last:
                            await reached(indexer, net)
                    await settled(indexer)
                await new.send(move.repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
                await reached(indexer, new)
                await settled(indexer)

    asyncio.run(main())


@pytest.mark.parametrize("word", [old_says_away, old_says_deleted])
@pytest.mark.parametrize("told_before", [True, False])
def test_the_pds_that_was_left_neither_hides_nor_deletes(
    db: Path, word: Step, told_before: bool
) -> None:
    """Whether or not the news of the move came before its word."""
    order = (new_says_who, word) if told_before else (word, new_says_who)
    moved(db, leaves, *order)
    assert shown(db) == [(True, None, 2)]
    assert drops(db) == {"not_its_pds": 1}
    assert rows(db, "SELECT sync_state FROM repos") == [("synced",)]


@pytest.mark.parametrize("word", [old_says_away, old_says_deleted])
def test_a_word_from_before_the_move_ends_with_it(db: Path, word: Step) -> None:
    """It was its PDS when it said so; nobody else said anything, and the new one serves it."""
    moved(db, word, leaves, new_says_who)
    assert shown(db) == [(True, None, 2)]
    assert drops(db) == {}


# --- whose word counts --------------------------------------------------------------------------


def after(
    db: Path, *messages: Message, relay: bool = False, without_document: bool = False
) -> None:
    """One account with a record at a source, or at another host if that is a relay; then the
    source sends ``messages``."""

    async def main() -> None:
        async with Host() as net:
            net.status = 404 if relay else 200
            repo = new_repo(net)
            if relay:
                net.documents[DID]["service"][0]["serviceEndpoint"] = "http://127.0.0.1:1"
            async with running(net, db) as indexer:
                await net.send(first_commit(repo, "cats"))
                await reached(indexer, net)
                if without_document:
                    net.documents.clear()
                await net.send(*messages)
                await reached(indexer, net)

    asyncio.run(main())


@pytest.mark.parametrize("relay", [False, True])
def test_its_own_pds_and_any_relay_are_believed(db: Path, relay: bool) -> None:
    after(db, AWAY, relay=relay)
    assert shown(db) == [(False, "deactivated", 1)]
    assert drops(db) == {}


def test_an_account_without_a_document_is_deleted_by_the_pds_that_says_so(db: Path) -> None:
    after(db, GONE, without_document=True)
    assert shown(db) == [(False, "deleted", 0)]


def test_a_word_that_could_not_be_judged_is_kept_and_judged_later(db: Path) -> None:
    async def main() -> None:
        async with Host() as net, running(net, db) as indexer:
            await net.send(first_commit(new_repo(net), "cats"))
            await reached(indexer, net)
            net.plc_is_down = True
            await net.send(AWAY)
            await reached(indexer, net)
            assert indexer.status().drops["identity_unavailable"] > 0
            net.plc_is_down = False
            changes = indexer.status().changes
            await until(lambda: indexer.status().changes > changes, lambda: str(indexer.status()))

    asyncio.run(main())
    assert shown(db) == [(False, "deactivated", 1)]

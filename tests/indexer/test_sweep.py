"""Backfill and sweep: what was published before we came, what was missed, and how lists can lie."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from indexer.batch import Position, RepoState
from indexer.gaps import JUMPED, RESET, gap_between
from indexer.heads import HeadLimits, ask_heads
from indexer.listing import Lister
from indexer.pipeline import Indexer
from indexer.repos import RepoClient
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
from tests.indexer.repo_builder import NOW_US, Message, account, create

POST = "app.bsky.feed.post/3k2yihcrp2c2a"
HOUR = 3_600_000_000
STARTED = time.monotonic_ns()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "index.duckdb"


def names(db: Path) -> list[str]:
    return [name for (name,) in rows(db, "SELECT name FROM datasets ORDER BY name")]


async def swept(indexer: Indexer, since: int | None = None) -> None:
    """Until a sweep has ended, and all that it found is fetched."""

    def done() -> bool:
        at = indexer.status().sweep.finished_at
        return at is not None and at != since

    await until(done, lambda: f"swept: {indexer.status()}")
    await settled(indexer)


# --- backfill -----------------------------------------------------------------------------------


def published_before(net: Firehose) -> None:
    """Three accounts whose events the source no longer has; one of them has nothing of ours."""
    for number, path in enumerate((f"{DATASET}/a", POST, f"{DATASET}/c")):
        new_repo(net, number).commit(create(path, dataset(f"cats {number}")))


@pytest.mark.parametrize("is_relay", [False, True])
def test_what_was_published_before_we_came_is_found(db: Path, is_relay: bool) -> None:
    async def main() -> list[str]:
        async with Firehose() as net:
            published_before(net)
            ours = [{"did": plc_did(0)}, {"did": plc_did(2)}]
            if is_relay:
                net.lists = lambda query: {
                    "repos": ours if query["collection"] == [DATASET] else []
                }
            async with running(net, db, sweep=True) as indexer:
                await swept(indexer)
                assert indexer.status().sweep.adopted == 2
            return net.asked

    asked = asyncio.run(main())
    assert names(db) == ["cats 0", "cats 2"]
    assert rows(db, "SELECT sync_state FROM repos") == [("synced",)] * 2
    assert sum("getRepo" in path for path in asked) == 2
    limit = "limit=2000" if is_relay else "limit=1000"
    assert any(limit in path for path in asked)


def test_a_source_is_listed_once_and_not_at_every_start(db: Path) -> None:
    async def main() -> int:
        async with Firehose() as net:
            published_before(net)
            async with running(net, db, sweep=True) as indexer:
                await swept(indexer)
            net.asked.clear()
            await net.send(first_commit(new_repo(net, 7), "dogs"))
            async with running(net, db, sweep=True) as indexer:
                await reached(indexer, net)
            return sum("listRepos" in path for path in net.asked)

    assert asyncio.run(main()) == 0


# --- what was missed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seq", "time", "why"),
    [
        (8, NOW_US + 100 * HOUR, None),  # the very next event of a quiet source
        (7, NOW_US, None),  # the same one again: others replay from the cursor on
        (900, NOW_US + HOUR // 2, None),
        (900, NOW_US + 2 * HOUR, JUMPED),
        (900, None, None),
        (3, NOW_US + 1, RESET),
    ],
)
def test_what_counts_as_a_gap(seq: int, time: int | None, why: str | None) -> None:
    before = Position("wss://x", 7, NOW_US, NOW_US)
    gap = gap_between(before, seq, time, longest=HOUR, at=NOW_US)
    assert (gap and gap.why) == why
    assert gap_between(Position("wss://x", 0), seq, time, longest=HOUR, at=NOW_US) is None


# --- what is dead, or answers badly, bounds nothing else -----------------------------------------


def listed_by_collection(net: Firehose) -> None:
    """As a relay lists: who has which collection, but not at which rev."""
    net.lists = lambda query: {"repos": [{"did": did} for did in net.repos]}


def passing() -> int:
    """A clock that goes on: the ends of two sweeps can be told apart."""
    return NOW_US + (time.monotonic_ns() - STARTED) // 1_000


def test_a_dead_source_holds_up_no_sweep_and_is_listed_when_it_is_back(db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net, Firehose() as other:
            published_before(net)
            lost = new_repo(net, 9)
            other.documents[lost.did], other.repos[lost.did] = net.documents[lost.did], lost
            del net.repos[lost.did]
            lost.commit(create(f"{DATASET}/z", dataset("cats 9")))
            await other.stop()
            async with running(net, db, other, sweep=True, clock=passing) as indexer:
                await swept(indexer)
                first = indexer.status().sweep
                assert (first.adopted, first.unlisted) == (2, 1)
                await other.start()
                await swept(indexer, since=first.finished_at)
                then = indexer.status().sweep
                assert (then.adopted, then.unlisted) == (1, 0)

    asyncio.run(main())
    assert rows(db, "SELECT count(*) FROM repos") == [(3,)]


@dataclass
class PickyFirehose(Firehose):
    """As a PDS it can't say what the newest commit of ``failing`` is; as a relay it lists all, but
    for the first ``broken`` times."""

    failing: set[str] = field(default_factory=set)
    broken: int = 0

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        if "getLatestCommit" in request.path and any(
            did in request.path.replace("%3A", ":") for did in self.failing
        ):
            self.asked.append(request.path)
            return client.respond(HTTPStatus.INTERNAL_SERVER_ERROR, "no")
        if "listRepos" in request.path and self.broken > 0:
            self.broken -= 1
            return client.respond(HTTPStatus.BAD_GATEWAY, "no")
        return await super()._answer(client, request)


def test_repos_that_cannot_be_asked_about_hide_none_of_the_same_host(db: Path) -> None:
    """Whatever the order: two of six fail, and what the others did unseen is found."""

    async def main() -> None:
        async with PickyFirehose() as net:
            listed_by_collection(net)
            repos = [new_repo(net, number) for number in range(6)]
            await net.send(*(first_commit(repo, f"cats{i}") for i, repo in enumerate(repos)))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            net.failing = {repo.did for repo in repos[:2]}
            for repo in repos:
                repo.commit(create(f"{DATASET}/unseen", dataset("unseen")))  # is not sent
            async with running(net, db, sweep=True) as indexer:
                await swept(indexer)
                sweep = indexer.status().sweep
                assert (sweep.checked, sweep.differing, sweep.unreachable) == (4, 4, 2)

    asyncio.run(main())
    assert names(db).count("unseen") == 4


def test_a_host_that_fails_again_and_again_is_given_up_and_delays_no_other(db: Path) -> None:
    async def main() -> tuple[list[str], Counter[str]]:
        async with PickyFirehose() as bad, Firehose() as good:
            states = []
            for number in range(12):
                host = bad if number % 2 else good
                repo = new_repo(host, number)
                repo.commit(create(f"{DATASET}/a", dataset("a")))
                states.append(RepoState(repo.did, pds=host.plc))
            bad.failing = set(bad.repos)
            http = HttpClient(Policy(dev=True))
            client = RepoClient(http, Resolver(http, plc=good.plc), lambda: NOW_US)
            limits = HeadLimits(per_second=1_000.0)
            heads = await ask_heads(client, [*states, RepoState(plc_did(99))], limits)
            assert {state.did for state in states} == heads.keys()
            assert {did: head for did, head in heads.items() if did in good.repos} == {
                did: repo.rev for did, repo in good.repos.items()
            }
            return bad.asked, Counter(type(head).__name__ for head in heads.values())

    asked, kinds = asyncio.run(main())
    assert (len(asked), kinds) == (3, {"Failed": 6, "Tid": 6})


def test_a_gap_is_healed_only_by_the_list_of_its_own_source(db: Path) -> None:
    async def main() -> None:
        async with PickyFirehose() as net, Firehose() as other:
            await net.send(first_commit(new_repo(net), "cats"))
            async with running(net, db, other) as indexer:
                await reached(indexer, net)
            net.broken = 1_000
            await net.send(Message("#info", {"name": "OutdatedCursor"}))
            async with running(net, db, other, sweep=True, clock=passing) as indexer:
                await swept(indexer)
                assert indexer.status().sweep.unlisted == 1
                await until(lambda: bool(gaps(indexer)), lambda: "noticed")
                for _ in range(3):  # of which one began after that, and is done with
                    await swept(indexer, since=indexer.status().sweep.finished_at)
                assert gaps(indexer) == [None]
                net.broken = 0
                await until(lambda: None not in gaps(indexer), lambda: str(gaps(indexer)))

    def gaps(indexer: Indexer) -> list[int | None]:
        positions = indexer._store.positions
        return [gap.healed_at for position in positions for gap in position.gaps]

    asyncio.run(main())


def test_an_account_that_is_back_without_our_hearing_of_it_is_shown_again(db: Path) -> None:
    """All sources that hid it say so now; one of a relay that still hides it is not."""

    async def main() -> None:
        async with StatusFirehose() as net:
            listed_by_collection(net)
            repos = [new_repo(net, number) for number in range(2)]
            await net.send(*(first_commit(repo, "cats") for repo in repos))
            for repo in repos:
                await net.send(account(repo.did, active=False, status="takendown"))
            async with running(net, db) as indexer:
                await reached(indexer, net)
            assert rows(db, "SELECT active FROM repos") == [(False,)] * 2
            net.active = {repos[0].did}
            for repo in repos:
                repo.commit(create(f"{DATASET}/unseen", dataset("unseen")))
            async with running(net, db, sweep=True) as indexer:
                await swept(indexer)
            shown = rows(db, "SELECT did, active, sync_state FROM repos ORDER BY active DESC")
            assert shown == [
                (repos[0].did, True, "synced"),
                (repos[1].did, False, shown[1][2]),
            ]

    asyncio.run(main())
    assert names(db).count("unseen") == 1


@dataclass
class StatusFirehose(Firehose):
    """It says who is active."""

    active: set[str] = field(default_factory=set)

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        if "getRepoStatus" not in request.path:
            return await super()._answer(client, request)
        did = parse_qs(urlsplit(request.path).query)["did"][0]
        body = json.dumps({"did": did, "active": did in self.active})
        answer = client.respond(HTTPStatus.OK, body)
        answer.headers["Content-Type"] = "application/json"
        return answer


def test_a_list_that_broke_off_is_asked_for_again_soon(db: Path) -> None:
    async def main() -> None:
        async with PickyFirehose(broken=2) as net:
            published_before(net)
            async with running(net, db, sweep=True) as indexer:
                await until(
                    lambda: indexer.status().sweep.adopted == 2, lambda: f"{indexer.status()}"
                )
                await settled(indexer)

    asyncio.run(main())
    assert names(db) == ["cats 0", "cats 2"]


# --- lists that lie -----------------------------------------------------------------------------


def did(number: int) -> dict[str, str]:
    return {"did": plc_did(number)}


def test_a_list_without_end_is_cut_off() -> None:
    def more(query: dict[str, list[str]]) -> Any:
        at = int(query.get("cursor", ["0"])[0])
        return {"repos": [did(at)], "cursor": str(at + 1)}

    async def main() -> int:
        async with Firehose(lists=more) as net:
            lister = Lister(HttpClient(Policy(dev=True)), 5)
            pages = await asyncio.to_thread(lambda: list(lister.pages(net.url)))
            return len({item.did for page in pages for item in page})

    assert asyncio.run(main()) == 5

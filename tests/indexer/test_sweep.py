"""Backfill and sweep: what was published before we came, what was missed, and how lists can lie."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atdata.network.http import HttpClient, Policy
from indexer.batch import Position
from indexer.gaps import JUMPED, RESET, gap_between
from indexer.listing import Lister
from indexer.pipeline import Indexer
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
from tests.indexer.repo_builder import NOW_US, Message, create

POST = "app.bsky.feed.post/3k2yihcrp2c2a"
HOUR = 3_600_000_000


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


def test_a_quiet_repo_whose_last_commit_was_swallowed_is_healed_by_the_sweep(db: Path) -> None:
    clock = [NOW_US]

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            options: dict[str, Any] = {"sweep": True, "sweep_seconds": 0.3}
            async with running(net, db, clock=lambda: clock[0], **options) as indexer:
                await reached(indexer, net)
                await swept(indexer)
                repo.commit(create(f"{DATASET}/dogs", dataset("dogs")))
                before = clock[0]
                clock[0] += 1_000_000
                await swept(indexer, since=before)
                await until(lambda: indexer.status().resynced > 0, lambda: "fetched")
                assert indexer.status().sweep.differing == 1

    asyncio.run(main())
    assert names(db) == ["cats", "dogs"]
    assert '"differing"' in rows(db, "SELECT value FROM meta WHERE key = 'sweep'")[0][0]


def gaps(db: Path) -> list[dict[str, Any]]:
    ((text,),) = rows(db, "SELECT gaps FROM sources")
    found: list[dict[str, Any]] = json.loads(text)
    return found


@pytest.mark.parametrize("says_so", [True, False])
def test_a_jump_beyond_what_the_source_keeps_is_noted_and_healed(db: Path, says_so: bool) -> None:
    """With ``#info OutdatedCursor``, as a PDS does it, and in silence, as relays do."""

    async def main() -> None:
        async with Firehose() as net:
            quiet, busy = new_repo(net, 1), new_repo(net, 2)
            await net.send(first_commit(quiet, "cats"), first_commit(busy, "dogs"))
            async with running(net, db, sweep=True) as indexer:
                await reached(indexer, net)
                await swept(indexer)
            quiet.commit(create(f"{DATASET}/lost", dataset("lost")))
            later = "2023-11-15T23:13:20.000Z"
            after = busy.commit(create(f"{DATASET}/mice", dataset("mice"))).having(time=later)
            if says_so:
                info = Message("#info", {"name": "OutdatedCursor", "message": "too old"})
                net.sent.append((8.5, info.frame))
            net.sent.append((9, after.at(9).frame))
            async with running(net, db, sweep=True, clock=lambda: NOW_US + 25 * HOUR) as indexer:
                await reached(indexer, net)
                await swept(indexer, since=NOW_US)

    asyncio.run(main())
    assert names(db) == ["cats", "dogs", "lost", "mice"]
    assert {gap["from_seq"] for gap in gaps(db)} == {2}
    assert all(gap["healed_at"] is not None for gap in gaps(db))
    assert any("OutdatedCursor" in gap["why"] for gap in gaps(db)) == says_so


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


# --- lists that lie -----------------------------------------------------------------------------


def did(number: int) -> dict[str, str]:
    return {"did": plc_did(number)}


def loop(query: dict[str, list[str]]) -> Any:
    """Two pages, of which the second leads to the first again."""
    if query.get("cursor") == ["b"]:
        return {"repos": [did(3)], "cursor": "a"}
    return {"repos": [did(1), did(2)], "cursor": "b"}


def endless(query: dict[str, list[str]]) -> Any:
    """The same page under ever new cursors."""
    at = int(query.get("cursor", ["0"])[0])
    return {"repos": [did(1), did(2), did(3)], "cursor": str(at + 1)}


def shrinking(query: dict[str, list[str]]) -> Any:
    """Pages of two, one, none and one."""
    at = int(query.get("cursor", ["0"])[0])
    pages = [[did(1), did(2)], [did(2)], [], [did(3)]]
    return {"repos": pages[at], **({"cursor": str(at + 1)} if at < 3 else {})}


def malformed(query: dict[str, list[str]]) -> Any:
    """Entries that make no sense among some that do."""
    return {"repos": [did(1), 7, {"did": "did:plc:"}, {}, did(2), None, did(3)], "cursor": 5}


@pytest.mark.parametrize("answers", [loop, endless, shrinking, malformed])
def test_a_list_ends_and_is_complete(answers: Callable[[dict[str, list[str]]], Any]) -> None:
    async def main() -> set[str]:
        async with Firehose(lists=answers) as net:
            lister = Lister(HttpClient(Policy(dev=True)), 1_000)
            pages = await asyncio.to_thread(lambda: list(lister.pages(net.url)))
            return {item.did for page in pages for item in page}

    assert asyncio.run(main()) == {plc_did(1), plc_did(2), plc_did(3)}


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

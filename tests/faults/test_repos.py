"""Faults of fetched repos: cut, wrong, late, slow, endless, moved, raced by live commits."""

from __future__ import annotations

import asyncio
import http.server
import itertools
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from atdata.protocol import car
from atdata.protocol.keys import key_of
from indexer.database import open_database
from indexer.pipeline import Indexer
from search_api.database import Database
from search_api.text_index import TextIndex
from search_api.text_query import DatasetQuery
from tests.faults.conftest import Fault
from tests.faults.hosts import ForgingFirehose, HeldFirehose
from tests.faults.model import Model, same_as
from tests.faults.scenes import POST, asked, drops, indexed, states
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    reached,
    rows,
    running,
    settled,
    until,
)
from tests.indexer.pds import Answer, body, pds
from tests.indexer.repo_builder import (
    P256,
    Message,
    Repo,
    Write,
    create,
    delete,
    identity,
    unchecked_car,
    update,
)

CATS, DOGS, MICE = (f"{DATASET}/{name}" for name in ("cats", "dogs", "mice"))


@pytest.mark.fault(23)
def test_records_that_a_resync_does_not_find_are_gone_from_rows_and_searches(
    fault: Fault, db: Path, tmp_path: Path
) -> None:
    def hits(text_index: TextIndex, word: str) -> set[int]:
        text_index.catch_up()
        return {rank.doc for rank in text_index.search(DatasetQuery(q=word), 100).ranks}

    async def main() -> None:
        with open_database(db) as connection:
            text_index = TextIndex(tmp_path / "text", Database(connection))
            async with Firehose() as net:
                repo, model = new_repo(net), Model.of(net)
                await net.send(first_commit(repo, "cats", "dogs", "mice"))
                async with running(net, db, connection=connection) as indexer:
                    await reached(indexer, net)
                    gone = hits(text_index, "cats") | hits(text_index, "mice")
                    repo.commit(delete(CATS), delete(MICE))
                    await net.send(repo.commit(create(POST, {"text": "hello"})))
                    await reached(indexer, net)
                    await settled(indexer)
                same_as(model, connection)
                for word in ("cats", "dogs", "mice"):
                    assert hits(text_index, word) == set(map(key_of, model.search(word)))
                assert hits(text_index, "") & gone == set()
                fault.fired(len(gone))
            text_index.close()

    asyncio.run(main())


@pytest.mark.fault(24)
def test_a_repo_that_is_cut_at_any_block_boundary_never_counts_as_complete(
    fault: Fault, db: Path
) -> None:
    """Such a file is a valid CAR; only the walk of the whole tree shows what is missing."""

    async def main() -> None:
        async with ForgingFirehose() as net:
            repo = new_repo(net)
            for i in range(9):
                repo.commit(create(f"{DATASET}/r{i:02}", dataset(f"cats {i}")))
            await net.send(repo.commit(create(CATS, dataset("cats"))))
            file = car.read(repo.car())
            blocks = list(file.blocks.items())
            cuts = [unchecked_car(file.roots, blocks[:cut]) for cut in range(len(blocks))]
            net.forged[repo.did] = iter(cuts)
            resync = {"resync_backoff_seconds": 0.001, "resync_backoff_max_seconds": 0.002}
            async with running(net, db, **resync) as indexer:  # type: ignore[arg-type]
                await reached(indexer, net)
                await until(lambda: net.served.total() == len(cuts), lambda: str(indexer.status()))
                await settled(indexer)
                assert indexer.status().resynced == 1
            assert set(drops(db)) <= {"missing_block", "invalid_car"}
            assert sum(drops(db).values()) == len(cuts)
            same_as(Model.of(net), db)
            fault.fired(net.served.total())

    asyncio.run(main())


# --- answers of a PDS ---------------------------------------------------------------------------


def endless(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(bytes(65_536))


def trickle(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "100000")
    request.end_headers()
    for _ in range(1_000):
        request.wfile.write(b"\x00")
        time.sleep(0.01)


def another(number: int = 5) -> bytes:
    repo = Repo(did=new_repo(Firehose(), number).did)
    repo.commit(create(CATS, dataset("of somebody else")))
    return repo.car()


def older(repo: Repo) -> bytes:
    """The repo as it was after its first commit."""
    early = Repo(did=repo.did)
    first_commit(early, "cats", "dogs")
    return early.car()


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda _: body(another()), "signed commit is of"),
        (lambda repo: body(repo.car(key=P256)), "not signed by"),
        (lambda repo: body(older(repo)), "serves rev"),
        (lambda _: body(b"{}", 429, Retry_After="1"), "429"),
        (lambda _: trickle, "too slow"),
        (lambda _: endless, "at most 300000"),
        (lambda _: body(b"<html>"), "CAR"),
        (lambda _: body(b"{}", 503), "503"),
    ],
    ids=["wrong DID", "wrong key", "older", "429", "trickle", "endless", "no CAR", "503"],
)
def test_a_wrong_answer_is_given_up_in_time_and_keeps_the_rows(
    fault: Fault, db: Path, wrong: Callable[[Repo], Answer], why: str
) -> None:
    """The rows stay as they were until the PDS answers as it should; another account's PDS is
    asked meanwhile, and is not held up."""

    async def main() -> None:
        async with Firehose() as net:
            repo, other = new_repo(net, 1), new_repo(net, 2)
            await net.send(first_commit(repo, "cats", "dogs"), first_commit(other, "mice"))
            await net.send(repo.commit(update(CATS, dataset("lions"))))
            await indexed(net, db)
            repo.commit(delete(CATS))
            answers: list[Answer] = [wrong(repo)]
            count = 0

            def answer(request: http.server.BaseHTTPRequestHandler) -> None:
                nonlocal count
                if "getRepo" in request.path:
                    count += 1
                (answers[0] if answers else body(repo.car()))(request)

            with pds(answer) as url:
                net.documents[repo.did]["service"][0]["serviceEndpoint"] = url
                await net.send(identity(repo.did), repo.sync())
                other.commit(delete(MICE))
                await net.send(other.sync())
                limits = {"repo_bytes": 300_000, "repo_seconds": 0.3}
                async with running(net, db, **limits) as indexer:  # type: ignore[arg-type]
                    await reached(indexer, net)
                    await until(lambda: indexer.status().resynced == 1, lambda: "the other")
                    await until(lambda: count > 0, lambda: "asked")
                    await until(lambda: said(indexer) is not None, lambda: "given up")
                    assert why in str(said(indexer))
                kept = rows(db, "SELECT rkey FROM records WHERE did LIKE '%baaaaaaa'")
                assert sorted(kept) == [("cats",), ("dogs",)]
                fault.fired(count)
                answers.clear()
                await indexed(net, db)
                same_as(Model.of(net), db)

    def said(indexer: Indexer) -> str | None:
        return next((s.sync_error for s in indexer._store.repos() if s.sync_error), None)

    asyncio.run(main())


@pytest.mark.fault(25)
@pytest.mark.parametrize("announced", ["by #sync", "by a commit that is refused"])
def test_a_pds_that_lags_behind_what_was_announced_is_asked_again(
    fault: Fault, db: Path, announced: str
) -> None:
    """It serves the very state that we hold, though a signature vouches for a later one: of a
    repo that is not known to be synced."""

    async def main() -> None:
        async with ForgingFirehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"))
            await indexed(net, db)
            net.forged[repo.did] = iter([repo.car()] * 3)
            message = repo.commit(delete(CATS))
            by_sync = announced == "by #sync"
            await net.send(repo.sync() if by_sync else message.having(ops=[]))
            async with running(net, db) as indexer:
                await reached(indexer, net)
                await settled(indexer)
                assert indexer.status().resynced == 1
            assert (net.served.total(), asked(net, "getRepo")) == (3, 1)
            same_as(Model.of(net), db)
            fault.fired(net.served.total())

    asyncio.run(main())


@pytest.mark.fault(25)
def test_a_pds_that_asks_to_be_left_alone_is_left_alone(fault: Fault, db: Path) -> None:
    """429 with Retry-After: no repo of that host is asked for, while another host that fails is
    tried again and again."""

    async def main() -> None:
        async with Firehose() as net:
            counts = Counter[str]()

            def busy(request: http.server.BaseHTTPRequestHandler) -> None:
                counts["429"] += "getRepo" in request.path
                body(b"{}", 429, Retry_After="3600")(request)

            def failing(request: http.server.BaseHTTPRequestHandler) -> None:
                counts["503"] += "getRepo" in request.path
                body(b"{}", 503)(request)

            with pds(busy) as busy_url, pds(failing) as failing_url:
                for number, url in enumerate((busy_url, busy_url, busy_url, failing_url)):
                    repo = new_repo(net, number)
                    repo.commit(create(CATS, dataset("cats")))
                    await net.send(repo.commit(create(DOGS, dataset("dogs"))))
                    net.documents[repo.did]["service"][0]["serviceEndpoint"] = url
                async with running(net, db, fetches_per_host=1) as indexer:
                    await reached(indexer, net)
                    await until(lambda: counts["503"] >= 5, lambda: str(counts))
            assert counts["429"] == 1
            fault.fired(counts["429"])
            for repo in net.repos.values():
                net.knows(repo.did)
            await indexed(net, db)
            same_as(Model.of(net), db)

    asyncio.run(main())


# --- live commits during a fetch ----------------------------------------------------------------

SCRIPTS: tuple[tuple[Write, ...], ...] = (
    (delete(CATS), create(CATS, dataset("lions")), delete(DOGS)),
    (create(MICE, dataset("mice")), delete(MICE)),
    (update(CATS, dataset("lions")), delete(CATS)),
)


@pytest.mark.fault(26)
@pytest.mark.parametrize("script", range(len(SCRIPTS)))
def test_live_commits_race_a_snapshot_in_every_interleaving(
    fault: Fault, db: Path, script: int
) -> None:
    """Two or three commits, around the moment that the snapshot is of and the one at which it
    arrives; each is delivered before the snapshot, after it, or never. A repo for every case."""

    async def main() -> None:
        async with HeldFirehose() as net:
            cases = every_case(len(SCRIPTS[script]))
            async with running(net, db, fetches=100, fetches_per_host=100) as indexer:
                repos = [new_repo(net, number) for number in range(len(cases))]
                for repo in repos:
                    repo.commit(create(CATS, dataset("cats")))
                early: list[Message] = []
                late: list[Message] = []
                for repo, (moment, fates) in zip(repos, cases, strict=True):
                    await net.send(repo.commit(create(DOGS, dataset("dogs"))))
                    for i, (write, fate) in enumerate(zip(SCRIPTS[script], fates, strict=True)):
                        if i == moment:
                            net.snapshots[repo.did] = repo.car()
                        message = repo.commit(write)
                        {"early": early, "late": late, "never": []}[fate].append(message)
                    net.snapshots.setdefault(repo.did, repo.car())
                await until(lambda: net.held == len(cases), lambda: f"{net.held} are fetching")
                await net.send(*early)
                await reached(indexer, net)
                net.release()
                await until(lambda: indexer.status().resyncing == 0, lambda: "all arrived")
                await net.send(*late)
                await net.send(*(repo.commit(create(POST, {"text": "x"})) for repo in repos))
                await reached(indexer, net)
                await settled(indexer)
            same_as(Model.of(net), db)
            assert set(states(db)) == {"synced"}
            fault.fired(net.held)

    asyncio.run(main())


def every_case(commits: int) -> list[tuple[int, tuple[str, ...]]]:
    """When the snapshot is taken (before commit 0, 1 … or after all), and what becomes of each
    commit. None is delivered after one that follows it: sources keep a repo's order."""
    fates = [
        fate
        for fate in itertools.product(("early", "late", "never"), repeat=commits)
        if not any(a == "late" and b == "early" for a, b in itertools.combinations(fate, 2))
    ]
    return [(moment, fate) for moment in range(commits + 1) for fate in fates]


@pytest.mark.fault(29)
def test_an_account_that_moves_while_it_is_fetched_is_followed(fault: Fault, db: Path) -> None:
    """The old PDS serves what it had; the new one has more, and signs with another key."""
    seconds = [0.0]

    async def main() -> None:
        async with HeldFirehose() as old, Firehose() as new:
            repo = new_repo(old)
            repo.commit(create(CATS, dataset("cats")), create(MICE, dataset("mice")))
            await old.send(repo.commit(create(DOGS, dataset("dogs"))))
            async with running(old, db, seconds=lambda: seconds[0]) as indexer:
                await reached(indexer, old)
                await until(lambda: old.held == 1, lambda: "fetching from the old PDS")
                repo.key = P256
                repo.commit(delete(MICE), update(CATS, dataset("lions")))
                new.repos[repo.did] = repo
                new.knows(repo.did, P256)
                old.documents[repo.did] = new.documents[repo.did]
                seconds[0] += 10
                await old.send(identity(repo.did), repo.sync())
                await reached(indexer, old)
                old.release()
                await settled(indexer)
            same_as(Model(old.repos, old.documents), db)
            assert rows(db, "SELECT pds FROM repos") == [(new.plc,)]
            fault.fired(min(old.held, asked(new, "getRepo")))

    asyncio.run(main())


@pytest.mark.fault(29)
@pytest.mark.parametrize("error", ["RepoDeactivated", "RepoNotFound"])
def test_an_account_whose_old_pds_serves_it_no_more_is_found_at_the_new_one(
    fault: Fault, db: Path, error: str
) -> None:
    """Before ``#identity`` tells of the move, the directory does."""
    seconds = [0.0]

    async def main() -> None:
        async with Firehose() as net, Firehose() as new:
            repo = new_repo(net)
            text = f'{{"error": "{error}", "message": "so it is"}}'.encode()
            with pds(body(text, 400)) as old:
                net.documents[repo.did]["service"][0]["serviceEndpoint"] = old
                repo.commit(create(CATS, dataset("cats")))
                await net.send(repo.commit(create(DOGS, dataset("dogs"))))
                async with running(net, db, seconds=lambda: seconds[0]) as indexer:
                    await reached(indexer, net)
                    await settled(indexer)
                    await until(lambda: is_unserved(indexer), lambda: "not served")
                    new.repos[repo.did] = repo
                    new.knows(repo.did)
                    net.documents[repo.did] = new.documents[repo.did]
                    seconds[0] += 10
                    repo.commit(create(MICE, dataset("mice")))
                    await net.send(identity(repo.did), repo.sync())
                    await reached(indexer, net)
                    await settled(indexer)
            same_as(Model(net.repos, net.documents), db)
            fault.fired(asked(new, "getRepo"))

    def is_unserved(indexer: Indexer) -> bool:
        return any(state.is_unserved for state in indexer._store.repos())

    asyncio.run(main())

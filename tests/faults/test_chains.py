"""Faults of chains: commits that are missed, swallowed or come in another order of things."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Fault
from tests.faults.hosts import HeldFirehose
from tests.faults.model import Model, same_as
from tests.faults.scenes import POST, asked, drops, indexed, names, states
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
from tests.indexer.repo_builder import NOW_US, Repo, create, delete, update

CATS, DOGS, MICE = (f"{DATASET}/{name}" for name in ("cats", "dogs", "mice"))


@pytest.mark.fault(18)
def test_a_repo_first_seen_in_its_middle_is_shown_and_then_fetched(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            repo.commit(create(CATS, dataset("cats")), create(POST, {"text": "hello"}))
            await net.send(repo.commit(create(DOGS, dataset("dogs"))))
            net.pds_is_down = True
            async with running(net, db) as indexer:
                await reached(indexer, net)
            assert (names(db), states(db)) == (["dogs"], ["new"])
            net.pds_is_down = False
            net.asked.clear()
            await indexed(net, db)
            same_as(Model.of(net), db)
            fault.fired(asked(net, "getRepo"))

    asyncio.run(main())


@pytest.mark.fault(18)
def test_a_first_commit_whose_ops_are_not_its_difference_is_refused(fault: Fault, db: Path) -> None:
    """Nothing of it is applied. But the signed tree holds one of our records, so that the repo is
    fetched; an honest commit then follows."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            repo.commit(create(CATS, dataset("cats")))
            message = repo.commit(create(DOGS, dataset("dogs")), delete(CATS))
            await net.send(message.having(ops=message.body["ops"][:1]))
            await indexed(net, db)
            assert (names(db), drops(db)) == (["dogs"], {"inversion_mismatch": 1})
            assert asked(net, "getRepo") == 1
            await net.send(repo.commit(create(MICE, dataset("mice"))))
            await indexed(net, db)
            same_as(Model.of(net), db)
            fault.fired(drops(db)["inversion_mismatch"])

    asyncio.run(main())


@pytest.mark.fault(20)
def test_a_swallowed_commit_is_healed_at_the_next_one(fault: Fault, db: Path) -> None:
    """Any one of five: the next commit, though it is of another collection, betrays it."""

    async def main() -> None:
        async with Firehose() as net:
            swallowed = 0
            for number in range(5):
                repo = new_repo(net, number)
                every = [
                    first_commit(repo, "cats", "dogs"),
                    repo.commit(delete(CATS), create(MICE, dataset("mice"))),
                    repo.commit(update(DOGS, dataset("wolves"))),
                    repo.commit(create(POST, {"text": "hello"})),
                    repo.commit(create(CATS, dataset("lions"))),
                ]
                swallowed += 1
                await net.send(*(every[:number] + every[number + 1 :]))
                await net.send(repo.commit(update(POST, {"text": "goodbye"})))
            await indexed(net, db)
            same_as(Model.of(net), db)
            fault.fired(swallowed)
            assert asked(net, "getRepo") >= swallowed

    asyncio.run(main())


@pytest.mark.fault(20)
def test_a_quiet_repo_whose_last_commit_was_swallowed_is_healed_by_the_sweep(
    fault: Fault, db: Path
) -> None:
    clock = [NOW_US]

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            options: dict[str, Any] = {"sweep": True, "sweep_seconds": 0.3}
            async with running(net, db, clock=lambda: clock[0], **options) as indexer:
                await reached(indexer, net)
                await until(lambda: indexer.status().sweep.finished_at is not None, lambda: "1st")
                repo.commit(create(DOGS, dataset("dogs")), delete(CATS))
                clock[0] += 1_000_000
                await until(lambda: indexer.status().resynced > 0, lambda: "fetched")
                await settled(indexer)
                await until(lambda: indexer.status().sweep.differing == 1, lambda: "counted")
                fault.fired(indexer.status().sweep.differing)
            same_as(Model.of(net), db)

    asyncio.run(main())
    assert '"differing": 1' in rows(db, "SELECT value FROM meta WHERE key = 'sweep'")[0][0]


@pytest.mark.fault(22)
def test_a_sync_to_what_we_hold_changes_nothing(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            same = repo.sync()
            repo.rev = repo.next_rev()
            repo.commits += 1
            syncs = [same, repo.sync()]  # the same commit, and the same tree under a later rev
            await net.send(*syncs)
            await indexed(net, db)
            assert asked(net, "getRepo") == 0
            await net.send(repo.commit(create(DOGS, dataset("dogs"))))
            await indexed(net, db)
            assert asked(net, "getRepo") == 0, "the chain goes on"
            same_as(Model.of(net), db)
            fault.fired(len(syncs))

    asyncio.run(main())


@pytest.mark.fault(22)
def test_a_sync_to_something_else_makes_us_fetch_the_repo(fault: Fault, db: Path) -> None:
    """As a PDS says it after an account was imported: no commit tells what changed."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"))
            repo.commit(delete(CATS), update(DOGS, dataset("wolves")))
            await net.send(repo.sync())
            await indexed(net, db)
            same_as(Model.of(net), db)
            fault.fired(asked(net, "getRepo"))

    asyncio.run(main())


@pytest.mark.fault(22)
def test_a_sync_while_the_repo_is_fetched_makes_us_fetch_it_again(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with HeldFirehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"))
            repo.commit(delete(CATS))
            async with running(net, db) as indexer:
                await net.send(repo.sync())
                await until(lambda: net.held == 1, lambda: "fetching")
                repo.commit(update(DOGS, dataset("wolves")))
                await net.send(repo.sync())
                await reached(indexer, net)
                net.release()
                await settled(indexer)
            assert asked(net, "getRepo") == 2
            same_as(Model.of(net), db)
            fault.fired(net.held)

    asyncio.run(main())


@pytest.mark.fault(27)
def test_a_record_that_is_deleted_and_made_again_is_the_last_one(fault: Fault, db: Path) -> None:
    """Under one record key: in commits of their own, within one run of frames, and in a gap."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"))
            again = [
                *(delete(CATS), create(CATS, dataset("lions"))),
                *(delete(CATS), create(CATS, dataset("cats"))),
                *(update(CATS, dataset("tigers")), delete(CATS)),
                create(CATS, dataset("lynx")),
            ]
            await net.send(*(repo.commit(write) for write in again))
            await indexed(net, db)
            assert asked(net, "getRepo") == 0
            same_as(Model.of(net), db)
            fault.fired(len(again))

    asyncio.run(main())


def change_in_a_gap(repo: Repo, *writes: Any) -> None:
    """Commits that nobody brings."""
    for write in writes:
        repo.commit(write)


@pytest.mark.fault(27)
@pytest.mark.parametrize("served", [True, False], ids=["fetched", "the next commit touches it"])
def test_what_happened_in_a_gap_ends_in_the_last_state(
    fault: Fault, db: Path, served: bool
) -> None:
    """Updated and then deleted; deleted and then made again; made and deleted."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats", "dogs"))
            await indexed(net, db)
            change_in_a_gap(repo, update(CATS, dataset("lions")), delete(CATS))
            change_in_a_gap(repo, delete(DOGS), create(DOGS, dataset("wolves")))
            change_in_a_gap(repo, create(MICE, dataset("mice")), delete(MICE))
            last = create(POST, {"text": "hello"}) if served else create(CATS, dataset("lynx"))
            await net.send(repo.commit(last))
            await indexed(net, db)
            same_as(Model.of(net), db)
            fault.fired(asked(net, "getRepo"))

    asyncio.run(main())

"""Faults of accounts: deleted and back, old news of them, and hidden in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.conftest import Fault
from tests.faults.model import Model, same_as
from tests.faults.scenes import asked, drops, indexed
from tests.indexer.network import DATASET, Firehose, dataset, first_commit, new_repo, rows
from tests.indexer.repo_builder import Repo, account, create, update

DOGS, MICE = f"{DATASET}/dogs", f"{DATASET}/mice"


@pytest.mark.fault(28)
def test_a_deleted_account_is_purged_and_its_old_commits_stay_away(fault: Fault, db: Path) -> None:
    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            old = [first_commit(repo, "cats"), repo.commit(create(DOGS, dataset("dogs")))]
            await net.send(*old, account(repo.did, active=False, status="deleted"), *old)
            model = Model.of(net)
            model.purge(repo.did)
            await indexed(net, db)
            same_as(model, db)
            assert drops(db) == {"inactive_account": 2}
            fault.fired(drops(db)["inactive_account"])

    asyncio.run(main())


@pytest.mark.fault(28)
def test_an_account_that_comes_back_after_its_deletion_is_indexed_again(
    fault: Fault, db: Path
) -> None:
    """With a repo that begins anew; what it posts is shown, what it had is not."""

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            model = Model.of(net)
            await net.send(first_commit(repo, "cats"))
            await net.send(account(repo.did, active=False, status="deleted"))
            model.purge(repo.did)
            await indexed(net, db)
            same_as(model, db)
            back = Repo(did=repo.did, commits=repo.commits)
            net.repos[repo.did] = back
            back.commit(create(MICE, dataset("mice")))
            await net.send(account(repo.did, active=True))
            model.show(repo.did)
            await net.send(back.commit(create(DOGS, dataset("dogs"))))
            await indexed(net, db)
            same_as(model, db)
            fault.fired(asked(net, "getRepo"))

    asyncio.run(main())


@pytest.mark.fault(28)
def test_an_account_is_hidden_with_its_rows_and_compared_when_it_is_back(
    fault: Fault, db: Path
) -> None:
    """Whatever the status is called: ``active`` decides."""
    statuses = ("takendown", "suspended", "deactivated", "a status of later", None)

    async def main() -> None:
        async with Firehose() as net:
            model = Model.of(net)
            repos = [new_repo(net, number) for number in range(len(statuses))]
            for repo, status in zip(repos, statuses, strict=True):
                await net.send(first_commit(repo, "cats", "dogs"))
                await net.send(account(repo.did, active=False, status=status))
                model.hide(repo.did, status)
            await indexed(net, db)
            same_as(model, db)
            assert model.visible() == []
            for repo in repos:
                repo.commit(update(DOGS, dataset("wolves")))  # its PDS says nothing of it
                await net.send(account(repo.did, active=True))
                model.show(repo.did)
            await indexed(net, db)
            same_as(model, db)
            assert asked(net, "getRepo") == len(repos)
            fault.fired(asked(net, "getRepo"))

    asyncio.run(main())


@pytest.mark.fault(28)
def test_an_old_account_event_that_is_replayed_changes_nothing(fault: Fault, db: Path) -> None:
    """The newest seq of a source wins, also over a restart."""

    async def main() -> None:
        async with Firehose() as net:
            repo, other = new_repo(net, 1), new_repo(net, 2)
            model = Model.of(net)
            await net.send(first_commit(repo, "cats"), first_commit(other, "dogs"))
            gone = account(repo.did, active=False, status="deleted").at(3)
            hidden = account(other.did, active=True).at(4)
            away = account(other.did, active=False, status="takendown").at(5)
            await net.send(account(repo.did, active=True).at(3))
            await net.send(hidden, away)
            model.hide(other.did, "takendown")
            await indexed(net, db)
            same_as(model, db)
            stale = [gone.at(2).frame, hidden.frame, away.frame, gone.at(3).frame]
            for frame in stale:
                net.sent.append((net.last + 1, frame))
            await net.send(account(other.did, active=False, status="takendown"))
            await indexed(net, db)
            same_as(model, db)
            query = "SELECT account_seq FROM repos WHERE active"
            ((seqs,),) = rows(db, query)
            assert f'"{net.url}":3' in seqs.replace(" ", "")
            fault.fired(len(stale))

    asyncio.run(main())

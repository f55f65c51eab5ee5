"""Faults of lists: sources whose pages lead in circles, repeat, shrink, or make no sense."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Fault
from tests.faults.model import Model, same_as
from tests.faults.scenes import POST, asked
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    new_repo,
    plc_did,
    running,
    settled,
    until,
)
from tests.indexer.repo_builder import create

REPOS = 5
Query = dict[str, list[str]]


def did(number: int) -> dict[str, str]:
    return {"did": plc_did(number)}


def at(query: Query) -> int:
    return int(query.get("cursor", ["0"])[0])


def loop(query: Query) -> Any:
    """Two pages, of which the second leads to the first again."""
    if at(query) == 1:
        return {"repos": [did(3), did(4)], "cursor": "2"}
    return {"repos": [did(0), did(1), did(2)], "cursor": "1"}


def stuck(query: Query) -> Any:
    """The last page leads to itself."""
    if at(query) == 0:
        return {"repos": [did(0), did(1), did(2)], "cursor": "1"}
    return {"repos": [did(3), did(4)], "cursor": "1"}


def endless(query: Query) -> Any:
    """The same page under ever new cursors."""
    return {"repos": [did(n) for n in range(REPOS)], "cursor": str(at(query) + 1)}


def overlapping(query: Query) -> Any:
    """Every page repeats most of the one before."""
    page = [did(n) for n in range(at(query), min(at(query) + 3, REPOS))]
    return {"repos": page, **({"cursor": str(at(query) + 1)} if at(query) < 2 else {})}


def shrinking(query: Query) -> Any:
    """Pages of three, one, none and one."""
    pages = [[did(0), did(1), did(2)], [did(3)], [], [did(4)]]
    return {"repos": pages[at(query)], **({"cursor": str(at(query) + 1)} if at(query) < 3 else {})}


def malformed(query: Query) -> Any:
    """Entries that make no sense among some that do, and a cursor that is none."""
    sense = [did(n) for n in range(REPOS)]
    return {"repos": [7, *sense[:2], {"did": "did:plc:"}, {}, None, *sense[2:]], "cursor": 5}


@pytest.mark.fault(33)
@pytest.mark.parametrize("answers", [loop, stuck, endless, overlapping, shrinking, malformed])
def test_a_list_ends_and_is_complete(
    fault: Fault, db: Path, answers: Callable[[Query], Any]
) -> None:
    """Everything was published before we came, so that only the list can tell of it."""

    async def main() -> None:
        async with Firehose(lists=answers) as net:
            for number in range(REPOS):
                repo = new_repo(net, number)
                repo.commit(create(f"{DATASET}/a", dataset(f"cats {number}")), create(POST, {}))
            async with running(net, db, sweep=True) as indexer:
                await until(
                    lambda: indexer.status().sweep.finished_at is not None,
                    lambda: str(indexer.status()),
                )
                await settled(indexer)
                assert indexer.status().sweep.adopted == REPOS
            same_as(Model.of(net), db)
            fault.fired(asked(net, "listReposByCollection"))

    asyncio.run(main())

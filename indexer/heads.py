"""The newest rev of many repos, asked at the PDSes that hold them.

Rules protected here: hosts are asked side by side, each about one repo at a time and not too often,
so that a slow or dead one delays no other; one repo that can't be had says nothing of its host,
several in a row do; and a host that was given up begins with other repos the next time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass

from atdata.protocol.syntax import Tid
from indexer.batch import RepoState
from indexer.repos import Failed, Gone, RepoClient
from indexer.threads import in_thread

Answer = Tid | Gone | Failed


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """``hosts`` are asked at once, each ``per_second`` times. After ``failures`` in a row, or if it
    wants to be left alone for longer than ``patience`` seconds, a host is given up."""

    hosts: int = 8
    per_second: float = 10.0
    failures: int = 3
    patience: float = 60.0


async def ask_heads(
    client: RepoClient, repos: Iterable[RepoState], limits: HeadLimits
) -> dict[str, Answer]:
    """DID → what its PDS says. Of a repo whose host was given up, what that host said last."""
    by_host: dict[str, list[str]] = {}
    for state in repos:
        if state.pds is not None:
            by_host.setdefault(state.pds, []).append(state.did)
    hosts = list(by_host.items())
    random.shuffle(hosts)
    found: dict[str, Answer] = {}

    async def work() -> None:
        while hosts:
            host, dids = hosts.pop()
            found.update(await _ask_host(client, host, dids, limits))

    async with asyncio.TaskGroup() as group:
        for _ in range(limits.hosts):
            group.create_task(work())
    return found


async def _ask_host(
    client: RepoClient, host: str, dids: list[str], limits: HeadLimits
) -> dict[str, Answer]:
    random.shuffle(dids)
    found: dict[str, Answer] = {}
    failures = 0
    for did in dids:
        await asyncio.sleep(1 / limits.per_second)
        answer: Answer = await in_thread(lambda: client.latest_rev(did, host), "sweep")  # noqa: B023
        found[did] = answer
        if not isinstance(answer, Failed):
            failures = 0
            continue
        failures += 1
        pause = answer.retry_after or 0.0
        if failures == limits.failures or pause > limits.patience:
            return dict.fromkeys(dids, answer) | found
        await asyncio.sleep(pause)
    return found

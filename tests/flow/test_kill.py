"""SIGKILL at random points of a replay: the same rows and cursors as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from indexer.recordings import Recording, ReplayServer
from tests.flow.kills import arguments, change_seqs, cursors, rows
from tests.flow.node import free_port, node
from tests.flow.replay import DEMO, demo_is_indexed, replaying

KILLS = 15
MOST_KILLS = 60  # on a slow machine, where a life gets less far
RATE = 12.0  # frames a second and source: a replay takes longer than any one life of the node
SEED = 20260301


def distinct(seen: list[dict[str, int]]) -> set[tuple[tuple[str, int], ...]]:
    return {tuple(sorted(cursor.items())) for cursor in seen}


def undisturbed(folder: Path, port: int) -> dict[str, list[Any]]:
    folder.mkdir()
    with replaying(port) as network, node(folder, *arguments(network)) as running:
        running.wait_until(lambda: demo_is_indexed(running), "the replay is indexed")
    return rows(folder)


def kill_once(folder: Path, network: ReplayServer, after: float) -> None:
    """A life of the node that ends ``after`` seconds from its first answer."""
    with node(folder, *arguments(network)) as running:
        time.sleep(after)
        running.process.send_signal(signal.SIGKILL)
        assert running.process.wait(10) == -signal.SIGKILL


@pytest.mark.timeout(300)
def test_killed_again_and_again_the_rows_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Short lives must make headway: the cursor is written often, also while only noise passes.
    monkeypatch.setenv("ATDATA_INDEXER_FLUSH_SECONDS", "0.05")
    port, chance = free_port(), random.Random(SEED)
    expected = undisturbed(tmp_path / "undisturbed", port)
    assert len(expected["datasets"]) >= 30

    folder = tmp_path / "killed"
    folder.mkdir()
    seen: list[dict[str, int]] = []
    with replaying(port, RATE) as network:
        while len(seen) < KILLS or (len(distinct(seen)) < 5 and len(seen) < MOST_KILLS):
            kill_once(folder, network, after=chance.uniform(0.0, 0.7))
            seen.append(cursors(folder))
        with node(folder, *arguments(network)) as running:
            running.wait_until(lambda: demo_is_indexed(running), "the replay is indexed")
            found = running.get("/xrpc/ac.foundation.dataset.searchDatasets?limit=100")

    # The kills fell into the replay: the cursors rose, each within the recording, never back.
    for url in {url for cursor in seen for url in cursor}:
        path = [cursor.get(url, 0) for cursor in seen]
        assert path == sorted(path)
    last = {source.last_seq for source in Recording.open(DEMO).manifest.sources}
    assert len(distinct(seen)) >= 5
    assert any(not last & set(cursor.values()) for cursor in seen)

    assert rows(folder) == expected
    assert found["hitsTotal"] == len(expected["datasets"])
    seqs = change_seqs(folder)
    assert seqs == list(range(1, len(seqs) + 1))

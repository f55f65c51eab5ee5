"""SIGKILL at random points of a replay: the same rows and cursors as if nothing had happened."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from indexer.recordings import Recording, ReplayServer
from tests.flow.node import free_port, node, source_arguments
from tests.flow.replay import DEMO, demo_is_indexed, replaying

KILLS = 15
RATE = 12.0  # frames a second and source: a replay takes longer than any one life of the node
SEED = 20260301

# Everything but the times at which this index happened to see or store something, the rev under
# which it first saw a version of a record, and counts: a repo that was fetched before its commits
# arrived shows them as stale, and its records under the rev of the whole.
TABLES = {
    "sources": "* EXCLUDE (seen_at)",
    "repos": "*",
    "records": "* EXCLUDE (indexed_at, rev)",
    "datasets": "*",
    "dataset_tags": "*",
    "schemas": "*",
    "schema_fields": "*",
    "lenses": "*",
    "labels": "*",
    "lens_verifications": "*",
}


def arguments(network: ReplayServer) -> list[str]:
    return ["--plc", network.origin, *source_arguments(list(network.sources.values()))]


def rows(folder: Path) -> dict[str, list[Any]]:
    with duckdb.connect(str(folder / "index.duckdb"), read_only=True) as connection:
        return {
            table: sorted(
                map(
                    repr,
                    connection.execute(
                        f"SELECT COLUMNS({columns})::VARCHAR FROM {table}"
                    ).fetchall(),
                )
            )
            for table, columns in TABLES.items()
        }


def cursors(folder: Path) -> dict[str, int]:
    """After a kill, from a copy: opening replays the log, which is the node's to do."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in folder.glob("index.duckdb*"):
        if file.is_file():
            shutil.copy(file, copy / file.name)
    with duckdb.connect(str(copy / "index.duckdb")) as connection:
        if not connection.execute(
            "SELECT 1 FROM duckdb_tables WHERE table_name='sources'"
        ).fetchall():
            return {}
        return dict(connection.execute("SELECT url, cursor FROM sources").fetchall())


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
        for _ in range(KILLS):
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
    assert len({tuple(sorted(cursor.items())) for cursor in seen}) >= 5
    assert any(not last & set(cursor.values()) for cursor in seen)

    assert rows(folder) == expected
    assert found["hitsTotal"] == len(expected["datasets"])
    with duckdb.connect(str(folder / "index.duckdb"), read_only=True) as connection:
        numbers = [
            n for (n,) in connection.execute("SELECT seq FROM changes ORDER BY seq").fetchall()
        ]
    assert numbers == list(range(1, len(numbers) + 1))

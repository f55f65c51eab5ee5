"""``atdata index status``: sources, gaps, repos by state, the last sweep, what was kept out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from indexer.batch import Gap, Position, RepoState, SyncState
from indexer.database import open_database
from indexer.drops import Drop, DropReason
from indexer.store import Store
from indexer.sweep import SWEEP, SweepState

AT = 1_760_000_000_000_000  # 2025-10-09 08:53:20 UTC
URL = "wss://relay\u202e.example"
FOR_PEOPLE = """\
wss://relay\\u202e.example: cursor 1234, last event of 2025-10-09 08:53:20 UTC, \
3 gaps, 2 of them open
wss://other.example: cursor 5, HALTED: FutureCursor
repos: 6 (2 synced, 2 new, 1 desynchronized, 1 inactive; 2 could not be fetched the last time)
open gaps: 2
sweep: the last one ended 2025-10-09 08:54:20 UTC, one every 3,600 s; 1,100 repos listed, \
1,000 compared; healed 27 (3 unknown, 20 differing, 4 gone); failed: 5 repos not reached, \
6 sources not listed
changes: 0
quarantined: 2 (bad_signature 2)
invalid records: 0
dropped bad_signature: 3
"""


def status(db: Path, *options: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATDATA_")}
    command = [sys.executable, "-m", "atdata.cli", "index", "status", "--db", str(db), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """An index that has seen most of what there is to see."""
    path = tmp_path / "index.duckdb"
    gap = Gap(1, 9, None, None, "a pause", AT)
    with open_database(path) as connection:
        store = Store(connection)
        batch = store.batch()
        healed = Gap(20, 30, None, None, "a pause", AT, AT + 1)
        batch.advance(Position(URL, 1_234, AT, AT, (healed, gap, gap)))
        batch.advance(Position("wss://other.example", 5, halted_because="FutureCursor"))
        for number, (state, error, active) in enumerate(
            (
                (SyncState.SYNCED, None, True),
                (SyncState.SYNCED, None, True),
                (SyncState.NEW, None, True),
                (SyncState.NEW, "the host is down", True),
                (SyncState.DESYNCHRONIZED, "the host is down", True),
                (SyncState.DESYNCHRONIZED, "RepoTakendown", False),
            )
        ):
            did = f"did:web:account{number}.example"
            batch.set_repo(RepoState(did, active=active, sync_state=state, sync_error=error))
        for number in range(3):
            drop = Drop(DropReason.BAD_SIGNATURE, "", URL, number, None, b"frame")
            batch.drop(drop, AT, keep=number > 0)
        sweep = SweepState(AT, AT + 60_000_000, 1_100, 3, 1_000, 20, 4, 5, 6, 3_600)
        batch.note(SWEEP, json.dumps(asdict(sweep)))
        store.apply(batch)
    return path


def test_for_people(db: Path) -> None:
    assert status(db) == FOR_PEOPLE


def test_for_programs(db: Path) -> None:
    found: dict[str, Any] = json.loads(status(db, "--json"))
    assert [source["cursor"] for source in found["sources"]] == [1_234, 5]
    assert found["open_gaps"] == 2
    states = {"synced": 2, "new": 2, "desynchronized": 1, "inactive": 1, "failing": 2}
    assert (found["repos"], found["repos_by_state"]) == (6, states)
    assert found["sweep"]["finished_at"] == AT + 60_000_000
    assert (found["sweep"]["period"], found["healed"]) == (3_600, 27)
    assert (found["sweep"]["unreachable"], found["sweep"]["unlisted"]) == (5, 6)
    assert (found["quarantine"], found["drops"]) == ({"bad_signature": 2}, {"bad_signature": 3})


def test_of_an_index_that_is_new(tmp_path: Path) -> None:
    path = tmp_path / "index.duckdb"
    open_database(path).close()
    assert "sweep: none has ended" in status(path)
    assert json.loads(status(path, "--json"))["sweep"] is None

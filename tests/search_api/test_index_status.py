"""What the index says of itself: sources halted or with gaps, sweeps, what was restored."""

from __future__ import annotations

import json

import pytest

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

AT = 1_760_000_000_000_000
TIME = "2025-10-09T08:53:20.000Z"


def source(index: IndexBuilder, number: int, *, halted: str | None = None, gaps: str = "[]") -> str:
    url = f"wss://relay{number}.example"
    row = [number, url, 7, gaps, halted]
    index.connection.execute("INSERT INTO sources VALUES (?, ?, ?, NULL, NULL, ?, ?)", row)
    return url


def note(index: IndexBuilder, key: str, **value: object) -> None:
    index.connection.execute("INSERT INTO meta VALUES (?, ?)", [key, json.dumps(value)])


def test_a_source_that_is_halted_says_why(index: IndexBuilder, service: Service) -> None:
    source(index, 1, halted="FutureCursor: <b>ahead</b>")
    source(index, 2)
    first, second = service.get("getIndexStatus")["sources"]
    assert first["haltedBecause"] == "FutureCursor: <b>ahead</b>"
    assert "haltedBecause" not in second
    page = service.client.get("/status").text
    assert "FutureCursor: &lt;b&gt;ahead&lt;/b&gt;" in page


def test_gaps_of_a_source_and_those_that_are_open(index: IndexBuilder, service: Service) -> None:
    gap = {"from_seq": 1, "to_seq": 9, "from_time": None, "to_time": None, "why": "", "noted_at": 1}
    gaps = [{**gap, "healed_at": None}, {**gap, "healed_at": 5}, {**gap, "healed_at": None}]
    source(index, 1, gaps=json.dumps(gaps))
    (found,) = service.get("getIndexStatus")["sources"]
    assert (found["gaps"], found["unhealedGaps"]) == (3, 2)
    assert "3, 2 of them not compared yet" in service.client.get("/status").text


def test_repos_that_wait_and_those_that_could_not_be_fetched(
    index: IndexBuilder, service: Service
) -> None:
    for name, state, error, active in (
        ("a", "synced", None, True),
        ("b", "new", None, True),
        ("c", "desynchronized", "the host is down", True),
        ("d", "desynchronized", "RepoTakendown", False),
    ):
        did = index.account(name)
        change = "UPDATE repos SET sync_state = ?, sync_error = ?, active = ? WHERE did = ?"
        index.connection.execute(change, [state, error, active, did])
    found = service.get("getIndexStatus")
    assert (found["unsyncedRepos"], found["failingRepos"]) == (2, 1)
    page = service.client.get("/status").text
    assert "2 accounts wait to be fetched; 1 of them could not be the last time." in page


def test_the_last_sweep(index: IndexBuilder, service: Service) -> None:
    assert "sweep" not in service.get("getIndexStatus")
    counts = {"adopted": 1, "checked": 90, "differing": 2, "gone": 4, "unreachable": 8}
    times = {"started_at": 1, "finished_at": AT, "period": 3600}
    note(index, "sweep", listed=100, unlisted=1, **counts, **times)
    assert service.get("getIndexStatus")["sweep"] == {
        "finishedAt": TIME,
        "periodSeconds": 3600,
        "checked": 90,
        "healed": 7,
        "unreachable": 8,
        "unlisted": 1,
    }
    page = service.client.get("/status").text
    assert "90 accounts looked at, 7 healed, 8 not reached, and 1 source not listed." in page
    assert "There is one every 1 h." in page


def test_one_of_an_older_indexer_has_no_period(index: IndexBuilder, service: Service) -> None:
    counts = {"adopted": 1, "checked": 90, "differing": 2, "gone": 4, "unreachable": 8}
    note(index, "sweep", listed=100, **counts, started_at=1, finished_at=AT)
    assert not {"periodSeconds", "unlisted"} & service.get("getIndexStatus")["sweep"].keys()
    assert "8 not reached." in service.client.get("/status").text


@pytest.mark.parametrize("snapshot_at", [AT, None])
def test_what_was_restored(index: IndexBuilder, service: Service, snapshot_at: int | None) -> None:
    note(index, "snapshot", taken_at=AT, rows=5)
    note(index, "restored", at=AT, snapshot_at=snapshot_at, why="/secret/path", set_aside="x")
    found = service.get("getIndexStatus")
    assert found["snapshotAt"] == TIME
    assert found["restored"] == {"at": TIME} | ({"snapshotAt": TIME} if snapshot_at else {})
    page = service.client.get("/status").text
    assert ("by an empty one" in page) == (snapshot_at is None)
    assert "/secret" not in page + json.dumps(found)


# --- health -----------------------------------------------------------------------------------


def test_an_index_that_is_well(index: IndexBuilder, service: Service) -> None:
    source(index, 1)
    answer = service.client.get("/_health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["halted"] == []


def test_one_that_follows_only_some_of_its_sources_is_degraded(
    index: IndexBuilder, service: Service
) -> None:
    url = source(index, 1, halted="FutureCursor")
    source(index, 2)
    answer = service.client.get("/_health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["halted"] == [url]


def test_one_that_follows_none_any_more_is_unavailable(
    index: IndexBuilder, service: Service
) -> None:
    for number in (1, 2):
        source(index, number, halted="FutureCursor")
    answer = service.client.get("/_health")
    assert answer.status_code == 503
    assert "halted" in answer.json()["message"]


def test_one_whose_database_does_not_answer_is_unavailable(
    index: IndexBuilder, service: Service
) -> None:
    index.connection.execute("ALTER TABLE sources DROP COLUMN halted_because")
    assert service.client.get("/_health").status_code == 503

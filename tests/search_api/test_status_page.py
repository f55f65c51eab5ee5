"""The state of the index in words: as ``getIndexStatus`` has it, the worst first."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from atdata.protocol.status_views import Counts, IndexStatus, SourceStatus
from indexer.drops import DropReason
from search_api.web import status_text
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service
from tests.search_api.test_pages import opened

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
JUST = "2026-11-22T11:59:50.000Z"
EARLIER = "2026-11-22T08:00:00.000Z"
URL = "wss://relay.example"


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (SourceStatus(URL, 5, JUST, JUST, 0), "good", "Followed"),
        (SourceStatus(URL, 5, EARLIER, JUST, 14_390), "slow", "Followed, 3 h 59 min behind"),
        (SourceStatus(URL, 5, EARLIER, EARLIER, 0), "good", "Followed, nothing new"),
        # A recording, or a host where nobody writes: it has told all that it knows.
        (
            SourceStatus(URL, 5, EARLIER, "2026-11-22T11:59:00.000Z", 14_340),
            "good",
            "Followed, nothing new: its last event is 4 h old",
        ),
        (SourceStatus(URL, 0), "slow", "Not heard of so far"),
        (SourceStatus(URL, 5, JUST, JUST, 0, gaps=2, unhealed_gaps=1), "slow", "gap"),
        (SourceStatus(URL, 5, JUST, JUST, 0, "cursor in the future", 1, 1), "bad", "Halted"),
    ],
)
def test_a_source_is_followed_behind_or_halted(source: SourceStatus, kind: str, words: str) -> None:
    state = status_text.source_state(source, NOW)
    assert state.kind == kind
    assert words in state.words


def status(*sources: SourceStatus, text_changes: int = 9, unsynced: int = 0) -> IndexStatus:
    return IndexStatus(sources, Counts(0, 0, 0, 0, 0), (), 0, 9, text_changes, unsynced)


def test_the_index_is_as_well_as_its_worst_source() -> None:
    fine = SourceStatus(URL, 5, JUST, JUST, 0)
    halted = SourceStatus(URL, 5, JUST, JUST, 0, "why")

    def kind(found: IndexStatus) -> tuple[str, str]:
        state = status_text.index_state(found, NOW)
        return state.kind, state.words

    assert kind(status(fine)) == ("good", "The index has all that its sources told.")
    assert kind(status(fine, text_changes=8))[0] == "slow"
    assert kind(status(fine, unsynced=1))[0] == "slow"
    assert kind(status())[1] == "Nothing is followed so far."
    assert kind(status(fine, halted))[1].startswith("A source is halted")
    assert kind(status(halted))[1].startswith("Every source is halted")


def test_every_reason_of_the_indexer_has_a_sentence_and_no_other() -> None:
    assert set(status_text.REASONS) == set(DropReason)
    assert status_text.reason("of a later version") == "of a later version"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_600, "1 h"),
        (21_744, "6 h 2 min"),
        (86_400, "1 day"),
        (86_459, "1 day"),
        (200_000, "2 days 7 h"),
    ],
)
def test_lengths_of_time_in_their_two_largest_units(seconds: int, said: str) -> None:
    assert status_text.duration(seconds) == said


def test_the_page_shows_sources_gaps_drops_and_quarantine(
    index: IndexBuilder, service: Service
) -> None:
    index.connection.execute(
        "INSERT INTO sources VALUES (1, ?, 1234567, '2026-11-22 08:00:00+00', "
        "'2026-11-22 08:00:05+00', '[{\"healed_at\": null}]', 'the server said no')",
        [URL],
    )
    index.connection.execute("INSERT INTO drops VALUES ('bad_signature', 1234)")
    page, _ = opened(service, "/status")
    for said in (
        "Every source is halted",
        URL,
        "the server said no",
        "22 Nov 2026, 08:00:05 UTC",
        "1,234,567",
        "1 of them not compared yet",
        "A signature that is not the account’s.",
        "bad_signature",
        "1,234",
        "0 messages of these are kept in quarantine",
    ):
        assert said in page.text

"""``#account`` of several sources: seqs order the events of one, their own times those of all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from atdata.protocol.syntax import Did
from indexer.batch import Batch, RepoState
from indexer.decide import Entitled, Origin, on_account
from indexer.drops import DropReason
from indexer.events import Account
from indexer.rows import micros

DID = Did.parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz")
NOW = micros(datetime(2026, 1, 1, 12, tzinfo=UTC))
FAST, SLOW = "wss://fast.example", "wss://slow.example"


def told(*events: tuple[str, int, bool, str]) -> RepoState:
    """The repo's state after (source, seq, active, time of day) in this order of arrival."""
    batch = Batch(lambda _: RepoState(DID))
    for source, seq, active, time in events:
        event = Account(seq, DID, active, None if active else "deactivated", f"2026-01-01T{time}Z")
        on_account(batch, event, Entitled(), Origin(source, seq, b"", NOW))
    state = batch.repo(DID)
    assert state is not None
    return state


def test_a_source_that_lags_behind_does_not_bring_back_what_is_hidden() -> None:
    state = told(
        (FAST, 10, True, "10:00:00"),
        (FAST, 11, False, "11:00:00"),
        (SLOW, 500, True, "10:00:00"),
    )
    assert not state.active
    assert state.status == "deactivated"


def test_the_other_source_may_be_the_first_to_know() -> None:
    assert told((FAST, 10, False, "10:00:00"), (SLOW, 500, True, "10:30:00")).active


@pytest.mark.parametrize("time", ["09:00:00", "not a time"])
def test_within_one_source_the_seq_decides_whatever_its_clock_says(time: str) -> None:
    assert not told((FAST, 10, True, "10:00:00"), (FAST, 11, False, time)).active


def test_an_event_that_was_passed_over_is_not_judged_again() -> None:
    state = told(
        (FAST, 11, False, "11:00:00"), (SLOW, 500, True, "10:00:00"), (SLOW, 500, True, "10:00:00")
    )
    assert not state.active


def test_who_claims_a_time_to_come_has_not_the_last_word() -> None:
    later = Account(7, DID, True, None, "9999-01-01T00:00:00Z")
    batch = Batch(lambda _: RepoState(DID))
    on_account(batch, later, Entitled(), Origin(SLOW, 7, b"", NOW))
    hidden = Account(3, DID, False, "takendown", "2026-01-01T12:00:01Z")
    on_account(batch, hidden, Entitled(), Origin(FAST, 3, b"", NOW + 1_000_000))
    state = batch.repo(DID)
    assert state is not None
    assert (state.active, state.status) == (False, "takendown")
    on_account(batch, later, Entitled(), Origin(SLOW, 7, b"", NOW + 2_000_000))
    assert batch.repo(DID) == state, "nor by saying it again"


def test_what_is_passed_over_for_another_source_has_a_name() -> None:
    batch = Batch(lambda _: RepoState(DID))
    for source, time in ((FAST, "11:00:00"), (SLOW, "10:00:00")):
        event = Account(5, DID, source == SLOW, None, f"2026-01-01T{time}Z")
        on_account(batch, event, Entitled(), Origin(source, 5, b"", NOW))
    assert batch.drops == {DropReason.STALE_ACCOUNT: 1}


def test_a_source_that_was_set_up_anew_is_heard_under_low_seqs() -> None:
    """What it tells again of an earlier time changes nothing."""
    before = ((FAST, 900, True, "09:00:00"), (FAST, 901, True, "10:00:00"))
    assert not told(*before, (FAST, 3, False, "11:00:00")).active
    assert told(*before, (FAST, 900, False, "09:00:00")).active


MINUTE = 60_000_000


def heard(*events: tuple[int, bool, str, int]) -> RepoState:
    """The repo's state after (seq, active, time, minutes after noon), of one source."""
    batch = Batch(lambda _: RepoState(DID))
    for seq, active, time, minutes in events:
        event = Account(seq, DID, active, None if active else "deleted", time)
        on_account(batch, event, Entitled(), Origin(FAST, seq, b"", NOW + minutes * MINUTE))
    state = batch.repo(DID)
    assert state is not None
    return state


def test_a_stale_event_of_a_source_whose_clock_is_fast_changes_nothing() -> None:
    """By our clock all of them are of a time to come when they first arrive."""
    deleted, back = "2026-01-01T12:30:00Z", "2026-01-01T12:30:02Z"
    state = heard((2, False, deleted, 0), (3, True, back, 0), (2, False, deleted, 120))
    assert state.active


def test_a_clock_that_was_put_right_does_not_make_stale_events_news() -> None:
    state = heard(
        (2, False, "2026-01-01T12:30:00Z", 0),
        (3, True, "2026-01-01T12:01:00Z", 1),
        (2, False, "2026-01-01T12:30:00Z", 120),
    )
    assert state.active


def test_who_has_claimed_a_time_to_come_is_heard_again_a_day_later() -> None:
    claimed = (7, True, "9999-01-01T00:00:00Z", 0)
    anew = "2026-01-01T13:00:00Z", "2026-01-03T13:00:00Z"
    assert heard(claimed, (1, False, anew[0], 61)).active
    assert not heard(claimed, (1, False, anew[1], 3 * 24 * 60)).active

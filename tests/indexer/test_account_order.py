"""``#account`` of several sources: seqs order the events of one, their own times those of all."""

from __future__ import annotations

import pytest

from atdata.protocol.syntax import Did
from indexer.batch import Batch, RepoState
from indexer.decide import Entitled, Origin, on_account
from indexer.events import Account

DID = Did.parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz")
FAST, SLOW = "wss://fast.example", "wss://slow.example"


def told(*events: tuple[str, int, bool, str]) -> RepoState:
    """The repo's state after (source, seq, active, time of day) in this order of arrival."""
    batch = Batch(lambda _: RepoState(DID))
    for source, seq, active, time in events:
        event = Account(seq, DID, active, None if active else "deactivated", f"2026-01-01T{time}Z")
        on_account(batch, event, Entitled(), Origin(source, seq, b"", 0))
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
        (FAST, 11, False, "11:00:00"), (SLOW, 500, True, "10:00:00"), (SLOW, 500, True, "12:00:00")
    )
    assert not state.active

"""How far behind a source is, by its position and the clock: pure."""

from __future__ import annotations

from indexer.batch import Position
from indexer.lag import Lags

URL = "wss://relay.example"
S = 1_000_000  # a second, in microseconds


def at(event: int, seen: int) -> Position:
    return Position(URL, 1, event * S, seen * S)


def test_unknown_while_no_event_said_when_it_was() -> None:
    assert Lags().of(Position(URL, 0), 10 * S, level=False) is None
    assert Lags().of(Position(URL, 1, None, 5 * S), 10 * S, level=True) is None


def test_a_source_with_nothing_new_to_tell_is_as_late_as_its_events_are() -> None:
    lags = Lags()
    assert lags.of(at(100, 102), 102 * S, level=True) == 2
    assert lags.of(at(100, 102), 5_000 * S, level=True) == 2


def test_a_source_that_is_lost_falls_behind_with_the_clock() -> None:
    lags = Lags()
    lags.of(at(100, 102), 200 * S, level=True)
    assert lags.of(at(100, 102), 208 * S, level=False) == 8 + 2


def test_what_waits_after_a_long_silence_is_as_old_as_its_arrival() -> None:
    """And not as old as the last event before the silence."""
    lags = Lags()
    lags.of(at(100, 102), 9_000 * S, level=True)
    assert lags.of(at(100, 102), 9_001 * S, level=False) == 1 + 2


def test_while_old_events_are_caught_up_with_the_newest_durable_one_says() -> None:
    lags = Lags()
    assert lags.of(at(100, 9_000), 9_010 * S, level=False) == 8_910
    assert lags.of(at(200, 9_020), 9_020 * S, level=True) == 8_820, "the next is on its way"
    assert lags.of(at(200, 9_020), 9_025 * S, level=False) == 8_825


def test_an_event_from_the_future_is_not_late() -> None:
    assert Lags().of(at(300, 100), 100 * S, level=True) == 0

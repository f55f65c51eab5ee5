"""The low watermark: the cursor never passes an event that is still on its way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indexer.watermark import Watermark


def begun(*seqs: int, at: int = 0) -> Watermark:
    watermark = Watermark(at)
    for seq in seqs:
        watermark.begin(seq)
    return watermark


def test_starts_where_it_was_left() -> None:
    assert Watermark(41).value == 41


def test_advances_over_gaps_in_seq() -> None:
    watermark = begun(3, 10, 900)
    for seq in (3, 10, 900):
        watermark.done(seq)
    assert watermark.value == 900


def test_waits_for_the_oldest() -> None:
    watermark = begun(1, 2, 3)
    watermark.done(2)
    watermark.done(3)
    assert watermark.value == 0
    watermark.done(1)
    assert watermark.value == 3


def test_advances_to_just_before_what_is_outstanding() -> None:
    watermark = begun(5, 9, 20)
    watermark.done(5)
    watermark.done(20)
    assert watermark.value == 8


def test_a_seq_that_arrives_twice_must_be_done_twice() -> None:
    watermark = begun(7, 7)
    watermark.done(7)
    assert watermark.value == 0
    watermark.done(7)
    assert watermark.value == 7


def test_a_regression_does_not_move_it_back() -> None:
    watermark = begun(100)
    watermark.done(100)
    watermark.begin(2)
    assert watermark.value == 100
    watermark.done(2)
    assert watermark.value == 100


def test_unknown_seqs_are_harmless() -> None:
    watermark = begun(1)
    watermark.done(99)
    assert (watermark.value, watermark.outstanding) == (0, 1)


@given(st.lists(st.integers(1, 30), max_size=30), st.randoms(use_true_random=False))
def test_never_at_or_above_anything_outstanding(arrivals: list[int], random: object) -> None:
    """In every order of completion; and once all is done it stands at the highest seq."""
    watermark = begun(*arrivals)
    open_ = list(arrivals)
    highest = 0
    while open_:
        seq = open_.pop(random.randrange(len(open_)))  # type: ignore[attr-defined]
        before = watermark.value
        watermark.done(seq)
        assert watermark.value >= before
        assert all(watermark.value < still for still in open_)
        highest = max(highest, seq)
    assert watermark.value == highest


def test_what_waits_for_its_turn_holds_it_back() -> None:
    mark = Watermark(10)
    for seq in (15, 16):
        mark.begin(seq)
        mark.done(seq)
    assert mark.value == 16
    mark.hold(18)
    mark.begin(30)
    mark.done(30)
    assert mark.value == 17
    mark.hold(12)  # sent again, and done before: what was reached stays reached
    assert mark.value == 17
    mark.hold(None)
    assert mark.value == 30

"""Samples as rows and plots: room is known before they come, and no number leaves its picture."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol.preview_views import LinePreview, Preview, SamplePreview, ValuePreview
from atdata.protocol.views import FieldView, SchemaView
from search_api.web.preview_plots import HEIGHT, WIDTH, bars_path, line_path, number
from search_api.web.preview_table import FEW, problems, rows


def schema(*kinds: str) -> SchemaView:
    fields = tuple(FieldView(f"f{at}", kind, False) for at, kind in enumerate(kinds))
    return SchemaView("at://x/y/z", "c", "did:plc:x", "t", "S", "1.0.0", "t", fields)


def preview(*samples: SamplePreview) -> Preview:
    return Preview("at://x/y/z", "c", "shard", samples)


def value(name: str, kind: str = "text") -> ValuePreview:
    return ValuePreview(name, kind)


@given(st.lists(st.sampled_from(["str", "int", "ndarray", "bytes", "array", "ref"]), max_size=50))
def test_rows_are_as_high_before_there_are_samples_as_after(kinds: list[str]) -> None:
    found = schema(*kinds)
    values = tuple(value(field.name) for field in reversed(found.fields))
    before = rows(found, None)
    after = rows(found, preview(SamplePreview("0", len(values), values)))
    assert [(row.name, row.type, row.height) for row in before] == [
        (row.name, row.type, row.height) for row in after
    ]
    assert all(row.cells == () for row in before)


def test_cells_know_where_their_value_is_whatever_the_order() -> None:
    found = rows(
        schema("str", "str"),
        preview(
            SamplePreview("0", 2, (value("f1"), value("f0"))), SamplePreview("1", 1, (value("f1"),))
        ),
    )
    first, second = found
    assert first.cells[0] is not None
    assert (first.cells[0].sample, first.cells[0].field) == (0, 1)
    assert first.cells[1] is None
    assert second.cells[1] is not None
    assert (second.cells[1].sample, second.cells[1].field) == (1, 0)


def test_fields_that_no_schema_knows_come_last() -> None:
    array = ValuePreview("extra", "array", dtype="int8", shape=(2,))
    (*_, last) = rows(schema("str"), preview(SamplePreview("0", 1, (array,))))
    assert (last.name, last.type, last.height) == ("extra", "int8", "tall")
    assert rows(None, None) == ()


def test_text_has_more_room_where_there_are_few_fields() -> None:
    assert rows(schema(*["str"] * FEW), None)[0].height == "roomy"
    assert rows(schema(*["str"] * (FEW + 1)), None)[0].height == "middle"


def test_what_is_wrong_with_several_samples_is_said_once() -> None:
    found = preview(
        SamplePreview("a.msgpack", problem="no image"),
        SamplePreview("b.msgpack"),
        SamplePreview("c.msgpack", problem="no image"),
        SamplePreview("d", problem="no text"),
    )
    assert problems(found) == (("no image", ("a", "c")), ("no text", ("d",)))


# --- plots ----------------------------------------------------------------------------------------

anything = st.lists(st.floats(), max_size=300).map(tuple)


@given(anything, anything)
def test_a_line_stays_in_its_picture(lows: tuple[float, ...], highs: tuple[float, ...]) -> None:
    path = line_path(LinePreview(lows, highs))
    assert re.fullmatch(r"(M[\d. L]+Z)?", path)
    points = [tuple(map(float, point.split())) for point in path.strip("MZ").split("L") if point]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert len(points) <= 192


@given(st.lists(st.integers(-(10**30), 10**30), max_size=100))
def test_bars_stay_in_their_picture(bars: list[int]) -> None:
    path = bars_path(bars)
    for left, bottom, height, width in re.findall(r"M(\S+) (\S+)v-(\S+)h(\S+)v", path):
        assert 0 <= float(left) <= float(left) + float(width) <= WIDTH + 0.2
        assert 0 < float(height) <= float(bottom) == HEIGHT
    assert path.count("M") == sum(count > 0 for count in bars[:24])


def test_a_line_rises_where_its_values_rise() -> None:
    assert line_path(LinePreview((0.0, 1.0), (0.0, 1.0))) == "M0 45L120 3L120 3L0 45Z"


def test_bars_are_as_high_as_their_numbers() -> None:
    assert bars_path([1, 0, 2]) == "M3.2 48v-22.5h33.6v22.5zM83.2 48v-45h33.6v45z"


@pytest.mark.parametrize(
    ("given", "shown"),
    [(3.0, "3"), (-0.5, "-0.5"), (1234567.0, "1.235e+06"), (float("inf"), "–")],
)
def test_numbers_are_short(given: float, shown: str) -> None:
    assert number(given) == shown

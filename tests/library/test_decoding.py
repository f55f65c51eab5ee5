"""The fast way to read samples gives what the careful way gives, whatever the class is like."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import ndarray
from atdata.protocol.errors import InvalidSample


def mixed() -> Any:
    """A class that has read nothing yet."""

    @atdata.packable
    class Mixed:
        label: int
        weight: float
        image: NDArray[np.float32] | None
        note: str | None

    return Mixed


USED = mixed()


ARRAYS = st.sampled_from(
    [
        np.arange(4, dtype=np.float32),
        np.arange(4, dtype=np.float64),
        np.arange(4, dtype=">f4"),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.zeros((0, 3), np.float32),
        np.float32(3).reshape(()),
        np.arange(4, dtype=np.complex64),  # does not fit
    ]
)
BYTES = ARRAYS.map(ndarray.encode)
VALUES = st.fixed_dictionaries(
    {
        "label": st.integers(0, 3) | st.booleans() | st.text(max_size=1),
        "weight": st.floats(allow_nan=False) | st.integers(0, 3),
        "image": BYTES | st.none() | st.binary(max_size=3) | st.lists(st.none(), max_size=1),
    },
    optional={"note": st.text(max_size=2) | st.none(), "extra": st.none()},
)


def read(reader: Any, data: bytes) -> Any:
    try:
        return reader(data)
    except InvalidSample as error:
        return str(error)


@given(st.lists(st.tuples(VALUES, st.permutations(range(5))), max_size=12))
def test_what_came_before_makes_no_difference(
    cases: list[tuple[dict[str, Any], list[int]]],
) -> None:
    for values, order in cases:
        items = list(values.items())
        moved = dict(items[at] for at in order if at < len(items)) if order[0] == 1 else values
        data = ormsgpack.packb(moved)
        got, expected = read(USED.from_bytes, data), read(mixed().from_bytes, data)
        if isinstance(expected, str):
            assert got == expected
            continue
        assert list(vars(got)) == list(vars(expected)) == ["label", "weight", "image", "note"]
        assert [type(value) for value in vars(got).values()] == [
            type(value) for value in vars(expected).values()
        ]
        assert got.packed == expected.packed


def thrice(cls: Any, **values: Any) -> Any:
    """The third sample of a class: the first two have shown what samples look like."""
    data = ormsgpack.packb(values)
    return [cls.from_bytes(data) for _ in range(3)][-1]


def test_what_a_class_does_when_it_is_made_is_done_for_every_sample() -> None:
    @atdata.packable
    class Checked:
        label: int

        def __post_init__(self) -> None:
            self.doubled = 2 * self.label

    assert thrice(Checked, label=4).doubled == 8

    @atdata.packable
    class OwnInit:
        label: int

        def __init__(self, label: int) -> None:
            self.label = label + 1

    assert thrice(OwnInit, label=4).label == 5

    @atdata.packable
    class Setter:
        label: int

        def __setattr__(self, name: str, value: object) -> None:
            object.__setattr__(self, name, [value])

    assert thrice(Setter, label=4).label == [4]


def test_frozen_and_slotted_classes_stay_so() -> None:
    @atdata.packable
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        label: int

    sample = thrice(Frozen, label=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.label = 5

    @atdata.packable
    @dataclasses.dataclass(slots=True)
    class Slotted:
        label: int

    assert thrice(Slotted, label=4).label == 4


def test_a_subclass_is_made_in_its_own_way() -> None:
    @atdata.packable
    class Base:
        label: int

    thrice(Base, label=4)

    class Louder(Base):
        def __init__(self, label: int) -> None:
            super().__init__(10 * label)

    assert thrice(Louder, label=4).label == 40
    assert type(thrice(Louder, label=4)) is Louder
    assert type(thrice(Base, label=4)) is Base

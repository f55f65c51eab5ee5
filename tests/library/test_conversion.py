"""Arrays in the dtype of their annotation: the same numbers, or an error that names one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from atdata.conversion import conform, widens
from atdata.protocol.errors import InvalidArray

NUMBERS = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="?")
    | arrays.unsigned_integer_dtypes(endianness="?")
    | arrays.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | arrays.complex_number_dtypes(endianness="?", sizes=(64, 128))
)


@pytest.mark.parametrize(
    ("have", "want", "fits"),
    [
        ("f4", "f8", True),
        ("f8", "f4", True),
        ("u1", "f4", True),
        (">i4", "i4", True),
        ("?", "u1", True),
        ("f4", "i4", False),
        ("c8", "f4", False),
        ("i8", "u1", False),
        ("U3", "f4", False),
    ],
)
def test_conversion_keeps_within_a_kind_or_widens(have: str, want: str, fits: bool) -> None:
    array, dtype = np.ones(3, have), np.dtype(want)
    if not fits:
        with pytest.raises(InvalidArray, match="cannot be read as"):
            conform(array, dtype)
        return
    converted = conform(array, dtype)
    assert converted.dtype == dtype
    assert np.array_equal(converted, array)


def test_conforming_copies_nothing_that_fits() -> None:
    array = np.ones(3, "f4")
    assert conform(array, np.dtype("f4")) is array
    assert conform(array, None) is array
    times = np.zeros(2, "M8[ms]")
    assert conform(times, np.dtype("M8")) is times


@pytest.mark.parametrize(
    ("values", "have", "want"),
    [
        ([300], "u2", "u1"),
        ([300], "i8", "i1"),
        ([-129], "i8", "i1"),
        ([2**64 - 1], "u8", "i8"),
        ([200], "u1", "i1"),
        ([2**24 + 1], "i8", "f4"),
        ([-(2**24) - 1], "i4", "f4"),
        ([2**53 + 1], "i8", "f8"),
        ([2**64 - 1], "u8", "f8"),
        ([2**63 - 1], "i8", "c16"),
        ([2049], "i2", "f2"),
        ([1, 1e10], "f8", "f2"),
        ([1e300, 1], "f8", "f4"),
        ([1e300j], "c16", "c8"),
        ([1e300], "f8", "c8"),
    ],
)
def test_a_number_that_would_become_another_is_refused(
    values: list[Any], have: str, want: str
) -> None:
    with pytest.raises(InvalidArray, match="cannot be read as"):
        conform(np.array(values, have), np.dtype(want))


@pytest.mark.parametrize(
    ("values", "have", "want"),
    [
        ([255, 0], "u2", "u1"),
        ([127, -128], "i8", "i1"),
        ([2**63 - 1], "u8", "i8"),
        ([2**24, -(2**24)], "i8", "f4"),
        ([2**53], "u8", "f8"),
        ([65504.0, np.inf, -np.inf], "f8", "f2"),
        ([], "i8", "i1"),
        (7, "i8", "i1"),
    ],
)
def test_numbers_that_fit_stay_what_they_are(values: Any, have: str, want: str) -> None:
    array = np.array(values, have)
    converted = conform(array, np.dtype(want))
    assert converted.dtype == np.dtype(want)
    assert converted.tolist() == array.tolist()


def test_floats_are_rounded_to_the_dtype() -> None:
    array = np.array([0.1, np.nan, 1e-300])
    np.testing.assert_array_equal(conform(array, np.dtype("f4")), array.astype("f4"))


@given(arrays.arrays(NUMBERS, 3), NUMBERS)
def test_integers_are_the_same_integers_or_an_error(array: np.ndarray, dtype: np.dtype) -> None:
    try:
        converted = conform(array, dtype)
    except InvalidArray:
        return
    if array.dtype.kind in "biu":
        assert [int(value.real) for value in converted.tolist()] == array.tolist()
    else:
        assert np.array_equal(np.isfinite(converted), np.isfinite(array))


@given(NUMBERS, NUMBERS)
def test_what_widens_is_read_and_what_does_not_may_be_refused(
    have: np.dtype, want: np.dtype
) -> None:
    if widens(have, want):
        assert conform(np.ones(3, have), want).tolist() == [1, 1, 1]
    elif have.kind in "iu" and want.kind in "iu" and np.can_cast(have, want, "same_kind"):
        with pytest.raises(InvalidArray):
            conform(np.array([np.iinfo(have).max], have), want)

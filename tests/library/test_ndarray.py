"""Arrays: npy as NumPy writes it, both encodings read, nothing allocated on a stranger's word."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from atdata.ndarray import decode, dtype_of_hint, encode, is_array_hint
from atdata.protocol.errors import InvalidArray, UnsupportedType

DTYPES = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="?")
    | arrays.unsigned_integer_dtypes(endianness="?")
    | arrays.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | arrays.complex_number_dtypes(endianness="?", sizes=(64, 128))
    | arrays.datetime64_dtypes(endianness="?")
    | arrays.timedelta64_dtypes(endianness="?")
    | arrays.unicode_string_dtypes(endianness="?")
    | arrays.byte_string_dtypes()
)
ARRAYS = arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5))


def saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def compact(array: np.ndarray) -> bytes:
    descr = array.dtype.str.encode()
    shape = struct.pack(f"<{array.ndim}q", *array.shape)
    return bytes([len(descr)]) + descr + bytes([array.ndim]) + shape + array.tobytes()


def with_header(header: bytes, items: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header + items


def assert_same(got: np.ndarray, array: np.ndarray) -> None:
    assert got.dtype == array.dtype
    assert got.shape == array.shape
    assert got.tobytes() == array.tobytes()
    assert not got.flags.writeable


@given(ARRAYS, st.sampled_from("CF"))
def test_bytes_are_those_of_numpy_save_and_come_back(array: np.ndarray, order: str) -> None:
    array = np.asarray(array, order=order)
    data = encode(array)
    assert data == saved(array)
    assert_same(decode(data), array)


@given(ARRAYS)
def test_compact_is_read(array: np.ndarray) -> None:
    assert_same(decode(compact(array)), array)


def test_compact_example_of_the_format() -> None:
    data = bytes.fromhex("033c66340103000000000000000000803f0000004000004040")
    assert_same(decode(data), np.array([1, 2, 3], "<f4"))


@pytest.mark.parametrize("version", [(2, 0), (3, 0)])
def test_later_npy_versions_are_read(version: tuple[int, int]) -> None:
    array = np.arange(6).reshape(2, 3)
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    assert_same(decode(out.getvalue()), array)


def test_a_view_that_skips_items_is_written_whole() -> None:
    array = np.arange(20).reshape(4, 5)[::2, ::-1]
    assert_same(decode(encode(array)), np.ascontiguousarray(array))


@given(ARRAYS, st.data())
def test_an_array_cut_anywhere_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    for whole in (encode(array), compact(array)):
        cut = data.draw(st.integers(0, len(whole) - 1))
        with pytest.raises(InvalidArray):
            decode(whole[:cut])
    with pytest.raises(InvalidArray):
        decode(encode(array) + b"\0")


@given(
    st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"\x93NUMPY\x01\0" + tail)
)
def test_any_bytes_are_an_array_or_a_named_error(data: bytes) -> None:
    try:
        decode(data)
    except InvalidArray:
        return


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': '|V4', 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': '<U0', 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }",
        b"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }",
        b"{'descr': '<f4', 'shape': (1,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').abort(),), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 65 + b"), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"(" * 5000 + b"), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1" + b" " * 9000 + b"x), }",
        b" " * 20_000 + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
    ],
)
def test_headers_that_numpy_does_not_write_are_refused(header: bytes) -> None:
    with pytest.raises(InvalidArray):
        decode(with_header(header, bytes(4)))


@pytest.mark.parametrize("shape", [b"(1000000000000,)", b"(99999999999, 99999999999)"])
def test_a_size_beyond_the_bytes_is_refused_before_anything_is_allocated(shape: bytes) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + b", }"
    with pytest.raises(InvalidArray, match="needs"):
        decode(with_header(header, bytes(8)))


def test_an_empty_array_of_an_impossible_shape_is_refused() -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 9000000000000000000), }"
    with pytest.raises(InvalidArray, match="larger than any array"):
        decode(with_header(header))


def test_shapes_of_python_2_are_read() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1L), }\n"
    assert decode(with_header(header, bytes(8))).shape == (2, 1)


@pytest.mark.parametrize(
    "array", [np.array([object()]), np.zeros(2, [("a", "f4")]), np.zeros(2, "V3")]
)
def test_objects_and_records_are_not_written(array: np.ndarray) -> None:
    with pytest.raises(InvalidArray):
        encode(array)


# --- annotations ---------------------------------------------------------------------------------


def test_which_annotations_are_arrays() -> None:
    assert all(map(is_array_hint, (NDArray, NDArray[np.float64], np.ndarray)))
    assert not any(map(is_array_hint, (list, list[int], np.float64, int)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float64, np.bool_, np.str_])
def test_an_annotation_names_its_dtype(dtype: type) -> None:
    assert dtype_of_hint(NDArray[dtype]) == np.dtype(dtype)


def test_an_open_annotation_names_none() -> None:
    assert dtype_of_hint(NDArray) is dtype_of_hint(np.ndarray) is None


@pytest.mark.parametrize("dtype", [np.floating, np.integer, np.generic, np.object_, np.void, int])
def test_abstract_dtypes_and_objects_are_no_annotation(dtype: type) -> None:
    with pytest.raises(UnsupportedType):
        dtype_of_hint(NDArray[dtype])

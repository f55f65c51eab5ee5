"""Arrays inside samples: written as npy 1.0, read in both encodings that exist, never with objects.

Rule: a declared size is checked against the bytes at hand before anything is allocated, and no
text of an array header is ever evaluated; it is matched against the one form that NumPy writes.
Source: formats.md, "Samples in a shard"; NumPy's NEP 1.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args, get_origin

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from atdata.conversion import Array, conform
from atdata.protocol.errors import InvalidArray, UnsupportedType, quote

MAGIC = b"\x93NUMPY"
_NPY_1 = MAGIC + b"\x01\x00"
MAX_HEADER = 10_000  # bytes; NumPy's own limit for headers that it does not trust
MAX_DIMENSIONS = 64  # what NumPy has

# Booleans, integers, floats, complex, times and fixed-width text. Objects ("O") would be pickles;
# raw and structured records ("V") have no name in any schema.
_KINDS = frozenset("biufcmMSU")
_DTYPE = re.compile(r"[<>|=]?[biufcmMSU]\d{0,9}(\[\d{0,9}[a-zA-Zμ]{1,2}\])?")
# Possessive quantifiers: a hostile header fails in linear time.
_HEADER = re.compile(
    r"\{\s*+'descr'\s*+:\s*+(?P<descr>'[^']*+'|\[[^\]]*+\])\s*+,"
    r"\s*+'fortran_order'\s*+:\s*+(?P<fortran>True|False)\s*+,"
    r"\s*+'shape'\s*+:\s*+\((?P<shape>[\d\sL,]*+)\)\s*+,?+\s*+\}\s*+"
)
_LENGTH = re.compile(r"\s*+(\d{1,19})L?\s*+", re.ASCII)
_COMPACT_DIMENSION = struct.calcsize("<q")


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a header says: ``count`` items of ``dtype`` in ``shape``, ``size`` bytes in all."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    count: int
    size: int
    order: Literal["C", "F"]


_Last = tuple[bytes, int, int, tuple[int, ...], np.dtype[Any]]
"""Header, bytes in all and before the items, shape and dtype of the array before."""


# --- writing -----------------------------------------------------------------------------------


def encode(array: Array) -> bytes:
    """The bytes that ``numpy.save`` (version 1.0) writes for ``array``, of any shape and layout.

    Raises ``InvalidArray`` for objects and structured records.
    """
    if array.dtype.kind not in _KINDS:
        raise InvalidArray(f"arrays of dtype {quote(str(array.dtype))} cannot be stored")
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    header = _npy_header(array.dtype, fortran, array.shape)
    return header + array.tobytes("F" if fortran else "C")


@lru_cache(maxsize=1024)
def _npy_header(dtype: np.dtype[Any], fortran: bool, shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    npy.write_array_header_1_0(out, {"descr": dtype.str, "fortran_order": fortran, "shape": shape})
    return out.getvalue()


# --- reading -----------------------------------------------------------------------------------


def decode(data: bytes) -> Array:
    """A read-only view of an array in either encoding; the shape and dtype are the data's own.

    Raises ``InvalidArray`` for bytes that are neither encoding, cut short, too long, or of a dtype
    that holds objects.
    """
    start, layout = _header(data)
    if layout.count == 0:
        return _empty(layout)
    return np.ndarray(layout.shape, layout.dtype, data, start, None, layout.order)


def decoder(dtype: np.dtype[Any] | None) -> Callable[[bytes], Array]:
    """``decode`` and then ``conform`` to ``dtype``, for many arrays of which most are alike: where
    header and size are those of the array before, nothing is worked out again."""
    # In one tuple, so that another thread sees all of it or nothing.
    last: _Last = (b"", -1, 0, (), np.dtype("u1"))
    view = np.ndarray

    def decode_like_the_last(data: bytes) -> Array:
        nonlocal last
        header, size, start, shape, items = last
        if len(data) == size and data.startswith(header):
            return view(shape, items, data, start)
        array = decode(data)
        wanted = conform(array, dtype)
        if wanted is array and array.size:
            start, layout = _header(data)
            if layout.order == "C":
                last = data[:start], len(data), start, layout.shape, layout.dtype
        return wanted

    return decode_like_the_last


def _header(data: bytes) -> tuple[int, _Layout]:
    """Where the items begin, and what they are; there are as many bytes of them as it takes."""
    if data[:8] == _NPY_1:
        start = 10 + int.from_bytes(data[8:10], "little")
        layout = _npy_layout(data[10:start])
    elif data[:6] == MAGIC:
        start = _npy_start(data)
        layout = _npy_layout(data[12:start])
    else:
        start = _compact_start(data)
        layout = _compact_layout(data[:start])
    if len(data) - start != layout.size:
        raise InvalidArray(
            f"{layout.dtype} array of shape {layout.shape} needs {layout.size} bytes, "
            f"got {len(data) - start}"
        )
    return start, layout


def is_npy(data: bytes) -> bool:
    """Whether ``data`` begins like an npy file."""
    return data[:6] == MAGIC


def _empty(layout: _Layout) -> Array:
    try:
        array: Array = np.empty(layout.shape, layout.dtype)
    except ValueError as error:  # a zero beside dimensions whose product overflows
        raise InvalidArray(f"shape {layout.shape} is larger than any array") from error
    array.flags.writeable = False
    return array


def _npy_start(data: bytes) -> int:
    """Where the items begin in versions 2 and 3, whose header may be longer."""
    if data[6:8] not in (b"\x02\x00", b"\x03\x00"):
        raise InvalidArray(f"npy version {quote(data[6:8])} is unknown")
    return 12 + int.from_bytes(data[8:12], "little")


@lru_cache(maxsize=1024)
def _npy_layout(header: bytes) -> _Layout:
    """Samples of one dataset mostly repeat one header, so that reading it is a dictionary hit."""
    match = _HEADER.fullmatch(header.decode("latin-1")) if len(header) <= MAX_HEADER else None
    if match is None:
        raise InvalidArray(f"npy header {quote(header)} is malformed")
    shape = _npy_shape(match["shape"])
    return _layout(match["descr"].strip("'"), shape, match["fortran"] == "True")


def _npy_shape(text: str) -> tuple[int, ...]:
    """``(3,)`` without its parentheses. Python 2 wrote ``3L``."""
    *parts, last = text.split(",")
    if last.strip():
        parts.append(last)
    matches = [_LENGTH.fullmatch(part) for part in parts]
    if None in matches:
        raise InvalidArray(f"npy shape {quote(text)} is malformed")
    return tuple(int(match[1]) for match in matches if match is not None)


def _compact_start(data: bytes) -> int:
    """After ``u8 n`` · n bytes of dtype · ``u8 ndim`` · ndim × int64."""
    dtype_end = 1 + data[0] if data else 1
    if len(data) <= dtype_end:
        raise InvalidArray(f"neither npy nor compact: {quote(data[:16])}")
    start = dtype_end + 1 + data[dtype_end] * _COMPACT_DIMENSION
    if len(data) < start:
        raise InvalidArray(f"compact header of {start} bytes in {len(data)} bytes")
    return start


@lru_cache(maxsize=1024)
def _compact_layout(header: bytes) -> _Layout:
    dtype_end = 1 + header[0]
    dimensions = header[dtype_end + 1 :]
    shape = struct.unpack(f"<{len(dimensions) // _COMPACT_DIMENSION}q", dimensions)
    return _layout(header[1:dtype_end].decode("latin-1"), shape)


def _layout(descr: str, shape: tuple[int, ...], fortran: bool = False) -> _Layout:
    if len(shape) > MAX_DIMENSIONS or any(length < 0 for length in shape):
        raise InvalidArray(f"shape {quote(shape)} is no shape")
    dtype, count = _dtype(descr), math.prod(shape)
    order: Literal["C", "F"] = "F" if fortran else "C"
    return _Layout(dtype, shape, count, count * dtype.itemsize, order)


def _dtype(descr: str) -> np.dtype[Any]:
    if _DTYPE.fullmatch(descr) is None:
        raise InvalidArray(f"{quote(descr)} is no plain dtype; objects and records are refused")
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArray(f"dtype {quote(descr)} is unknown") from error
    if dtype.itemsize == 0:
        raise InvalidArray(f"dtype {quote(descr)} has no size")
    return dtype


# --- dtypes of annotations ----------------------------------------------------------------------

# NDArray is an alias of np.ndarray[…] up to NumPy 2.4, and a type alias of its own from 2.5 on.
_ARRAYS: tuple[object, ...] = (np.ndarray, NDArray)

_ABSTRACT = frozenset[type](
    {
        np.generic,
        np.number,
        np.integer,
        np.signedinteger,
        np.unsignedinteger,
        np.inexact,
        np.floating,
        np.complexfloating,
        np.flexible,
        np.character,
    }
)


def is_array_hint(hint: object) -> bool:
    """Whether an annotation, ``| None`` aside, is ``np.ndarray``, ``NDArray`` or ``NDArray[…]``."""
    return any(kind is array for kind in (hint, get_origin(hint)) for array in _ARRAYS)


def dtype_of_hint(hint: object) -> np.dtype[Any] | None:
    """The dtype that ``NDArray[np.float64]`` names; None where the annotation leaves it open.

    Raises ``UnsupportedType`` for abstract dtypes (``np.floating``) and objects.
    """
    scalar = _scalar_of(hint)
    if scalar is Any or isinstance(scalar, TypeVar):
        return None
    if not (isinstance(scalar, type) and issubclass(scalar, np.generic)):
        raise UnsupportedType(f"{quote(hint)}: name a NumPy scalar type, such as np.float32")
    if scalar in _ABSTRACT:
        raise UnsupportedType(f"{quote(hint)} is abstract: name one dtype, such as np.float32")
    dtype = np.dtype(scalar)
    if dtype.kind not in _KINDS:
        raise UnsupportedType(f"{quote(hint)}: objects and records cannot be stored")
    return dtype


def _scalar_of(hint: object) -> object:
    """``np.float64`` of ``NDArray[np.float64]`` or ``np.ndarray[…, np.dtype[np.float64]]``; ``Any``
    where nothing is said."""
    args = get_args(hint)
    if get_origin(hint) is np.ndarray:
        args = get_args(args[1]) if len(args) > 1 else ()
    return args[0] if args else Any

"""The fields of a sample type: which annotations there are, and a checking codec for each.

Rule: a value passes only as what its annotation says, both ways; what does not fit is an error,
never a silent conversion that loses something.
Source: formats.md, "Samples in a shard"; the specification's table "Supported Field Types".
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from atdata import ndarray
from atdata.conversion import NUMBERS, Array, conform
from atdata.protocol.errors import InvalidSample, UnsupportedType, quote

Codec = Callable[[Any], Any]

MAX_NESTING = 64  # lists and maps in one another, where the annotation does not say how many
_CONTAINERS = frozenset({list, tuple, dict})


@dataclass(frozen=True, slots=True)
class SampleField:
    """One field of a sample type. ``hint`` is its annotation without ``| None``; ``encode`` and
    ``decode`` go to and from msgpack values and raise ``DataError`` for what does not fit."""

    name: str
    hint: Any
    optional: bool
    has_default: bool
    encode: Codec
    decode: Codec

    @classmethod
    def of(cls, name: str, hint: Any, has_default: bool) -> Self:
        """The field ``name: hint``. Raises ``UnsupportedType`` naming it."""
        try:
            inner, optional = split_optional(hint)
            encode, decode = _codecs(hint)
        except UnsupportedType as error:
            raise UnsupportedType(f"field {quote(name)}: {error}") from error
        return cls(name, inner, optional, has_default, encode, decode)


@dataclass(frozen=True, slots=True)
class OpenDtype:
    """Marks, inside ``Annotated``, an array whose dtype is a default that nobody chose: what is in
    the data stands, as long as it is numbers, like the default."""


# --- codecs, one per annotation ------------------------------------------------------------------


def misfit(wanted: str, value: object) -> InvalidSample:
    """The error for a value that is not what was ``wanted``; of a long value only its type."""
    brief = isinstance(value, bool | int | float) or (
        isinstance(value, str | bytes) and len(value) < 1000
    )
    shown = f" {quote(value)}" if brief else ""
    return InvalidSample(f"expected {wanted}, got {type(value).__name__}{shown}")


def _decode_str(value: Any) -> str:
    if type(value) is str:
        return value
    raise misfit("str", value)


def _encode_str(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    raise misfit("str", value)


def _decode_int(value: Any) -> int:
    if type(value) is int:
        return value
    raise misfit("int", value)


def _encode_int(value: Any) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
        if -(2**63) <= number < 2**64:
            return number
    raise misfit("int of 64 bits", value)


def _decode_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:  # 1.0 written as 1
        return _exactly(value)
    raise misfit("float", value)


def _encode_float(value: Any) -> float:
    if isinstance(value, float | np.floating):
        return float(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return _exactly(int(value))
    raise misfit("float", value)


def _exactly(number: int) -> float:
    """An integer as a float, if there is one that is the same."""
    if abs(number) < 2**64 and float(number) == number:
        return float(number)
    raise misfit("float that is exactly this integer", number)


def _decode_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise misfit("bool", value)


def _encode_bool(value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise misfit("bool", value)


def _decode_bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    raise misfit("bytes", value)


def _encode_bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise misfit("bytes", value)


def _plain(value: Any) -> Any:
    """Anything: what msgpack holds is what there is."""
    check_nesting(value)
    return value


def check_nesting(value: Any) -> None:
    """Raises ``InvalidSample`` for more than ``MAX_NESTING`` lists and maps in one another, which
    whoever walks over them (comparing, copying) would come to the end of Python's stack with."""
    if type(value) not in _CONTAINERS:
        return
    open_ones = [_inside(value)]
    while open_ones:
        inner = next((item for item in open_ones[-1] if type(item) in _CONTAINERS), None)
        if inner is None:
            open_ones.pop()
        elif len(open_ones) == MAX_NESTING:
            raise InvalidSample(f"lists and maps are nested deeper than {MAX_NESTING}")
        else:
            open_ones.append(_inside(inner))


def _inside(container: Any) -> Iterator[Any]:
    items = container.values() if type(container) is dict else container
    # Most hold no other, which is known without a step of Python for each item.
    return iter(()) if _CONTAINERS.isdisjoint(map(type, items)) else iter(items)


_SCALARS: dict[Any, tuple[Codec, Codec]] = {
    str: (_encode_str, _decode_str),
    int: (_encode_int, _decode_int),
    float: (_encode_float, _decode_float),
    bool: (_encode_bool, _decode_bool),
    bytes: (_encode_bytes, _decode_bytes),
    Any: (_plain, _plain),
}


def _codecs(hint: Any) -> tuple[Codec, Codec]:
    """``encode`` and ``decode`` for an annotation. Raises ``UnsupportedType``."""
    inner, optional = split_optional(hint)
    encode, decode = _required_codecs(inner)
    if not optional:
        return encode, decode
    return (
        lambda value: None if value is None else encode(value),
        lambda value: None if value is None else decode(value),
    )


def _required_codecs(hint: Any) -> tuple[Codec, Codec]:
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Annotated:
        open_dtype = any(isinstance(note, OpenDtype) for note in args[1:])
        return _number_codecs() if open_dtype else _required_codecs(args[0])
    if ndarray.is_array_hint(hint):
        return _array_codecs(hint)
    if origin is list:
        return _list_codecs(args[0] if args else Any)
    if origin is dict:
        return _dict_codecs()
    raise UnsupportedType(
        f"{quote(hint)} is no field type: use str, int, float, bool, bytes, NDArray, list[…], dict "
        "or one of them | None"
    )


def _array_codecs(hint: Any) -> tuple[Codec, Codec]:
    dtype = ndarray.dtype_of_hint(hint)

    def encode(value: Any) -> bytes:
        if not isinstance(value, np.ndarray | np.generic):
            raise misfit("a NumPy array", value)
        return ndarray.encode(conform(np.asarray(value), dtype))

    decode_bytes = ndarray.decoder(dtype)

    def decode(value: Any) -> Array:
        if type(value) is bytes:
            return decode_bytes(value)
        if not isinstance(value, np.ndarray):
            raise misfit("an array", value)
        return conform(value, dtype)

    return encode, decode


def _number_codecs() -> tuple[Codec, Codec]:
    """Arrays of any dtype that is one of numbers."""
    encode, decode = _array_codecs(np.ndarray)

    def encode_numbers(value: Any) -> bytes:
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in NUMBERS:
            raise misfit(f"an array of numbers, not of {value.dtype}", value)
        encoded: bytes = encode(value)
        return encoded

    def decode_numbers(value: Any) -> Array:
        array: Array = decode(value)
        if array.dtype.kind not in NUMBERS:
            raise misfit(f"an array of numbers, not of {array.dtype}", array)
        return array

    return encode_numbers, decode_numbers


def _any_list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise misfit("list", value)
    check_nesting(value)
    return value


def _list_codecs(item_hint: Any) -> tuple[Codec, Codec]:
    encode_item, decode_item = _codecs(item_hint)

    def encode(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise misfit("list", value)
        return [encode_item(item) for item in value]

    def decode(value: Any) -> list[Any]:
        if type(value) is not list:
            raise misfit("list", value)
        return [decode_item(item) for item in value]

    return encode, _any_list if item_hint is Any else decode


def _dict_codecs() -> tuple[Codec, Codec]:
    def same(value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            check_nesting(value)
            return value
        raise misfit("dict", value)

    return same, same


def split_optional(hint: Any) -> tuple[Any, bool]:
    """``T | None`` as ``T`` and True, anything else as itself and False.

    Raises ``UnsupportedType`` for a union of more than one type.
    """
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint, False
    inner = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
    if len(inner) != 1:
        raise UnsupportedType(f"{quote(hint)}: only T | None, not a union of types")
    return inner[0], True

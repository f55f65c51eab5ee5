"""From the bytes of a sample to its fields: once with care, then as the one before.

Rule: the fast way is taken only where the careful way has already accepted a sample of the very
same field names, in the same order, with values of the same kinds. Everything else, and every
error, goes the careful way, so that both say the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import ormsgpack

from atdata.fields import Codec, SampleField, check_nesting, misfit
from atdata.protocol.errors import DataError, InvalidSample, quote

MAX_SHAPES = 64  # of samples of one type: which fields are None, which floats came as int

T = TypeVar("T")

_Steps = tuple[tuple[str, Codec], ...]
"""The fields whose values msgpack does not hold as they are, and how to decode them."""


def unpack(data: bytes | memoryview) -> dict[str, Any]:
    """One msgpack map. The decoder checks every length. Raises ``InvalidSample``, also for lists
    and maps that are nested deeper than ``MAX_NESTING``."""
    try:
        values: dict[str, Any] = ormsgpack.unpackb(data)
    except ValueError as error:
        raise InvalidSample(f"{len(data)} bytes are not one msgpack map: {error}") from error
    if type(values) is not dict:
        raise misfit("a map of fields", values)
    for value in values.values():
        check_nesting(value)
    return values


def reader_of(cls: type[T], fields: tuple[SampleField, ...]) -> Callable[[bytes | memoryview], T]:
    """How to read a sample of ``cls``; raises ``InvalidSample`` that names the field."""
    names = tuple(field.name for field in fields)
    known: dict[tuple[type, ...], _Steps] = {}
    last: tuple[list[type], _Steps] = ([], ())
    # Where making one only stores the fields, they are stored without the call.
    stores, new, unpackb = _only_stores(cls, names), object.__new__, ormsgpack.unpackb

    def read(data: bytes | memoryview) -> T:
        nonlocal last
        try:
            values = unpackb(data)
        except ValueError:
            values = None
        if type(values) is not dict:
            values = unpack(data)  # which says what is wrong
        kinds, steps = last
        if [*map(type, values.values())] != kinds or tuple(values) != names:
            kinds = [*map(type, values.values())]
            if tuple(values) != names or tuple(kinds) not in known:
                decoded = decode_fields(cls, fields, values)
                if tuple(values) == names and len(known) < MAX_SHAPES:
                    known[tuple(kinds)] = _steps(fields, values)
                return cls(**decoded)
            last = kinds, steps = kinds, known[tuple(kinds)]
        try:
            for name, decode in steps:
                values[name] = decode(values[name])
        except DataError as error:
            raise InvalidSample(f"{cls.__name__}.{name}: {error}") from error
        if stores:
            sample = new(cls)
            sample.__dict__ = values
            return sample
        return cls(**values)

    return read


def _steps(fields: tuple[SampleField, ...], values: Mapping[str, Any]) -> _Steps:
    # What a value of these types decodes to is the value itself, whatever it is; but how deep
    # lists and maps are nested is looked at each time.
    return tuple(
        (field.name, field.decode)
        for field in fields
        if not (values[field.name] is None or field.hint is type(values[field.name]))
        or field.hint in (list, dict)
    )


def _only_stores(cls: Any, names: tuple[str, ...]) -> bool:
    """Whether making a ``cls`` does nothing but set the attributes ``names``."""
    return (
        cls.__init__ is cls.__atdata_init__
        and cls.__new__ is object.__new__
        and cls.__setattr__ is object.__setattr__
        and cls.__dictoffset__ != 0
        and not hasattr(cls, "__post_init__")
        and tuple(cls.__dataclass_fields__) == names
        and all(field.init for field in cls.__dataclass_fields__.values())
        and not any(hasattr(inspect.getattr_static(cls, name, None), "__set__") for name in names)
    )


def decode_fields(
    cls: type, fields: tuple[SampleField, ...], values: Mapping[str, Any]
) -> dict[str, Any]:
    """The careful way: optional fields may be missing, and a misfit is named."""
    decoded: dict[str, Any] = {}
    for field in fields:
        if field.name in values:
            try:
                decoded[field.name] = field.decode(values[field.name])
            except DataError as error:
                raise InvalidSample(f"{cls.__name__}.{field.name}: {error}") from error
        elif not field.has_default:
            decoded[field.name] = None
    if unknown := sorted(values.keys() - {field.name for field in fields}):
        raise InvalidSample(f"{cls.__name__} has no field {quote(', '.join(unknown))}")
    for field in fields:
        if not (field.name in values or field.has_default or field.optional):
            raise InvalidSample(f"{cls.__name__}.{field.name}: is missing")
    return decoded

"""Sample types and schema records, both ways.

Rule: what a record says becomes a type out of a fixed set of annotations; none of its text is ever
evaluated, and a name that Python cannot have is refused. Types are cached by content, so that two
schemas of one name stay apart and one schema read twice is one type.
Source: the specification's table "Supported Field Types".
"""

from __future__ import annotations

import copyreg
import re
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from atdata import ndarray
from atdata.conversion import NUMBERS, widens
from atdata.fields import OpenDtype, SampleField, split_optional
from atdata.protocol.errors import UnsupportedType, quote
from atdata.protocol.records import (
    DEFAULT_DTYPE,
    ArrayType,
    Field,
    FieldType,
    NdarrayType,
    Primitive,
    PrimitiveType,
    SchemaRecord,
)
from atdata.samples import PackableSample, as_packable, check_field_name

MAX_NESTING = 16  # lists in lists
MAX_TYPES = 1024  # made from schemas and kept

_PRIMITIVES: dict[type, Primitive] = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    bytes: "bytes",
}
_PYTHON: dict[str, type] = {name: python for python, name in _PRIMITIVES.items()}
_DTYPE_NAME = re.compile(r"[a-z]{1,16}\d{0,4}(\[\w{1,4}\])?")


# --- type → schema -------------------------------------------------------------------------------


def schema_of(
    sample_type: type,
    *,
    name: str | None = None,
    version: str = "1.0.0",
    description: str | None = None,
    license: str | None = None,  # noqa: A002 - the record's own name for it
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    created_at: str | None = None,
) -> SchemaRecord:
    """The schema of a ``packable`` class, under its own name unless another is given.

    ``str``, ``int``, ``float``, ``bool`` and ``bytes`` are primitives; ``NDArray`` is an array of
    float32 as far as a schema can say, ``NDArray[np.uint16]`` one of uint16, of any shape both;
    ``list[T]`` is a list of T, nested at will; ``T | None`` is an optional field. Their order is
    that of the class.

    Raises ``UnsupportedType`` for fields that no schema can express (``dict``, bare ``list``).
    """
    return SchemaRecord(
        name=sample_type.__name__ if name is None else name,
        version=version,
        fields=tuple(_field_of(sample_type, field) for field in _fields(sample_type)),
        created_at=created_at or datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        description=description,
        license=license,
        tags=tuple(tags),
        metadata=dict(metadata or {}),
    )


def _fields(sample_type: type) -> tuple[SampleField, ...]:
    if not issubclass(sample_type, PackableSample):
        raise UnsupportedType(
            f"{quote(sample_type.__name__)} has no fields to describe: decorate it with "
            "@atdata.packable"
        )
    return sample_type.__atdata_fields__


def _field_of(sample_type: type, field: SampleField) -> Field:
    try:
        return Field(field.name, _field_type(field.hint), field.optional)
    except UnsupportedType as error:
        raise UnsupportedType(f"{sample_type.__name__}.{field.name}: {error}") from error


def _field_type(hint: Any) -> FieldType:
    if typing.get_origin(hint) is Annotated:  # by type_of, where nobody chose
        return NdarrayType(DEFAULT_DTYPE)
    if hint in _PRIMITIVES:
        return PrimitiveType(_PRIMITIVES[hint])
    if ndarray.is_array_hint(hint):
        dtype = ndarray.dtype_of_hint(hint)
        if dtype is None:
            return NdarrayType(DEFAULT_DTYPE)
        return NdarrayType(dtype.name, chosen=dtype.name == DEFAULT_DTYPE)
    if typing.get_origin(hint) is list:
        (item,) = typing.get_args(hint)
        item, optional = split_optional(item)
        if not optional:
            return ArrayType(_field_type(item))
    raise UnsupportedType(
        f"no schema can express {quote(hint)}; there are str, int, float, bool, bytes, NDArray, "
        "list[…] of these, and T | None of a field"
    )


# --- schema → type -------------------------------------------------------------------------------


def type_of(schema: SchemaRecord) -> type[Any]:
    """A ``packable`` class with the schema's name and fields; optional fields default to None.

    Arrays take the dtype that the schema states. ``float32`` is also what a schema states for an
    array whose writer named no dtype: there the data's own dtype stands, as long as it is one of
    numbers, and nothing is converted; unless the record says that float32 was chosen.
    The same content gives the same class. Raises ``UnsupportedType`` for fields of a kind or a name
    that Python cannot have; read such samples as ``DictSample``.
    """
    return _type_of(schema.name, schema.fields)


@lru_cache(maxsize=MAX_TYPES)
def _type_of(name: str, fields: tuple[Field, ...]) -> type[Any]:
    class_name = _class_name(name)
    hints: dict[str, Any] = {}
    namespace: dict[str, Any] = {"__module__": __name__, "__qualname__": class_name}
    for field in fields:
        if field.name in hints:
            raise UnsupportedType(f"schema {quote(name)}: two fields are named {quote(field.name)}")
        hints[field.name] = _hint_of(name, field)
        if field.optional:
            namespace[field.name] = None
    namespace |= {"__annotations__": hints, "__reduce__": _reduce_to(name, fields)}
    namespace["__atdata_schema__"] = (name, fields)
    return as_packable(_FromSchema(class_name, (PackableSample,), namespace), hints)


def is_decoded(sample_type: type) -> bool:
    """Whether ``type_of`` made this type."""
    return "__atdata_schema__" in vars(sample_type)


class _FromSchema(type):
    """Of types that no module holds: they are pickled (to worker processes) as their schema."""


def _reduce_type(made: Any) -> tuple[Any, ...]:
    return _type_of, made.__atdata_schema__


copyreg.pickle(_FromSchema, _reduce_type)


def _class_name(name: str) -> str:
    """A name that can stand in an error message and a repr, whatever the record calls itself."""
    safe = re.sub(r"\W", "_", name[:100], flags=re.ASCII)
    return safe if safe.isidentifier() else f"Sample_{safe}"


def _hint_of(schema_name: str, field: Field) -> Any:
    try:
        check_field_name(field.name)
        hint = _hint(field.type, MAX_NESTING)
    except UnsupportedType as error:
        raise UnsupportedType(
            f"schema {quote(schema_name)}, field {quote(field.name)}: {error}; its samples can be "
            "read as DictSample"
        ) from error
    return hint | None if field.optional else hint


def _hint(field_type: FieldType, nesting: int) -> Any:
    if nesting < 0:
        raise UnsupportedType(f"lists are nested deeper than {MAX_NESTING}")
    match field_type:
        case PrimitiveType(primitive):
            return _PYTHON[primitive]
        case NdarrayType(dtype=None):
            return NDArray[Any]
        case NdarrayType(dtype=str(dtype), chosen=chosen):
            hint = _array_of(_scalar(dtype))
            open_dtype = dtype == DEFAULT_DTYPE and not chosen
            return Annotated[hint, OpenDtype()] if open_dtype else hint
        case ArrayType(items):
            return list[_hint(items, nesting - 1)]  # type: ignore[misc]
    raise UnsupportedType(f"{quote(field_type)} has no Python type")


def _array_of(scalar: type[np.generic]) -> Any:
    array: Any = NDArray
    return array[scalar]


def _scalar(dtype: str) -> type[np.generic]:
    """The NumPy scalar type of a dtype's name. Raises ``UnsupportedType``."""
    if _DTYPE_NAME.fullmatch(dtype) is None:
        raise UnsupportedType(f"dtype {quote(dtype)} is unknown")
    try:
        scalar = np.dtype(dtype).type
        ndarray.dtype_of_hint(_array_of(scalar))
    except (TypeError, ValueError) as error:
        raise UnsupportedType(f"dtype {quote(dtype)} is unknown") from error
    return scalar


def _reduce_to(name: str, fields: tuple[Field, ...]) -> Any:
    """Samples of a type that no module holds are pickled (to worker processes) with its schema."""

    def reduce(sample: Any) -> tuple[Any, ...]:
        return _restore, (
            name,
            fields,
            {field.name: getattr(sample, field.name) for field in fields},
        )

    return reduce


def _restore(name: str, fields: tuple[Field, ...], values: dict[str, Any]) -> Any:
    return _type_of(name, fields)(**values)


# --- samples without a type ----------------------------------------------------------------------


def array_fields(schema: SchemaRecord) -> list[str]:
    """The names of the fields that are arrays, or lists of them."""
    return [field.name for field in schema.fields if _is_array(field.type)]


def _is_array(field_type: FieldType) -> bool:
    while isinstance(field_type, ArrayType):
        field_type = field_type.items
    return isinstance(field_type, NdarrayType)


# --- does a type fit a schema? -------------------------------------------------------------------


def fits(sample_type: type, schema: SchemaRecord) -> list[str]:
    """Why samples of ``schema`` cannot be read as ``sample_type``; empty if they can."""
    ours = {field.name: field for field in _fields(sample_type)}
    theirs = {field.name: field for field in schema.fields}
    reasons = [
        f"{quote(name)} is not a field of {sample_type.__name__}"
        for name in theirs
        if name not in ours
    ]
    for name, field in ours.items():
        if name in theirs:
            reasons += _differences(field, theirs[name])
        elif not field.optional and not field.has_default:
            reasons.append(f"{quote(name)} is not in the schema")
    return reasons


def _differences(ours: SampleField, theirs: Field) -> list[str]:
    reasons = []
    if theirs.optional and not ours.optional:
        reasons.append(f"{quote(ours.name)} may be None")
    if not _reads(ours.hint, theirs.type):
        reasons.append(f"{quote(ours.name)} is {_spelled(theirs.type)}, not {quote(ours.hint)}")
    return reasons


def _reads(hint: Any, field_type: FieldType) -> bool:
    """Whether values of ``field_type`` pass the codec of ``hint``."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    match field_type:
        case PrimitiveType(primitive):
            return hint is _PYTHON[primitive] or (hint is float and primitive == "int")
        case NdarrayType():
            return ndarray.is_array_hint(hint) and _reads_dtype(hint, field_type)
        case ArrayType(items):
            inner = typing.get_args(hint)
            return hint is list or (
                typing.get_origin(hint) is list and _reads(split_optional(inner[0])[0], items)
            )
    return False


def _reads_dtype(hint: Any, array: NdarrayType) -> bool:
    wanted = ndarray.dtype_of_hint(hint)
    if wanted is None or array.dtype is None:
        return True
    if array.dtype == DEFAULT_DTYPE and not array.chosen:  # any numbers at all
        return wanted.kind in NUMBERS
    try:
        there = np.dtype(_scalar(array.dtype))
    except UnsupportedType:
        return False
    return widens(there, wanted)


def _spelled(field_type: FieldType) -> str:
    match field_type:
        case PrimitiveType(primitive):
            return primitive
        case NdarrayType(dtype=dtype):
            return f"an array of {quote(dtype or 'any dtype')}"
        case ArrayType(items):
            return f"a list of {_spelled(items)}"
    return quote(field_type)

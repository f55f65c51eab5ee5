"""The types of fields, in both notations: ``fieldType`` objects and JSON Schema properties.

Rule: reading never guesses. What neither notation explains becomes ``UnknownType`` with its own
name, so that a schema stays readable around a field that this version does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from atdata.protocol.body import MAX_AT_URI, Body, array, integer, text
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.models import (
    DEFAULT_DTYPE,
    ArrayType,
    FieldType,
    NdarrayType,
    Primitive,
    PrimitiveType,
    RefType,
    UnknownType,
)
from atdata.protocol.namespaces import FOUNDATION, SUCCESSOR

MAX_NESTING = 16
MAX_TYPE_NAME = 200
MAX_DTYPE = 50
MAX_DIMENSIONS = 64  # what NumPy has

NDARRAY_REF = "https://foundation.ac/schemas/atdata-ndarray-bytes/1.0.0#/$defs/ndarray"

_PRIMITIVES: dict[str, Primitive] = {name: name for name in get_args(Primitive)}
# Writers that predate the lexicon said `local#ndarray`.
_TYPE_PREFIXES = ("", "local", f"{FOUNDATION}.schemaType", f"{SUCCESSOR}.schemaType")
_TELLTALE = {"primitive": "primitive", "items": "array", "ref": "ref", "dtype": "ndarray"}

_JSON_TYPES: dict[str, Primitive] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
}
_JSON_PROPERTY: dict[Primitive, dict[str, str]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte", "contentEncoding": "base64"},
}


# --- fieldType objects ---------------------------------------------------------------------------


def read_field_type(value: object, path: str, nesting: int = MAX_NESTING) -> FieldType:
    """A ``fieldType``: ``#primitive``, ``#ndarray``, ``#array`` or ``#ref``."""
    if nesting < 0:
        raise InvalidRecord(path, f"arrays are nested deeper than {MAX_NESTING}")
    body = Body.of(value, path)
    match _type_name(body):
        case "primitive":
            name = body.text("primitive", MAX_TYPE_NAME)
            known = _PRIMITIVES.get(name)
            return UnknownType(name) if known is None else PrimitiveType(known)
        case "ndarray":
            return NdarrayType(body.maybe_text("dtype", MAX_DTYPE), _shape(body, "shape"))
        case "array":
            return ArrayType(read_field_type(body.value("items"), body.at("items"), nesting - 1))
        case "ref":
            return RefType(body.text("ref", MAX_AT_URI))
        case other:
            return UnknownType(other)


def write_field_type(kind: FieldType) -> dict[str, Any]:
    """The ``fieldType`` object that ``read_field_type`` reads back."""
    match kind:
        case PrimitiveType(primitive):
            return _field_type("primitive", primitive=primitive)
        case NdarrayType(dtype, shape):
            return _field_type("ndarray", dtype=dtype, shape=_written(shape))
        case ArrayType(items):
            return _field_type("array", items=write_field_type(items))
        case RefType(ref):
            return _field_type("ref", ref=ref)
        case UnknownType(name):
            return {"$type": name} if "#" in name else _field_type(name)


def _field_type(name: str, **members: Any) -> dict[str, Any]:
    given = {key: value for key, value in members.items() if value is not None}
    return {"$type": f"{FOUNDATION}.schemaType#{name}", **given}


def _type_name(body: Body) -> str:
    """``ndarray`` of ``….schemaType#ndarray``; the whole text if the prefix is a stranger's."""
    written = body.maybe_text("$type", MAX_TYPE_NAME)
    if written is None:
        for member, name in _TELLTALE.items():
            if body.has(member):
                return name
        raise InvalidRecord(body.at("$type"), "is missing")
    prefix, hash_sign, name = written.rpartition("#")
    return name if hash_sign and prefix in _TYPE_PREFIXES else written


def _shape(body: Body, name: str) -> tuple[int | None, ...] | None:
    if not body.has(name):
        return None
    items = body.items(name, 0, MAX_DIMENSIONS)
    return tuple(_dimension(size, path) for size, path in items)


def _dimension(size: object, path: str) -> int | None:
    """A length; null and −1 both say "any"."""
    if size is None or integer(size, path) == -1:
        return None
    length = integer(size, path)
    if length < 0:
        raise InvalidRecord(path, f"{length} is no length")
    return length


def _written(shape: tuple[int | None, ...] | None) -> list[int | None] | None:
    return None if shape is None else list(shape)


def with_choices(kind: FieldType, beside: FieldType | None) -> FieldType:
    """``kind``, from ``fields[]``, with what its JSON Schema ``beside`` it says about the default
    dtype: there it stands only where somebody chose it."""
    match kind, beside:
        case NdarrayType(dtype=dtype), NdarrayType(chosen=True) if dtype == DEFAULT_DTYPE:
            return replace(kind, chosen=True)
        case ArrayType(items), ArrayType(others):
            return ArrayType(with_choices(items, others))
    return kind


# --- JSON Schema properties ----------------------------------------------------------------------


def read_property(value: object, path: str, nesting: int = MAX_NESTING) -> tuple[FieldType, bool]:
    """The type that a JSON Schema property describes, and whether null is among its values."""
    if nesting < 0:
        raise InvalidRecord(path, f"types are nested deeper than {MAX_NESTING}")
    if isinstance(value, bool):
        return UnknownType("any"), False
    body = Body.of(value, path)
    for union in ("anyOf", "oneOf"):
        if body.has(union):
            return _read_union(body, union, nesting)
    if body.has("$ref"):
        return _read_ref(body), False
    name, nullable = _json_type(body)
    if name == "array":
        return _read_array(body, nesting), nullable
    if name == "string" and "byte" in (body.members.get("format"), _encoding(body)):
        array = _read_hints(body)
        if array != NdarrayType():
            return array, nullable
        return PrimitiveType("bytes"), nullable
    known = _JSON_TYPES.get(name)
    return UnknownType(name) if known is None else PrimitiveType(known), nullable


def write_property(kind: FieldType) -> dict[str, Any]:
    """A JSON Schema property. ``fields[]`` beside it says the same without loss."""
    match kind:
        case PrimitiveType(primitive):
            return dict(_JSON_PROPERTY[primitive])
        case NdarrayType(dtype, shape):
            # No hint is how this form says that nobody chose: see ``with_choices``.
            said = None if dtype == DEFAULT_DTYPE and not kind.chosen else dtype
            hints = {"x-atdata-dtype": said, "x-atdata-shape": _written(shape)}
            given = {name: value for name, value in hints.items() if value is not None}
            return {"$ref": NDARRAY_REF, **given}
        case ArrayType(items):
            return {"type": "array", "items": write_property(items)}
        case RefType(ref):
            return {"$ref": ref}
        case UnknownType(name):
            return {"x-atdata-type": name}


def _json_type(body: Body) -> tuple[str, bool]:
    """The one type besides null, and whether null is allowed; ``any`` where nothing is said."""
    written = body.members.get("type", body.members.get("x-atdata-type"))
    if written is None:
        return "any", False
    if not isinstance(written, list):
        return text(written, body.at("type"), MAX_TYPE_NAME), False
    names = [
        text(name, body.at("type"), MAX_TYPE_NAME) for name in array(written, body.at("type"), 1, 8)
    ]
    others = [name for name in names if name != "null"]
    return others[0] if len(others) == 1 else "any", "null" in names


def _encoding(body: Body) -> str | None:
    """``byte`` for base64: two generations said "bytes" in two ways."""
    return "byte" if body.members.get("contentEncoding") == "base64" else None


def _read_ref(body: Body) -> FieldType:
    """A reference to the array type, to another schema, or to something unknown."""
    target = body.text("$ref", MAX_AT_URI)
    if target.startswith("at://"):
        return RefType(target)
    base, _, name = target.rpartition("/")
    if name == "ndarray" and (base.startswith("#") or "atdata-ndarray-bytes/" in base):
        return _read_hints(body)
    return UnknownType(name or target)


def _read_hints(body: Body) -> NdarrayType:
    """dtype and shape, as `x-atdata-…` or, in version 1.1 of the array format, by their names."""
    name = "x-atdata-dtype" if body.has("x-atdata-dtype") else "dtype"
    shape = "x-atdata-shape" if body.has("x-atdata-shape") else "shape"
    dtype = body.maybe_text(name, MAX_DTYPE)
    return NdarrayType(dtype, _shape(body, shape), chosen=dtype == DEFAULT_DTYPE)


def _read_array(body: Body, nesting: int) -> FieldType:
    if not body.has("items"):
        return ArrayType(UnknownType("any"))
    if isinstance(body.value("items"), list):
        return UnknownType("tuple")
    items, _ = read_property(body.value("items"), body.at("items"), nesting - 1)
    return ArrayType(items)


def _read_union(body: Body, name: str, nesting: int) -> tuple[FieldType, bool]:
    """``X | null`` is X; any other union is unknown."""
    members = [
        (member, path)
        for member, path in body.items(name, 1, MAX_NESTING)
        if not (isinstance(member, Mapping) and member.get("type") == "null")
    ]
    nullable = len(members) < len(array(body.value(name), body.at(name), 1, MAX_NESTING))
    if len(members) != 1:
        return UnknownType("union"), nullable
    member, path = members[0]
    kind, inner = read_property(member, path, nesting - 1)
    return kind, nullable or inner

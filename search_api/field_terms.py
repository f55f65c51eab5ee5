"""Fields as a question names them, and which published fields can be read as them. Pure.

Rule: a field fits if every value of it does: integers as wider ones or as floats that hold them,
floats as any floats. What a schema leaves open (a dtype that is not stated) fits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from atdata.protocol.errors import InvalidSyntax

KINDS = ("str", "int", "float", "bool", "bytes", "ndarray", "array", "ref", "unknown")
MAX_TERM = 300  # characters

_TERM = re.compile(r"((?:\\.|[^\\:])*?)(?::([^:]*?))?(?::(.*?))?([?!]*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_NUMBER = re.compile(r"(bool|u?int|float|complex)([0-9]*)")
_NESTED = re.compile(r"((?:list\[)*)([a-z]+)(\]*)")
_BITS_OF_FLOAT = {"float16": 11, "float32": 24, "float64": 53}  # integers that it holds exactly


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """``name:kind:detail``: None is anything. ``detail`` is the dtype of an ndarray, or the item
    type of an array. ``optional`` is that of the schema's field, or of one's own."""

    name: str | None = None
    kind: str | None = None
    detail: str | None = None
    optional: bool | None = None

    @classmethod
    def parse(cls, text: str) -> FieldTerm:
        r"""``image``, ``image:ndarray``, ``image:ndarray:float32``; ``*`` for any name or kind; at
        the end ``?`` for optional, ``!`` for not. Behind a backslash a sign is one of the name
        (``x\:y``). Raises ``InvalidSyntax``."""
        if len(text) > MAX_TERM:
            raise InvalidSyntax("field", text, f"at most {MAX_TERM} characters are allowed")
        parts = _TERM.fullmatch(text)
        if parts is None:
            raise InvalidSyntax("field", text, "there is nothing behind the backslash")
        name, kind, detail, mark = ((part or "").strip() for part in parts.groups())
        if len(mark) > 1:
            raise InvalidSyntax("field", text, "it ends in one of ? and !, once")
        if not name:
            raise InvalidSyntax("field", text, "expected name:kind:dtype; the last two may be left")
        if kind not in ("", "*", *KINDS):
            why = rf"the kind is none of {', '.join(KINDS)}; a colon in a name is written \:"
            raise InvalidSyntax("field", text, why)
        if detail and kind not in {"ndarray", "array"}:
            raise InvalidSyntax("field", text, "only ndarray and array have a third part")
        return cls(
            name=None if name == "*" else _ESCAPED.sub(r"\1", name),
            kind=None if kind in {"", "*"} else kind,
            detail=detail or None,
            optional=mark == "?" if mark else None,
        )


def kinds_read_as(kind: str) -> tuple[str, ...]:
    """The kinds whose values can be read as ``kind``."""
    return ("float", "int") if kind == "float" else (kind,)


def items_read_as(items: str) -> tuple[str, ...]:
    """The item types (``float``, ``list[float]``) of lists that can be read as lists of ``items``:
    however deep these are nested, in the end it is the kind that counts."""
    nested = _NESTED.fullmatch(items)
    if nested is None or nested[1].count("[") != len(nested[3]):
        return (items,)
    return tuple(f"{nested[1]}{kind}{nested[3]}" for kind in kinds_read_as(nested[2]))


def dtypes_read_as(want: str) -> tuple[str, ...]:
    """The dtypes whose arrays can be read as ``want``, itself first."""
    return (want, *(have for have in _ALL if have != want and _widens(have, want)))


_ALL = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)


def _widens(have: str, want: str) -> bool:
    """As NumPy's safe casts, and any float as any other: rounding loses no sample."""
    one, other = _NUMBER.fullmatch(have), _NUMBER.fullmatch(want)
    if one is None or other is None or want not in _ALL:
        return False
    (sort, size), (wanted, wide) = one.groups(), other.groups()
    match sort, wanted:
        case _, "bool":
            return False
        case "bool", _:
            return True
        case ("uint", "uint") | ("int", "int"):
            return int(size) <= int(wide)
        case "uint", "int":
            return int(size) < int(wide)
        case (("uint" | "int"), ("float" | "complex")):
            bits = int(wide) if wanted == "float" else int(wide) // 2
            return bits == 64 or _BITS_OF_FLOAT[f"float{bits}"] >= int(size)
        case ("float", "float") | ("complex", "complex") | ("float", "complex"):
            return True
    return False

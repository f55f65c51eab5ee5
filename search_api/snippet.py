"""The lines of Python that load a dataset, as pages and tools show them. Pure."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Sequence

from atdata.protocol.views import FieldView, SchemaView

MAX_FIELDS = 100  # written out as a class

_PLAIN = frozenset({"str", "int", "float", "bool", "bytes"})
_DTYPES = frozenset(
    [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + ["float16", "float64", "complex64", "complex128"]
)
# What the code itself uses, and what no field of a sample type can be called.
_TAKEN = frozenset({"atdata", "np", "NDArray", "hit", "sample", "print"})
_TAKEN |= {"packed", "as_wds", "from_bytes", "from_data"}
_LIST = re.compile(r"(list\[){0,8}(str|int|float|bool|bytes)\]{0,8}")


def load_snippet(uri: str, origin: str, dev: bool) -> str:
    """Complete code for the dataset ``uri``, found through the service at ``origin``."""
    return "\n".join(
        (
            "import atdata",
            "",
            _configured(origin, dev),
            "dataset = atdata.load_dataset(",  # most URIs are as long as the room that a page has
            f"    {json.dumps(uri)}",
            ")",
            "for sample in dataset:",
            "    print(sample)",
        )
    )


def type_snippet(schema: SchemaView, origin: str, dev: bool) -> str:
    """Complete code that finds the datasets of a schema and reads them, as a class
    with the schema's fields where Python can have these names, and without one otherwise."""
    fields = [_annotation(field) for field in schema.fields]
    named = _is_name(schema.name) and all(_is_name(field.name) for field in schema.fields)
    if not named or not fields or len(fields) > MAX_FIELDS:
        return "\n".join((*_head(origin, dev, ()), *_search(json.dumps(schema.uri), "")))
    words = " ".join(fields)
    imports = [
        line
        for word, line in (
            ("np.", "import numpy as np"),
            ("NDArray", "from numpy.typing import NDArray"),
        )
        if word in words
    ]
    pairs = zip(schema.fields, fields, strict=True)
    return "\n".join(
        (
            *_head(origin, dev, imports),
            "",
            "@atdata.packable",
            f"class {schema.name}:",
            *(f"    {field.name}: {annotation}" for field, annotation in pairs),
            "",
            *_search(schema.name, schema.name),
        )
    )


def _head(origin: str, dev: bool, imports: Sequence[str]) -> tuple[str, ...]:
    return ("import atdata", *imports, "", _configured(origin, dev))


def _search(schema: str, sample_type: str) -> tuple[str, ...]:
    return (
        f"for hit in atdata.search(schema={schema}):",
        f"    for sample in hit.load({sample_type}):",
        "        print(sample)",
    )


def _is_name(text: str) -> bool:
    fine = text.isascii() and text.isidentifier() and not keyword.iskeyword(text)
    return fine and text not in _TAKEN and not text.startswith("_")


def _annotation(field: FieldView) -> str:
    """Python's spelling of a field's type, made of known words only."""
    hint = field.kind if field.kind in _PLAIN else "bytes"
    if field.kind == "ndarray":
        # float32 is also what a schema says where nobody chose: there any numbers are right.
        hint = f"NDArray[np.{field.dtype}]" if field.dtype in _DTYPES else "NDArray"
    elif field.kind == "array":
        items = field.items or ""
        fine = _LIST.fullmatch(items) and items.count("[") == items.count("]")
        hint = f"list[{items}]" if fine else "list"
    return f"{hint} | None" if field.optional else hint


def _configured(origin: str, dev: bool) -> str:
    settings = f"api={json.dumps(origin)}" + (", dev=True" if dev else "")
    return f"atdata.configure({settings})"

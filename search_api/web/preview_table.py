"""A preview as a table: a row for each field, a column for each sample. Pure.

Rule: the rows follow from the schema alone as far as they can, with their heights, so that the page
has room for samples before there are any.
"""

from __future__ import annotations

from dataclasses import dataclass

from atdata.protocol.preview_views import MAX_FIELDS, Preview, ValuePreview
from atdata.protocol.views import FieldView, SchemaView
from search_api.web.text import type_text

COLUMNS = 4
EXTENSION = "msgpack"
FEW = 4  # rows, between which there is room for more text
_TALL = frozenset({"ndarray", "bytes"})
_MIDDLE = frozenset({"str", "text", "array", "list", "map", "ref", "unknown"})


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of a field in one sample, with the positions by which its image is asked for."""

    value: ValuePreview
    sample: int
    field: int


@dataclass(frozen=True, slots=True)
class Row:
    """One field. ``height``: tall, roomy, middle or flat; a cell may be missing (None)."""

    name: str
    type: str
    height: str
    cells: tuple[Cell | None, ...]


def rows(schema: SchemaView | None, preview: Preview | None) -> tuple[Row, ...]:
    """Fields in the schema's order, then those that only samples have."""
    fields = {field.name: field for field in (schema.fields if schema is not None else ())}
    columns = [] if preview is None else [_cells(preview, at) for at in range(len(preview.samples))]
    names = list(dict.fromkeys([*fields, *(name for column in columns for name in column)]))
    few = len(names) <= FEW
    return tuple(
        _row(name, fields.get(name), tuple(column.get(name) for column in columns), few)
        for name in names[:MAX_FIELDS]
    )


def problems(preview: Preview) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What is wrong with samples, each with the keys of those that have it."""
    found: dict[str, list[str]] = {}
    for sample in preview.samples:
        if sample.problem is not None:
            found.setdefault(sample.problem, []).append(sample_name(sample.key))
    return tuple((problem, tuple(keys)) for problem, keys in found.items())


def sample_name(key: str) -> str:
    """How to call a sample: its file without the extension that all of them have."""
    return key.removesuffix(f".{EXTENSION}")


def _cells(preview: Preview, sample: int) -> dict[str, Cell]:
    values = preview.samples[sample].values
    return {value.name: Cell(value, sample, at) for at, value in enumerate(values)}


def _row(name: str, field: FieldView | None, cells: tuple[Cell | None, ...], few: bool) -> Row:
    if field is not None:
        height = _height(field.kind, field.kind in _TALL, few)
        return Row(name, type_text(field), height, cells)
    value = next(cell.value for cell in cells if cell is not None)
    tall = value.shape is not None or value.image is not None
    return Row(name, value.dtype or value.kind, _height(value.kind, tall, few), cells)


def _height(kind: str, tall: bool, few: bool) -> str:
    if tall:
        return "tall"
    if kind not in _MIDDLE:
        return "flat"
    return "roomy" if few else "middle"

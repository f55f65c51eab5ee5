"""From the samples of a dataset to the type that is asked for, by what is known here.

Rule: a lens that was registered goes before any other way from one type to another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from atdata.dict_sample import DictSample
from atdata.lens import NETWORK
from atdata.protocol.errors import UnsupportedType
from atdata.protocol.records import SchemaRecord
from atdata.sample_values import fields_of
from atdata.samples import PackableSample
from atdata.schema import fits, is_decoded, schema_of, type_of


def conversion(source_type: type, view_type: type) -> Callable[[Any], Any]:
    """How a sample of one type becomes one of the other. Raises ``TypeMismatch``."""
    if source_type is view_type:
        return lambda sample: sample
    if NETWORK.path(source_type, view_type):
        return NETWORK.find(source_type, view_type).get
    if issubclass(source_type, DictSample) and issubclass(view_type, PackableSample):
        return view_type.from_data
    if issubclass(view_type, DictSample) and issubclass(source_type, PackableSample):
        return lambda sample: view_type.from_bytes(sample.packed)
    if is_decoded(source_type):
        start = _start(schema_of(source_type), view_type)
        if start is not None:
            onward = conversion(start, view_type)
            return lambda sample: onward(start.from_data(fields_of(sample)))
    return NETWORK.find(source_type, view_type).get  # which says what there is


def _start(schema: SchemaRecord, view_type: type) -> Any:
    """As which type a sample of a decoded type is read again."""
    if issubclass(view_type, PackableSample) and not fits(view_type, schema):
        return view_type
    return local_start(schema, view_type)


def local_start(schema: SchemaRecord, target: type) -> type | None:
    """The type to read samples of ``schema`` as, so that the registered lenses lead from it to
    ``target``: of those that fit, the one with the fewest lenses, then the one of the same name.
    None if there is none."""
    reached = [
        (len(path), start.__name__ != schema.name, position, start)
        for position, start in enumerate(_readable(schema))
        if (path := NETWORK.path(start, target))
    ]
    return min(reached)[-1] if reached else None


def _readable(schema: SchemaRecord) -> list[type]:
    """The schema's own type, every type with a lens that its samples can be read as, and
    ``DictSample``."""
    found: list[type] = []
    with suppress(UnsupportedType):  # then its samples may still fit a type written by hand
        found.append(type_of(schema))
    for start in NETWORK.sources():
        try:
            if not fits(start, schema):
                found.append(start)
        except UnsupportedType:
            continue
    return [*found, DictSample]

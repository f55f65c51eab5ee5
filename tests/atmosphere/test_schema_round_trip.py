"""Random types through a real record and back: what is written by the one is read by the other."""

from __future__ import annotations

import keyword
import typing
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata.ndarray import dtype_of_hint
from atdata.protocol import cbor, records
from atdata.protocol.models import (
    DEFAULT_DTYPE,
    ArrayType,
    Field,
    FieldType,
    NdarrayType,
    SchemaRecord,
)
from atdata.protocol.namespaces import SCHEMA_COLLECTION
from atdata.protocol.records import parse
from atdata.samples import PackableSample
from atdata.schema import fits, schema_of, type_of

NOW = "2026-01-01T00:00:00Z"
DTYPES = [
    *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.float16, np.float32, np.float64, np.complex64, np.complex128),
]
SCALARS = {
    str: st.text(max_size=5),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=5),
}

hints = st.recursive(
    st.sampled_from([*SCALARS, NDArray, *(NDArray[dtype] for dtype in DTYPES)]),
    lambda inner: inner.map(lambda hint: list[hint]),  # type: ignore[valid-type]
    max_leaves=4,
)
names = st.text("abcxyz_ÄßλЖ中0", min_size=1, max_size=8).filter(
    lambda name: (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and not name.startswith("__")
        and not hasattr(PackableSample, name)
    )
)
tables = st.dictionaries(names, st.tuples(hints, st.booleans()), min_size=1, max_size=8)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    if hint in SCALARS:
        return SCALARS[hint]
    if typing.get_origin(hint) is list:
        return st.lists(values_of(typing.get_args(hint)[0]), max_size=3)
    if hint == NDArray:
        return st.sampled_from(DTYPES).flatmap(arrays_of)
    return arrays_of(dtype_of_hint(hint))


def arrays_of(dtype: Any) -> st.SearchStrategy[Any]:
    shapes = st.lists(st.integers(0, 3), max_size=3)
    return shapes.map(lambda shape: np.arange(np.prod(shape, dtype=int)).reshape(shape)).map(
        lambda array: np.asarray(array % 2, dtype)
    )


@st.composite
def typed_samples(draw: st.DrawFn) -> Any:
    """A sample of a random type."""
    table = draw(tables)
    annotations = {name: h | None if optional else h for name, (h, optional) in table.items()}
    sample_type = atdata.packable(type("Random", (), {"__annotations__": annotations}))
    return sample_type(
        **{
            name: draw(st.none() | values_of(hint) if optional else values_of(hint))
            for name, (hint, optional) in table.items()
        }
    )


def published(schema: SchemaRecord, *without: str) -> SchemaRecord:
    """The schema after it was a record in a repository, some members of its body left out."""
    body = records.to_body(schema)
    for name in without:
        del body[name]
    stored = cbor.decode(cbor.encode(body))
    record = parse(SCHEMA_COLLECTION, stored)
    assert isinstance(record, SchemaRecord)
    return record


def hints_of(sample_type: Any) -> list[tuple[str, Any]]:
    resolved = typing.get_type_hints(sample_type, include_extras=True)
    return [(name, as_recorded(hint)) for name, hint in resolved.items()]


def as_recorded(hint: Any) -> Any:
    """``NDArray[np.float32]`` for ``NDArray``, which is the same in a record, also in a list and
    where it is marked as the default that nobody chose."""
    if typing.get_origin(hint) is Annotated:
        return as_recorded(typing.get_args(hint)[0])
    if typing.get_origin(hint) is list:
        return list[as_recorded(typing.get_args(hint)[0])]  # type: ignore[misc]
    if type(None) in typing.get_args(hint):
        return as_recorded(typing.get_args(hint)[0]) | None
    return NDArray[np.float32] if hint == NDArray else hint


@given(typed_samples())
def test_a_type_is_itself_again_after_publishing(sample: Any) -> None:
    written = type(sample)
    schema = schema_of(written, created_at=NOW)
    record = published(schema)
    assert record == schema
    decoded = type_of(record)
    assert hints_of(decoded) == hints_of(written)
    assert schema_of(decoded, created_at=NOW) == schema
    assert type_of(published(schema)) is decoded
    assert fits(written, record) == []
    assert fits(decoded, record) == []


@given(typed_samples())
def test_samples_of_the_one_are_samples_of_the_other(sample: Any) -> None:
    decoded = type_of(published(schema_of(type(sample), created_at=NOW)))
    read = decoded.from_bytes(sample.packed)
    assert read.packed == sample.packed
    assert type(sample).from_bytes(read.packed) == sample
    loose = atdata.DictSample.from_bytes(sample.packed)
    assert list(loose) == [field.name for field in decoded.__atdata_fields__]
    assert decoded.from_data(loose).packed == sample.packed


def as_one_form_says(fields: Sequence[Field], *, choices: bool) -> list[Field]:
    """A dtype that nobody chose is left out of the JSON Schema, and is the default in ``fields[]``,
    where a default that somebody chose (``choices``) is the same."""

    def told(kind: FieldType) -> FieldType:
        match kind:
            case NdarrayType(dtype=dtype, chosen=chosen):
                return replace(kind, dtype=dtype or DEFAULT_DTYPE, chosen=chosen and choices)
            case ArrayType(items):
                return ArrayType(told(items))
        return kind

    return [replace(field, type=told(field.type)) for field in fields]


@given(typed_samples())
def test_readers_of_one_form_alone_get_the_same_fields(sample: Any) -> None:
    schema = schema_of(type(sample), created_at=NOW)
    record = published(schema, "fields")
    assert set(as_one_form_says(record.fields, choices=True)) == set(
        as_one_form_says(schema.fields, choices=True)
    )
    record = published(schema, "schema", "schemaType")
    assert as_one_form_says(record.fields, choices=False) == as_one_form_says(
        schema.fields, choices=False
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_of_a_schema_is_that_of_the_arrays(dtype: Any) -> None:
    """Kept where the data has it, made where that loses nothing, an error where it would."""
    written = atdata.packable(type("T", (), {"__annotations__": {"x": NDArray[dtype]}}))
    decoded = type_of(published(schema_of(written, created_at=NOW)))
    loose = atdata.packable(type("T", (), {"__annotations__": {"x": NDArray}}))
    same = loose(np.ones(3, dtype))
    assert decoded.from_bytes(same.packed).x.dtype == dtype
    if dtype not in (np.bool_, np.float32):  # float32 is what a schema says of any dtype
        assert decoded.from_bytes(loose(np.ones(3, np.bool_)).packed).x.dtype == dtype

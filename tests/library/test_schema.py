"""Types and schema records, both ways, over every field type of the specification's table."""

from __future__ import annotations

import pickle
import typing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata.protocol.errors import InvalidSample, UnsupportedType
from atdata.protocol.records import (
    ArrayType,
    Field,
    NdarrayType,
    PrimitiveType,
    RefType,
    SchemaRecord,
    UnknownType,
    parse,
    to_body,
)
from atdata.schema import fits, schema_of, type_of

NOW = "2026-01-01T00:00:00Z"
DTYPES = [
    *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.float16, np.float32, np.float64, np.complex64, np.complex128),
]


@atdata.packable
class Sample:
    text: str
    number: int
    ratio: float
    flag: bool
    raw: bytes
    image: NDArray
    exact: NDArray[np.float64]
    words: list[str]
    table: list[list[int]]
    crops: list[NDArray[np.uint8]]
    mask: NDArray[np.uint8] | None
    note: str | None
    last: int


def of(*fields: Field, name: str = "Sample") -> SchemaRecord:
    return SchemaRecord(name, "1.0.0", fields, NOW)


def test_the_table_of_supported_field_types() -> None:
    assert schema_of(Sample, version="1.2.0", description="All of them", created_at=NOW) == replace(
        of(
            Field("text", PrimitiveType("str")),
            Field("number", PrimitiveType("int")),
            Field("ratio", PrimitiveType("float")),
            Field("flag", PrimitiveType("bool")),
            Field("raw", PrimitiveType("bytes")),
            Field("image", NdarrayType("float32")),
            Field("exact", NdarrayType("float64")),
            Field("words", ArrayType(PrimitiveType("str"))),
            Field("table", ArrayType(ArrayType(PrimitiveType("int")))),
            Field("crops", ArrayType(NdarrayType("uint8"))),
            Field("mask", NdarrayType("uint8"), optional=True),
            Field("note", PrimitiveType("str"), optional=True),
            Field("last", PrimitiveType("int")),
        ),
        version="1.2.0",
        description="All of them",
    )


def test_type_to_schema_to_type() -> None:
    schema = schema_of(Sample, created_at=NOW)
    decoded = type_of(schema)
    assert decoded.__name__ == "Sample"
    assert schema_of(decoded, created_at=NOW) == schema
    hints, original = typing.get_type_hints(decoded), typing.get_type_hints(Sample)
    assert list(hints) == list(original)
    assert {k: v for k, v in hints.items() if k != "image"} == {
        k: v for k, v in original.items() if k != "image"
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_kept(dtype: type) -> None:
    written = atdata.packable(type("T", (), {"__annotations__": {"x": NDArray[dtype]}}))
    decoded = type_of(schema_of(written, created_at=NOW))
    assert typing.get_type_hints(decoded)["x"] == NDArray[dtype]
    array = np.ones(3, dtype)
    again = decoded.from_bytes(written(array).packed).x
    np.testing.assert_array_equal(again, array, strict=True)


def test_a_sample_of_the_written_type_is_one_of_the_decoded_type() -> None:
    sample = Sample(
        *("a", 1, 0.5, True, b"x", np.zeros((2, 2), np.uint8), np.ones(2), ["w"], [[1], []]),
        *([np.zeros(1, np.uint8)], None, None, 3),
    )
    again = type_of(schema_of(Sample)).from_bytes(sample.packed)
    assert again.packed == sample.packed
    # The schema says float32 because nobody chose; the data's own dtype stands.
    assert again.image.dtype == np.uint8


@pytest.mark.parametrize("array", [np.array(["text"]), np.zeros(1, "M8[s]"), np.array([b"x"])])
def test_the_default_dtype_stands_for_numbers_of_any_kind(array: np.ndarray) -> None:
    @atdata.packable
    class Anything:
        x: NDArray

    decoded = type_of(schema_of(Anything))
    for number in (np.uint8(1), np.array([True]), np.ones(2, np.complex64), np.float16(0.5)):
        assert decoded.from_bytes(Anything(number).packed).x.dtype == number.dtype
    with pytest.raises(InvalidSample, match=r"Anything\.x: expected an array of numbers, not of"):
        decoded.from_bytes(Anything(array).packed)
    with pytest.raises(InvalidSample, match=r"Anything\.x: expected an array of numbers, not of"):
        decoded(array).packed  # noqa: B018


def test_float32_that_was_chosen_is_float32() -> None:
    @atdata.packable
    class Exact:
        x: NDArray[np.float32]

    schema = schema_of(Exact, created_at=NOW)
    body = to_body(schema)
    again = parse(body["$type"], body)
    assert again == schema
    decoded = type_of(schema)
    assert typing.get_type_hints(decoded, include_extras=True)["x"] == NDArray[np.float32]
    assert decoded.from_data({"x": np.ones(2, np.uint8)}).x.dtype == np.float32


def test_a_chosen_dtype_is_honoured_by_a_decoded_type() -> None:
    decoded = type_of(of(Field("x", NdarrayType("float64"))))
    assert decoded.from_data({"x": np.ones(2, np.float32)}).x.dtype == np.float64


def test_optional_fields_default_to_none_wherever_they_stand() -> None:
    decoded = type_of(
        of(Field("note", PrimitiveType("str"), optional=True), Field("label", PrimitiveType("int")))
    )
    assert decoded(label=1).note is None
    assert decoded(1).label == 1


# --- one content, one type -----------------------------------------------------------------------


def test_the_same_content_is_the_same_type() -> None:
    schema = schema_of(Sample)
    assert type_of(schema) is type_of(replace(schema, description="other", created_at=NOW))


def test_two_schemas_of_one_name_stay_apart() -> None:
    one = type_of(of(Field("a", PrimitiveType("int"))))
    two = type_of(of(Field("a", PrimitiveType("str"))))
    assert one is not two
    assert one.from_data({"a": 1}).a == 1
    assert two.from_data({"a": "x"}).a == "x"


def test_samples_of_decoded_types_go_to_worker_processes() -> None:
    sample = type_of(of(Field("a", PrimitiveType("int")))).from_data({"a": 1})
    assert pickle.loads(pickle.dumps(sample)) == sample


def test_decoded_types_work_with_lenses() -> None:
    decoded = type_of(of(Field("label", PrimitiveType("str")), name="Labelled"))

    @atdata.packable
    class Length:
        n: int

    @atdata.lens
    def measure(src: decoded) -> Length:  # type: ignore[valid-type]
        return Length(len(src.label))

    assert measure(decoded("four")) == Length(4)


def test_a_field_may_be_called_like_what_is_ours_alone() -> None:
    decoded = type_of(of(Field("reader", PrimitiveType("str")), name="Document"))
    assert decoded.from_bytes(decoded("me").packed).reader == "me"


# --- hostile schemas -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *(
            "class",
            "a b",
            "",
            "1st",
            "__init__",
            "packed",
            "from_bytes",
            "a\x00",
            "ﬁeld",
            "a" * 3 + "-",
        ),
        "x=__import__('os').abort()",
        "x: int\n    y",
    ],
)
def test_names_that_no_attribute_can_have_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedType, match="DictSample"):
        type_of(of(Field(name, PrimitiveType("int"))))


@pytest.mark.parametrize(
    "kind",
    [
        RefType("at://did:plc:abc/x.y.z/1"),
        UnknownType("tensor"),
        NdarrayType("object"),
        NdarrayType("void"),
        NdarrayType("float31"),
        NdarrayType("O"),
        NdarrayType("f4,f4"),
        NdarrayType("__import__('os')"),
        ArrayType(UnknownType("tensor")),
    ],
)
def test_kinds_that_no_annotation_says_are_refused(kind: Any) -> None:
    with pytest.raises(UnsupportedType, match="field 'x'"):
        type_of(of(Field("x", kind)))


def test_lists_nested_without_end_are_refused() -> None:
    kind: Any = PrimitiveType("int")
    for _ in range(20):
        kind = ArrayType(kind)
    with pytest.raises(UnsupportedType, match="nested"):
        type_of(of(Field("x", kind)))


def test_two_fields_of_one_name_are_refused() -> None:
    with pytest.raises(UnsupportedType, match="two fields"):
        type_of(of(Field("x", PrimitiveType("int")), Field("x", PrimitiveType("str"))))


@pytest.mark.parametrize("name", ["My Samples!", "1st", "class", "a\nb", "", "日本"])
def test_a_type_has_a_safe_name_whatever_the_schema_is_called(name: str) -> None:
    assert type_of(of(Field("x", PrimitiveType("int")), name=name)).__name__.isidentifier()


@pytest.mark.parametrize("hint", [dict, list, list[str | None], list[dict]])
def test_types_that_no_schema_can_say(hint: Any) -> None:
    sample_type = atdata.packable(type("T", (), {"__annotations__": {"x": hint}}))
    with pytest.raises(UnsupportedType, match=r"T\.x"):
        schema_of(sample_type)
    with pytest.raises(UnsupportedType, match="packable"):
        schema_of(int)


# --- does a type fit? ----------------------------------------------------------------------------


def test_a_type_fits_its_own_schema() -> None:
    schema = schema_of(Sample)
    assert fits(Sample, schema) == []
    assert fits(type_of(schema), schema) == []


@pytest.mark.parametrize(
    ("hint", "field", "reason"),
    [
        (float, Field("x", PrimitiveType("int")), ""),
        (int, Field("x", PrimitiveType("float")), "'x' is float"),
        (str, Field("x", PrimitiveType("bytes")), "'x' is bytes"),
        (str, Field("x", PrimitiveType("str"), optional=True), "may be None"),
        (str | None, Field("x", PrimitiveType("str")), ""),
        (str | None, Field("y", PrimitiveType("str")), "'y' is not a field"),
        (str, Field("y", PrimitiveType("str")), "'x' is not in the schema"),
        (NDArray, Field("x", NdarrayType("uint8")), ""),
        (NDArray[np.float64], Field("x", NdarrayType("int16")), ""),
        (NDArray[np.int16], Field("x", NdarrayType("uint8")), ""),
        (NDArray[np.float32], Field("x", NdarrayType("float64")), ""),
        (NDArray[np.uint8], Field("x", NdarrayType("uint16")), "array of 'uint16'"),
        (NDArray[np.int8], Field("x", NdarrayType("int64")), "array of 'int64'"),
        (NDArray[np.int64], Field("x", NdarrayType("uint64")), "array of 'uint64'"),
        (NDArray[np.float32], Field("x", NdarrayType("int64")), "array of 'int64'"),
        (NDArray[np.uint8], Field("x", NdarrayType("float32")), ""),
        (NDArray[np.str_], Field("x", NdarrayType("float32")), "array of 'float32'"),
        (NDArray[np.uint8], Field("x", NdarrayType("float32", chosen=True)), "array of 'float32'"),
        (NDArray[np.float64], Field("x", NdarrayType("float32", chosen=True)), ""),
        (NDArray[np.uint8], Field("x", NdarrayType("float64")), "array of 'float64'"),
        (NDArray[np.uint8], Field("x", NdarrayType("tensor")), "array of 'tensor'"),
        (NDArray, Field("x", PrimitiveType("bytes")), "'x' is bytes"),
        (list[int], Field("x", ArrayType(PrimitiveType("int"))), ""),
        (list[str], Field("x", ArrayType(PrimitiveType("int"))), "a list of int"),
        (list, Field("x", ArrayType(PrimitiveType("int"))), ""),
        (int, Field("x", UnknownType("tensor")), "tensor"),
    ],
)
def test_why_a_type_does_not_fit(hint: Any, field: Field, reason: str) -> None:
    sample_type = atdata.packable(type("T", (), {"__annotations__": {"x": hint}}))
    reasons = "; ".join(fits(sample_type, of(field)))
    assert reason in reasons
    assert bool(reason) == bool(reasons)

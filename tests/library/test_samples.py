"""Samples: one msgpack map each, what upstream readers read, held against their type both ways."""

from __future__ import annotations

import io
import pickle
import typing
from dataclasses import field
from typing import Any

import numpy as np
import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

import atdata
from atdata import DictSample, PackableSample, SampleBatch
from atdata.protocol.errors import InvalidSample, UnsupportedType


@atdata.packable
class Everything:
    image: NDArray
    mask: NDArray[np.uint8] | None
    vector: np.ndarray
    text: str
    number: int
    ratio: float
    flag: bool
    raw: bytes
    words: list[str]
    table: list[list[float]]
    crops: list[NDArray]
    extra: dict[str, Any]
    note: str | None


@atdata.packable
class Small:
    features: NDArray[np.float32]
    label: int
    name: str


FLOATS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
BYTES = arrays.arrays(np.uint8, arrays.array_shapes(max_side=4))
TEXT = st.text(st.characters(codec="utf-8"))
EVERYTHING = st.builds(
    Everything,
    image=BYTES | FLOATS,
    mask=BYTES | st.none(),
    vector=FLOATS,
    text=TEXT,
    number=st.integers(-(2**63), 2**64 - 1),
    ratio=st.floats(allow_nan=False),
    flag=st.booleans(),
    raw=st.binary(),
    words=st.lists(TEXT),
    table=st.lists(st.lists(st.floats(allow_nan=False))),
    crops=st.lists(BYTES),
    extra=st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(0, 9) | TEXT),
    note=TEXT | st.none(),
)


def small(**changes: Any) -> Small:
    return Small(**{"features": np.ones(3, np.float32), "label": 1, "name": "a", **changes})


def packed(**changes: Any) -> bytes:
    """The msgpack of a ``Small`` with raw values changed; ``...`` leaves a field out."""
    values = {**ormsgpack.unpackb(small().packed), **changes}
    return ormsgpack.packb({name: value for name, value in values.items() if value is not ...})


# --- bytes ---------------------------------------------------------------------------------------


@given(EVERYTHING.filter(lambda sample: not np.isnan(sample.vector).any()))
def test_every_field_type_comes_back(sample: Everything) -> None:
    again = Everything.from_bytes(sample.packed)
    for name in ("image", "mask", "vector"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sample, name), strict=True)
    assert again.packed == sample.packed
    assert [type(v) for v in vars(again).values()] == [type(v) for v in vars(sample).values()]


def test_the_bytes_are_a_msgpack_map_in_field_order_with_npy_arrays() -> None:
    sample = small(features=np.arange(3, dtype=np.float32), label=np.int64(7))
    values = ormsgpack.unpackb(sample.packed)
    assert list(values) == ["features", "label", "name"]
    assert values["label"] == 7
    array = np.load(io.BytesIO(values["features"]), allow_pickle=False)
    assert array.dtype == np.float32
    assert array.tolist() == [0, 1, 2]


def test_the_compact_encoding_is_read() -> None:
    data = packed(features=bytes.fromhex("033c66340102000000000000000000803f00000040"))
    assert Small.from_bytes(data).features.tolist() == [1, 2]


def test_arrays_are_read_only_views_into_the_sample() -> None:
    features = Small.from_bytes(small().packed).features
    assert not features.flags.writeable
    assert not features.flags.owndata


def test_none_is_written_as_nil_with_its_key() -> None:
    @atdata.packable
    class Maybe:
        note: str | None

    assert ormsgpack.unpackb(Maybe(None).packed) == {"note": None}
    assert Maybe.from_bytes(ormsgpack.packb({})).note is None


def test_as_wds_has_the_sample_and_a_key_of_its_own() -> None:
    one, two = small().as_wds, small().as_wds
    assert set(one) == {"__key__", "msgpack"}
    assert one["msgpack"] == small().packed
    assert one["__key__"] != two["__key__"]
    assert "." not in one["__key__"]


# --- what does not fit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not one msgpack map"),
        (small().packed[:-1], "not one msgpack map"),
        (b"\x91" * 100_000, "not one msgpack map"),
        (b"\xdf\xff\xff\xff\xff", "not one msgpack map"),
        (ormsgpack.packb([1]), "map of fields"),
        (packed(label="1"), r"Small\.label: expected int, got str"),
        (packed(label=True), r"Small\.label: expected int, got bool"),
        (packed(label=1.0), r"Small\.label: expected int, got float"),
        (packed(label=None), r"Small\.label: expected int, got NoneType"),
        (packed(name=b"a"), r"Small\.name: expected str, got bytes"),
        (packed(features=[1, 2]), r"Small\.features: expected an array, got list"),
        (packed(features=b"\x93NUMPY"), r"Small\.features: npy"),
        (packed(features=b"\x03abc\0"), r"Small\.features: 'abc' is no plain dtype"),
        (packed(label=...), r"Small\.label: is missing"),
        (packed(colour="red", zeal=1), "Small has no field 'colour, zeal'"),
        (packed(label=..., colour="red"), "Small has no field 'colour'"),
    ],
)
def test_bytes_that_do_not_fit_name_the_field(data: bytes, why: str) -> None:
    with pytest.raises(InvalidSample, match=why):
        Small.from_bytes(data)


@given(st.binary(max_size=300) | st.dictionaries(TEXT, TEXT | st.binary()).map(ormsgpack.packb))
def test_any_bytes_are_a_sample_or_a_named_error(data: bytes) -> None:
    for sample_type in (Everything, DictSample):
        try:
            sample_type.from_bytes(data)
        except InvalidSample:
            continue


def test_an_error_quotes_little_of_a_long_value() -> None:
    with pytest.raises(InvalidSample) as caught:
        Small.from_bytes(packed(label="x" * 1_000_000))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"label": 2**64}, "int of 64 bits"),
        ({"label": -(2**63) - 1}, "int of 64 bits"),
        ({"label": True}, "int of 64 bits"),
        ({"label": "1"}, "int of 64 bits"),
        ({"name": None}, "str"),
        ({"features": [1.0]}, "a NumPy array"),
        ({"features": np.array([object()])}, "cannot be read as"),
        ({"features": np.array([1j])}, "cannot be read as"),
    ],
)
def test_values_that_do_not_fit_are_not_written(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidSample, match=rf"Small\.{next(iter(changes))}: .*{why}"):
        small(**changes).packed  # noqa: B018


def test_a_dict_that_msgpack_cannot_hold_is_not_written() -> None:
    @atdata.packable
    class Loose:
        extra: dict

    with pytest.raises(InvalidSample, match="msgpack"):
        Loose({"a": object()}).packed  # noqa: B018
    with pytest.raises(InvalidSample, match="msgpack"):
        Loose({1: "a"}).packed  # noqa: B018


# --- dtypes --------------------------------------------------------------------------------------


def test_the_dtype_of_the_annotation_is_written_and_read() -> None:
    written = ormsgpack.unpackb(small(features=np.ones(2, np.float64)).packed)["features"]
    assert np.load(io.BytesIO(written)).dtype == np.float32
    stored = io.BytesIO()
    np.save(stored, np.array([1, 2], ">i2"))
    read = Small.from_bytes(packed(features=stored.getvalue())).features
    assert read.dtype == np.float32
    assert read.tolist() == [1, 2]
    assert not read.flags.writeable


def test_numbers_that_the_dtype_does_not_hold_are_neither_written_nor_read() -> None:
    @atdata.packable
    class Bytes:
        x: NDArray[np.uint8]

    @atdata.packable
    class Wide:
        x: NDArray[np.uint16]

    with pytest.raises(InvalidSample, match=r"Bytes\.x: .*300 is not between 0 and 255"):
        Bytes(np.array([300], np.uint16)).packed  # noqa: B018
    data = Wide(np.array([300], np.uint16)).packed
    with pytest.raises(InvalidSample, match=r"Bytes\.x: .*300 is not between 0 and 255"):
        Bytes.from_bytes(data)
    assert Bytes.from_bytes(Wide(np.array([255], np.uint16)).packed).x.tolist() == [255]


def test_an_integer_becomes_a_float_only_if_it_stays_the_same() -> None:
    @atdata.packable
    class Ratio:
        x: float

    assert Ratio.from_bytes(ormsgpack.packb({"x": 2**60})).x == 2.0**60
    assert Ratio.from_bytes(Ratio(np.int64(3)).packed).x == 3.0
    for number in (2**53 + 1, 2**64 - 1):
        with pytest.raises(InvalidSample, match=r"Ratio\.x"):
            Ratio.from_bytes(ormsgpack.packb({"x": number}))
    for number in (2**53 + 1, 10**400):
        with pytest.raises(InvalidSample, match=r"Ratio\.x"):
            Ratio(number).packed  # noqa: B018


@pytest.mark.parametrize("dtype", ["u1", "i8", "f2", "f8", "c16", "?"])
def test_an_open_annotation_keeps_the_dtype_of_the_data(dtype: str) -> None:
    @atdata.packable
    class Open:
        array: NDArray

    assert Open.from_bytes(Open(np.ones(2, dtype)).packed).array.dtype == np.dtype(dtype)


# --- classes -------------------------------------------------------------------------------------


def test_a_packable_class_is_a_dataclass() -> None:
    assert repr(Small(np.ones(1, "f4"), 1, "a")) == (
        "Small(features=float32[1], label=1, name='a')"
    )
    assert small() == small()
    assert small() != small(label=2)
    assert small() != small(features=np.zeros(3, np.float32))
    assert issubclass(Small, PackableSample)
    assert pickle.loads(pickle.dumps(small())) == small()


def test_annotations_of_a_class_in_a_function_are_resolved() -> None:
    import numpy as local_numpy

    @atdata.packable
    class Local:
        array: NDArray[local_numpy.float16]

    assert typing.get_type_hints(Local) == {"array": NDArray[np.float16]}
    assert Local.from_bytes(Local(np.ones(1)).packed).array.dtype == np.float16


def test_a_default_may_stand_before_a_required_field() -> None:
    @atdata.packable
    class Annotated:
        note: str | None = None
        words: list[str] = field(default_factory=list)
        label: int
        weight: float = 1.0

    sample = Annotated(3)
    assert (sample.note, sample.words, sample.label, sample.weight) == (None, [], 3, 1.0)
    assert list(ormsgpack.unpackb(sample.packed)) == ["note", "words", "label", "weight"]
    assert Annotated(note="x", words=["y"], label=1).note == "x"
    assert Annotated.from_bytes(ormsgpack.packb({"label": 4})) == Annotated(4)


def test_methods_inheritance_and_super_survive() -> None:
    @atdata.packable
    class Base:
        label: int

        def double(self) -> int:
            return self.label * 2

    @atdata.packable
    class Derived(Base):
        name: str

        def double(self) -> int:
            return super().double() + 1

    sample = Derived.from_bytes(Derived(3, "a").packed)
    assert sample.double() == 7
    assert isinstance(sample, Base)


@pytest.mark.parametrize(
    "hint", [object, complex, int | str, set[int], tuple[int, int], NDArray[np.floating], "Missing"]
)
def test_annotations_that_no_sample_can_have(hint: Any) -> None:
    with pytest.raises(UnsupportedType, match=r"field 'odd'|Missing"):
        atdata.packable(type("Odd", (), {"__annotations__": {"odd": hint}}))


@pytest.mark.parametrize("name", ["packed", "as_wds", "from_bytes", "from_data", "class", "__x"])
def test_field_names_that_no_sample_can_have(name: str) -> None:
    with pytest.raises(UnsupportedType, match=name):
        atdata.packable(type("Odd", (), {"__annotations__": {name: int}}))


def test_a_class_without_fields() -> None:
    with pytest.raises(UnsupportedType, match="no fields"):
        atdata.packable(type("Empty", (), {}))


# --- without a type ------------------------------------------------------------------------------


def test_a_dict_sample_shows_fields_by_attribute_and_item() -> None:
    sample = DictSample.from_bytes(small().packed)
    assert sample.name == sample["name"] == "a"
    assert list(sample) == ["features", "label", "name"]
    assert sample.features.tolist() == [1, 1, 1]
    with pytest.raises(AttributeError, match="'colour'"):
        _ = sample.colour
    with pytest.raises(KeyError):
        sample["colour"]


@given(EVERYTHING.filter(lambda sample: not np.isnan(sample.vector).any()))
def test_a_dict_sample_writes_what_it_read(sample: Everything) -> None:
    assert DictSample.from_bytes(sample.packed).packed == sample.packed


def test_a_dict_sample_becomes_typed_and_is_pickled() -> None:
    sample = DictSample(features=np.ones(3, np.float32), label=1, name="a")
    assert Small.from_data(sample) == small()
    assert pickle.loads(pickle.dumps(sample)) == sample
    assert sample != DictSample(label=1)
    assert DictSample(count=np.int64(3)).packed == ormsgpack.packb({"count": 3})


def test_bytes_that_only_look_like_an_array_stay_bytes() -> None:
    assert DictSample.from_bytes(ormsgpack.packb({"a": b"\x93NUMPY?"})).a == b"\x93NUMPY?"


# --- batches -------------------------------------------------------------------------------------


def test_a_batch_stacks_arrays_and_lists_the_rest() -> None:
    batch = SampleBatch([small(label=i) for i in range(4)])
    assert len(batch) == 4
    assert batch.features.shape == (4, 3)
    assert batch.features.dtype == np.float32
    assert batch.label == [0, 1, 2, 3]
    assert batch["label"] is batch.label
    assert list(batch) == batch.samples
    assert SampleBatch([DictSample(a=np.ones(2)), DictSample(a=np.zeros(2))]).a.shape == (2, 2)


@pytest.mark.parametrize("other", [np.ones(2, np.float32), np.ones(3, np.float64), None])
def test_arrays_that_differ_stay_a_list(other: Any) -> None:
    batch = SampleBatch([small(), small(features=other)])
    assert isinstance(batch.features, list)
    assert batch.features[1] is other


def test_a_batch_has_no_fields_but_its_samples() -> None:
    with pytest.raises(AttributeError):
        _ = SampleBatch([small()]).colour


@pytest.mark.parametrize("typed", [True, False])
def test_fields_may_be_called_like_what_a_batch_or_a_map_has(typed: bool) -> None:
    names = ["samples", "reader", "keys", "items", "values", "get"]
    if typed:
        hints: dict[str, Any] = dict.fromkeys(names, int)
        kind: Any = atdata.packable(type("Odd", (), {"__annotations__": hints}))
    else:
        kind = DictSample
    made = [kind.from_data(dict.fromkeys(names, i)) for i in range(2)]
    batch = SampleBatch([kind.from_bytes(sample.packed) for sample in made])
    for name in names:
        assert batch[name] == getattr(batch, name) == [0, 1]
    assert list(batch) == made
    assert len(batch) == 2

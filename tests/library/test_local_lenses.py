"""Lenses that are known here: found from samples without a type, and from decoded types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample
from atdata.local_lenses import local_start
from atdata.protocol.errors import TypeMismatch
from atdata.schema import schema_of, type_of
from tests.library.test_reading import tar


@atdata.packable
class Full:
    label: str
    image: NDArray[np.uint8]


@atdata.packable
class Shown:
    label: str


@atdata.packable
class Size:
    size: int


@atdata.packable
class Loose:
    label: str


@atdata.packable
class Elsewhere:
    other: float


@atdata.lens
def show(src: Full) -> Shown:
    return Shown(src.label.upper())


@atdata.lens
def measure(src: Shown) -> Size:
    return Size(len(src.label))


@atdata.lens
def loosen(src: DictSample) -> Loose:
    return Loose(f"{src.label}, loosely")


Decoded = type_of(schema_of(Full))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    sample = Full("cat", np.zeros(3, np.uint8))
    (tmp_path / "0.tar").write_bytes(tar([("0.msgpack", sample.packed)]))
    return tmp_path / "0.tar"


def test_a_lens_from_samples_without_a_type_goes_before_reading_them_as_the_type(
    path: Path,
) -> None:
    assert list(Dataset(path).as_type(Loose)) == [Loose("cat, loosely")]
    assert list(Dataset(path).as_type(Full)) == list(Dataset[Full](path))


def test_a_decoded_type_has_the_lenses_of_a_written_type_of_its_schema(path: Path) -> None:
    decoded = Dataset[Decoded](path)  # type: ignore[valid-type]
    assert list(decoded.as_type(Shown)) == [Shown("CAT")]
    assert list(decoded.as_type(Size)) == [Size(3)]
    assert list(decoded.as_type(Full)) == list(Dataset[Full](path))
    assert list(decoded.as_type(Loose)) == [Loose("cat, loosely")]


def test_a_lens_from_the_decoded_type_itself_goes_first(path: Path) -> None:
    other = type_of(schema_of(Full, name="Other"))

    @atdata.lens
    def own(src: other) -> Shown:  # type: ignore[valid-type]
        return Shown(f"own {src.label}")

    assert list(Dataset[other](path).as_type(Shown)) == [Shown("own cat")]  # type: ignore[valid-type]


def test_where_nothing_leads_the_types_are_named(path: Path) -> None:
    with pytest.raises(TypeMismatch, match="from Full to Elsewhere"):
        Dataset[Decoded](path).as_type(Elsewhere)  # type: ignore[valid-type]


def test_where_to_begin() -> None:
    schema = schema_of(Full)
    assert local_start(schema, Shown) is Full
    assert local_start(schema, Loose) is DictSample
    assert local_start(schema, Elsewhere) is None

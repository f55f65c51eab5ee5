"""Samples nested without end: a named error for every reader, and never the end of the stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ormsgpack
import pytest

import atdata
from atdata import Dataset, DictSample
from atdata.fields import MAX_NESTING
from atdata.protocol.errors import InvalidSample
from atdata.streams import Stream
from tests.library.test_reading import tar


@atdata.packable
class Listed:
    x: list


@atdata.packable
class Mapped:
    x: dict[str, Any]


@atdata.packable
class Several:
    x: list[dict]


def lists(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def maps(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def in_turn(depth: int) -> Any:
    value: Any = maps(1)
    for number in range(depth - 1):
        value = {"a": value} if number % 2 else [0, value, 0]
    return value


KINDS: list[tuple[type, Callable[[int], Any]]] = [
    *((DictSample, make) for make in (lists, maps, in_turn)),
    (Listed, lists),
    (Listed, lambda depth: [in_turn(depth - 1)]),
    (Mapped, maps),
    (Mapped, lambda depth: {"a": in_turn(depth - 1)}),
    (Several, lambda depth: [maps(depth)]),
]
READERS: dict[str, Callable[[Dataset[Any]], Iterable[Any]]] = {
    "ordered": lambda dataset: dataset.ordered(),
    "batches": lambda dataset: dataset.ordered(batch_size=2),
    "shuffled": lambda dataset: dataset.shuffled(),
    "stream": Stream,
    "stream of batches": lambda dataset: Stream(dataset, batch_size=2),
    "wds": lambda dataset: dataset.wds(),
}


@pytest.mark.parametrize("depth", [63, MAX_NESTING])
@pytest.mark.parametrize(("kind", "make"), KINDS)
def test_as_deep_as_allowed_is_read_compared_and_written(
    kind: Any, make: Callable[[int], Any], depth: int
) -> None:
    data = ormsgpack.packb({"x": make(depth)})
    sample = kind.from_bytes(data)
    assert sample.x == make(depth)
    assert sample == kind.from_bytes(data)
    assert sample.packed == data
    assert repr(sample)


@pytest.mark.parametrize("depth", [65, 400, 700, 1000, 5000])
@pytest.mark.parametrize(("kind", "make"), KINDS)
def test_deeper_is_neither_read_nor_written(
    kind: Any, make: Callable[[int], Any], depth: int
) -> None:
    read = kind.from_bytes
    read(ormsgpack.packb({"x": make(2)}))  # so that the next one goes the fast way
    if depth < 200:  # what ormsgpack does not write it reads nevertheless: see below
        with pytest.raises(InvalidSample, match="nested deeper than 64"):
            read(ormsgpack.packb({"x": make(depth)}))
    with pytest.raises(InvalidSample, match="nested deeper than 64"):
        kind.from_data({"x": make(depth)}).packed  # noqa: B018


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize(
    ("kind", "begin"),
    [(DictSample, b"\x91"), (DictSample, b"\x81\xa1a"), (Listed, b"\x91"), (Mapped, b"\x81\xa1a")],
)
def test_every_reader_can_pass_over_them(
    tmp_path: Path,
    kind: Any,
    begin: bytes,
    writable: bool,
    reader: Callable[[Dataset[Any]], Iterable[Any]],
) -> None:
    depths = [2, 63, 65, 400, 700, 1000, 1]
    bodies = [b"\x81\xa1x" + begin * depth + b"\x01" for depth in depths]
    path = tmp_path / "0.tar"
    path.write_bytes(tar([(f"{i}.msgpack", body) for i, body in enumerate(bodies)]))
    dataset = Dataset[kind](path, on_error="skip", writable=writable)  # type: ignore[valid-type]
    list(reader(dataset))
    assert dataset.skipped.counts == {"sample": 4}
    with pytest.raises(InvalidSample, match=r"0\.tar', member '2\.msgpack'.*nested deeper"):
        list(reader(Dataset[kind](path, writable=writable)))  # type: ignore[valid-type]


def test_what_holds_itself_is_not_written() -> None:
    endless: list[Any] = []
    endless += [endless, endless]
    for sample in (Listed(endless), DictSample(x=endless)):
        with pytest.raises(InvalidSample, match="nested deeper"):
            sample.packed  # noqa: B018

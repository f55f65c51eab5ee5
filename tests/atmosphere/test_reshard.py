"""Samples put into shards within limits: nothing lost, nothing changed, nothing out of order."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import atdata
from atdata.atmosphere.reshard import Members, repack, samples_in, samples_of
from atdata.sources import LocalSource
from atdata.tar import read_members
from tests.atmosphere.made import Feature, features, tar_of


def pieces(
    samples: list[tuple[str, Members]], count: int | None, size: float | None
) -> list[bytes]:
    made = []
    for shard in repack(samples, count, size):
        with shard.file as file:
            made.append(file.read())
        assert shard.samples == len({name.partition(".")[0] for name, _ in contents(made[-1:])})
    return made


def contents(tars: list[bytes]) -> list[tuple[str, bytes]]:
    return [
        (member.name, bytes(member.data))
        for tar in tars
        for member in read_members(io.BytesIO(tar), "made.tar")
    ]


def numbered(count: int, size: int = 100) -> list[tuple[str, Members]]:
    return [(f"{n:06d}", [("msgpack", bytes([n % 256]) * size)]) for n in range(count)]


@pytest.mark.parametrize(
    ("maxcount", "counts"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7]), (None, [7])]
)
def test_no_more_samples_than_asked_for(maxcount: int | None, counts: list[int]) -> None:
    made = pieces(numbered(7), maxcount, None)
    assert [len(contents([tar])) for tar in made] == counts
    assert contents(made) == [(f"{key}.{ext}", data) for key, [(ext, data)] in numbered(7)]


def test_no_more_bytes_than_asked_for_where_a_sample_fits() -> None:
    samples = [*numbered(40, size=3_000), ("large", [("msgpack", b"x" * 50_000)]), *numbered(2)]
    made = pieces(samples, None, 30_720)
    sizes = [len(tar) for tar in made]
    assert [size for size in sizes if size > 30_720] == [61_440]
    assert max(size for size in sizes if size <= 30_720) == 30_720
    assert [data for _, data in contents(made)] == [data for _, [(_, data)] in samples]


def test_what_belongs_to_one_key_stays_together_and_keys_stay_unique(tmp_path: Path) -> None:
    members: Members = [("json", b"{}"), ("msgpack", b"\x80"), ("seg.png", b"png")]
    made = pieces([("a/b", members), ("a/b", members), ("c", members)], 2, None)
    assert [name for name, _ in contents(made)] == [
        *(f"a/b.{ext}" for ext, _ in members),
        *(f"a/b~1.{ext}" for ext, _ in members),
        *(f"c.{ext}" for ext, _ in members),
    ]
    path = tmp_path / "mixed.tar"
    path.write_bytes(made[0])
    assert list(samples_in(LocalSource(path))) == [("a/b", members), ("a/b~1", members)]


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(features(9)))
    source = LocalSource(path)
    first = pieces(list(samples_in(source)), 4, None)
    assert first == pieces(list(samples_in(source)), 4, None)
    assert len(set(first)) == 3


def test_a_dataset_is_packed_anew_sample_by_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(features(5)))
    (tar,) = pieces(list(samples_of(atdata.Dataset[Feature](path))), None, 50e6)
    assert contents([tar]) == [
        (f"{n:09d}.msgpack", sample.packed) for n, sample in enumerate(features(5))
    ]


@pytest.mark.parametrize("limits", [(0, None), (None, 0), (-1, 10)])
def test_limits_below_one_are_refused(limits: tuple[int | None, int | None]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        list(repack([], *limits))

"""Samples put into shards within limits: nothing lost, nothing changed, nothing out of order."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from hypothesis import example, given
from hypothesis import strategies as st

import atdata
from atdata.atmosphere.reshard import Members, repack, samples_in, samples_of
from atdata.protocol.errors import InvalidSample, InvalidShard
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


@given(st.lists(st.integers(0, 12_000), max_size=20), st.integers(1, 3))
@example([512 * 15, 512], 1)  # with the end of the archive 19 blocks, 20 and 21
@example([512 * 15, 512 * 2], 1)
@example([512 * 15, 512 * 3], 1)
def test_a_piece_is_as_large_as_the_limit_lets_it_be(sizes: list[int], records: int) -> None:
    samples = [(f"{n:06d}", [("msgpack", bytes(size))]) for n, size in enumerate(sizes)]
    made, limit = pieces(samples, None, records * 10_240), records * 10_240
    counts = [len(contents([tar])) for tar in made]
    assert sum(counts) == len(sizes)
    assert all(len(tar) <= limit or count == 1 for tar, count in zip(made, counts, strict=True))
    for n in range(len(made) - 1):
        start = sum(counts[:n])
        (one_more,) = pieces(samples[start : start + counts[n] + 1], None, None)
        assert len(one_more) > limit


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
    assert list(samples_in(LocalSource(path), atdata.DictSample)) == [
        ("a/b", members),
        ("a/b~1", members),
    ]


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(features(9)))
    source = LocalSource(path)
    first = pieces(list(samples_in(source, Feature)), 4, None)
    assert first == pieces(list(samples_in(source, Feature)), 4, None)
    assert len(set(first)) == 3


def test_a_dataset_is_packed_anew_sample_by_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(features(5)))
    (tar,) = pieces(list(samples_of(atdata.Dataset[Feature](path))), None, 50e6)
    assert contents([tar]) == [
        (f"{n:09d}.msgpack", sample.packed) for n, sample in enumerate(features(5))
    ]


LONG = "folder/" * 20 + "x" * 60  # 200 characters, for which ustar has a second field
TOO_LONG = "y" * 150  # without a slash ustar cannot split it
NAMES = ["000000", "a/b/000001", LONG, TOO_LONG, "日本", "ä"]


def test_what_is_written_is_plain_ustar_wherever_that_can_say_the_name() -> None:
    (tar,) = pieces([(name, [("msgpack", b"\x80")]) for name in NAMES], None, None)
    kinds = [(tar[at + 257 : at + 265], tar[at + 156 : at + 157]) for at in headers(tar)]
    assert {magic for magic, _ in kinds} == {b"ustar\x0000"}
    pax, regular = (b"x",), (b"0",)
    assert tuple(kind for _, kind in kinds) == regular * 3 + (pax + regular) * 3
    assert len(tar) % 10_240 == 0
    assert tar.endswith(bytes(1_024))


def headers(tar: bytes) -> list[int]:
    """Where the headers stand: each says how long what follows it is."""
    at, found = 0, []
    while tar[at : at + 512].strip(b"\0"):
        found.append(at)
        size = int(tar[at + 124 : at + 135], 8)
        at += 512 + size + -size % 512
    return found


def test_every_reader_reads_it(tmp_path: Path) -> None:
    members: Members = [("msgpack", Feature(np.ones(2, np.float32), 1, "s").packed)]
    (tar,) = pieces([(name, members) for name in NAMES], None, None)
    path = tmp_path / "names.tar"
    path.write_bytes(tar)
    with tarfile.open(path) as archive:
        assert [info.name for info in archive] == [f"{name}.msgpack" for name in NAMES]
    pipeline = wds.WebDataset(str(path), shardshuffle=False, empty_check=False)
    assert [(s["__key__"], s["msgpack"]) for s in pipeline] == [(n, members[0][1]) for n in NAMES]
    assert len(list(atdata.Dataset[Feature](path))) == len(NAMES)
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, check=True, env={})
    assert len(listed.stdout.splitlines()) == len(NAMES)


def test_files_without_an_extension_are_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in (("README", b"text"), ("0.msgpack", b"\x80"), ("0.txt", b"t")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert list(samples_in(LocalSource(path), atdata.DictSample)) == [
        ("0", [("msgpack", b"\x80"), ("txt", b"t")])
    ]


@pytest.mark.parametrize("extensions", [["txt"], ["msgpack", "txt", "msgpack"]])
def test_a_key_without_one_sample_is_not_published(tmp_path: Path, extensions: list[str]) -> None:
    path = tmp_path / "a.tar"
    (tar,) = pieces(
        [("0", [("msgpack", b"\x80")]), ("1", [(e, b"") for e in extensions])], None, None
    )
    path.write_bytes(tar)
    with pytest.raises(InvalidShard, match=r"1\.(txt|msgpack).*byte"):
        list(samples_in(LocalSource(path), atdata.DictSample))


def test_a_sample_of_another_type_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    (tar,) = pieces([("0", [("msgpack", b"\x80")])], None, None)
    path.write_bytes(tar)
    with pytest.raises(InvalidSample, match=r"a\.tar.*'0\.msgpack', byte 0"):
        list(samples_in(LocalSource(path), Feature))


@pytest.mark.parametrize("limits", [(0, None), (None, 0), (-1, 10)])
def test_limits_below_one_are_refused(limits: tuple[int | None, int | None]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        list(repack([], *limits))

"""The mirror's files: within their bound at any moment, and there for as long as they are sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from atdata.protocol.errors import XrpcError
from search_api.feeds.mirror_files import MirrorFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


def put(files: MirrorFiles, name: str, size: int) -> None:
    with files.new(name) as file:
        for at in range(0, size, 10):
            file.write(b"x" * min(10, size - at))


def there(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_what_is_being_written_counts_at_every_piece(folder: Path) -> None:
    files = MirrorFiles(folder, 100)
    put(files, "a", 40)
    put(files, "b", 40)
    with files.new("c") as one, files.new("d") as other:
        for _ in range(4):
            one.write(b"x" * 10)
            other.write(b"x" * 10)
            written = one.size + other.size
            kept = sum(size for name, size in there(folder).items() if name in {"a", "b"})
            assert written + kept <= 100
    assert there(folder) == {"c": 40, "d": 40}


def test_the_longest_unused_leaves_first_also_after_a_restart(folder: Path) -> None:
    files = MirrorFiles(folder, 100)
    for name in ("a", "b", "c"):
        put(files, name, 30)
        os.utime(folder / name, ns=(1_000, 1_000))
    for name in ("b", "a", "c"):
        with files.read(name):
            pass
    again = MirrorFiles(folder, 100)
    put(again, "d", 30)
    assert set(there(folder)) == {"a", "c", "d"}


def test_asking_for_a_file_does_not_make_it_a_newer_one(folder: Path) -> None:
    files = MirrorFiles(folder, 100)
    put(files, "a", 10)
    os.utime(folder / "a", ns=(1_000, 1_000_000_000))
    with files.read("a") as path:
        assert path is not None
        assert path.stat().st_mtime_ns == 1_000_000_000


def test_a_file_that_is_being_sent_stays(folder: Path) -> None:
    files = MirrorFiles(folder, 100)
    put(files, "a", 60)
    with files.read("a") as path:
        assert path is not None
        files.drop("a")
        with pytest.raises(XrpcError) as full:
            put(files, "b", 60)
        assert (full.value.status, full.value.error) == (503, "NotEnoughResources")
        assert full.value.retry_after
        assert path.read_bytes() == b"x" * 60
        put(files, "c", 40)
    put(files, "b", 60)
    assert there(folder) == {"b": 60, "c": 40}


def test_what_fails_leaves_nothing_and_takes_no_room(folder: Path) -> None:
    files = MirrorFiles(folder, 100)
    for _ in range(3):
        with pytest.raises(XrpcError):
            put(files, "a", 101)
    assert there(folder) == {}
    assert not files.has("a")
    put(files, "a", 100)
    assert there(folder) == {"a": 100}


def test_a_file_that_somebody_removed_is_not_there(folder: Path) -> None:
    files = MirrorFiles(folder, 100)
    put(files, "a", 100)
    (folder / "a").unlink()
    with files.read("a") as path:
        assert path is None
    put(files, "b", 100)
    assert there(folder) == {"b": 100}

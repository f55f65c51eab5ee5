"""How fast shards become samples, as ratios of what was measured in one run on one core.

Ours is held against two others over the same local tar: plain WebDataset with ormsgpack and
``numpy.load``, and a bare walk over an mmap that checks nothing. They take turns, and what counts
is the time of the process on its core; a ratio is the median over the rounds.

    python -m tests.bench.samples [--rounds 7]
"""

from __future__ import annotations

import argparse
import io
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import ormsgpack
import webdataset
from numpy.typing import NDArray

import atdata
from atdata import Dataset
from atdata.atmosphere.reshard import repack
from tests.bench.goals import Goals

BLOCK = 512


@atdata.packable
class SmallSample:
    features: NDArray[np.float32]
    label: int
    source: str


@atdata.packable
class ImageSample:
    image: NDArray[np.uint8]
    label: int
    name: str


# --- shards --------------------------------------------------------------------------------------


def small_samples(count: int) -> Iterator[SmallSample]:
    rng = np.random.default_rng(0)
    for i in range(count):
        yield SmallSample(rng.random(128, np.float32), i, f"source-{i}")


def image_samples(count: int) -> Iterator[ImageSample]:
    rng = np.random.default_rng(0)
    for i in range(count):
        image = rng.integers(0, 256, (224, 224, 3), np.uint8)
        yield ImageSample(image, i, f"image-{i}")


def write_upstream(path: Path, samples: Iterator[SmallSample] | Iterator[ImageSample]) -> None:
    """As the specification writes shards: a pax header before every member."""
    with webdataset.writer.TarWriter(str(path)) as sink:
        for i, sample in enumerate(samples):
            sink.write({**sample.as_wds, "__key__": f"{i:06d}"})


def write_ours(path: Path, samples: Iterator[SmallSample] | Iterator[ImageSample]) -> None:
    """As ``PDSBlobStore.write_shards`` writes them."""
    packed = ((f"{i:06d}", [("msgpack", sample.packed)]) for i, sample in enumerate(samples))
    (shard,) = repack(packed, None, None)
    with shard.file as file:
        path.write_bytes(file.read())


# --- readers: each returns how many samples it has seen ------------------------------------------


def ours(path: Path, sample_type: type) -> int:
    count = 0
    for sample in Dataset[sample_type](path):
        sample.label  # noqa: B018
        count += 1
    return count


def ours_in_batches(path: Path, sample_type: type) -> int:
    array = "features" if sample_type is SmallSample else "image"
    count = 0
    for batch in Dataset[sample_type](path).ordered(batch_size=32):
        count += len(batch[array])
        batch.label  # noqa: B018
    return count


def plain(path: Path, sample_type: type) -> int:
    array = "features" if sample_type is SmallSample else "image"
    count = 0
    for sample in webdataset.WebDataset(str(path), shardshuffle=False):
        values = ormsgpack.unpackb(sample["msgpack"])
        values[array] = np.load(io.BytesIO(values[array]), allow_pickle=False)
        count += 1
    return count


def plain_in_batches(path: Path, sample_type: type) -> int:
    array = "features" if sample_type is SmallSample else "image"

    def decode(sample: dict) -> tuple:
        values = ormsgpack.unpackb(sample["msgpack"])
        return np.load(io.BytesIO(values[array]), allow_pickle=False), values["label"]

    reading = webdataset.WebDataset(str(path), shardshuffle=False).map(decode).batched(32)
    return sum(len(batch[0]) for batch in reading)


def bare(path: Path, sample_type: type) -> int:
    """Headers, unpack, ``frombuffer``: what cannot be left out, and no check of anything."""
    if sample_type is SmallSample:
        array, dtype, shape, start = "features", np.dtype("<f4"), (128,), 128
    else:
        array, dtype, shape, start = "image", np.dtype("u1"), (224, 224, 3), 128
    count = at = 0
    with path.open("rb") as file:
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    view = memoryview(whole)
    end = len(whole)
    while at < end:
        header = whole[at : at + BLOCK]
        if header[0] == 0:
            break
        size = int(header[124:135], 8)
        begin = at + BLOCK
        if header[156] == 0x30:
            header[:100].rstrip(b"\0").decode()
            values = ormsgpack.unpackb(view[begin : begin + size])
            flat = np.frombuffer(values[array], dtype, offset=start)
            values[array] = flat.reshape(shape) if len(shape) > 1 else flat
            count += 1
        at = begin + size + -size % BLOCK
    view.release()
    whole.close()
    return count


# --- measuring -----------------------------------------------------------------------------------

READERS: dict[str, Callable[[Path, type], int]] = {
    "ours": ours,
    "ours, batches of 32": ours_in_batches,
    "plain": plain,
    "plain, batches of 32": plain_in_batches,
    "bare": bare,
}


def rates(path: Path, sample_type: type, count: int, rounds: int) -> dict[str, list[float]]:
    """Samples per second of every reader, round by round; the readers take turns."""
    found: dict[str, list[float]] = {name: [] for name in READERS}
    for turn in range(rounds + 1):
        for name, read in READERS.items():
            before = time.process_time()
            seen = read(path, sample_type)
            took = time.process_time() - before
            if seen != count:
                raise SystemExit(f"{name} saw {seen} of {count} samples")
            if turn:  # the first round warms the page cache
                found[name].append(count / took)
    return found


def ratio(found: dict[str, list[float]], one: str, other: str) -> float:
    """The median, over the rounds, of what ``one`` does in the time of ``other``."""
    return median(a / b for a, b in zip(found[one], found[other], strict=True))


def report(title: str, found: dict[str, list[float]], plain_wanted: float, goals: Goals) -> None:
    rate = ", ".join(f"{name} {median(r):,.0f}/s" for name, r in found.items())
    print(f"{title}\n    {rate}")
    for one, other, wanted in (
        ("ours", "plain", plain_wanted),
        ("ours", "bare", 0.5),
        ("ours, batches of 32", "plain, batches of 32", None),
        ("ours, batches of 32", "bare", None),
    ):
        times = ratio(found, one, other)
        what = f"{one} / {other}: {times:.2f}"
        verdict = ""
        if wanted is not None:
            verdict = goals.verdict(f"{title}, {what}", f"{wanted:g}", times >= wanted)
        print(f"    {what}  {verdict}".rstrip())


def one_core() -> None:
    """Stay on one core, the first that there is."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main(arguments: list[str] | None = None, goals: Goals | None = None) -> None:
    """Exits with 1 if a goal was missed, unless there are ``goals`` to take that."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", type=int, default=10_000, help="small samples in the shard")
    parser.add_argument("--images", type=int, default=500, help="images in the shard")
    chosen = parser.parse_args(arguments)
    ours_to_reach = goals or Goals()
    one_core()
    kinds = [
        ("float32[128] + int + str", SmallSample, small_samples, chosen.small, 10),
        ("224×224×3 uint8 images", ImageSample, image_samples, chosen.images, 3),
    ]
    writers = [("pax tar of TarWriter", write_upstream), ("ustar tar of our writer", write_ours)]
    with tempfile.TemporaryDirectory() as folder:
        for title, sample_type, samples, count, wanted in kinds:
            for name, write in writers:
                path = Path(folder) / "shard.tar"
                write(path, samples(count))
                found = rates(path, sample_type, count, chosen.rounds)
                report(f"{title}, {name}", found, wanted, ours_to_reach)
    if goals is None:
        ours_to_reach.end()


if __name__ == "__main__":
    main()

"""The samples of the demo recording: made by formulas from fixed seeds, so that they can be made again.

Every generator yields ready samples of one of the types below; nothing is downloaded and nothing
shows a real person or place.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import atdata

# --- sample types -------------------------------------------------------------------------------


@atdata.packable
class FeatureSample:
    """The specification's complete example."""

    features: NDArray
    label: int
    source: str


@atdata.packable
class ImageSample:
    """The specification's image sample: uint8, height × width × 3."""

    image: NDArray[np.uint8]
    label: str
    confidence: float


@atdata.packable
class DigitSample:
    """One drawn digit: uint8, 28 × 28, 0 is paper."""

    image: NDArray[np.uint8]
    digit: int


@atdata.packable
class SegmentedSample:
    """A picture and, for each pixel, the number of the class it belongs to."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    classes: list[str]


@atdata.packable
class ClipSample:
    """A mono waveform in −1…1."""

    waveform: NDArray[np.float32]
    sample_rate: int
    label: str


@atdata.packable
class TerrainSample:
    """A tile of heights in metres."""

    height: NDArray[np.float32]
    tile_x: int
    tile_y: int
    sea_level: float | None = None


@atdata.packable
class SeriesSample:
    """Evenly spaced measurements."""

    values: NDArray[np.float64]
    unit: str
    station: str
    note: str | None = None


@atdata.packable
class TextSample:
    """A sentence with its language tag and word list."""

    text: str
    language: str
    words: list[str]


@atdata.packable
class LabelSample:
    """Only a label: what many richer samples can be seen as."""

    label: str


# --- pictures -----------------------------------------------------------------------------------

_SEGMENTS = {  # seven-segment digits: top, upper left, upper right, middle, lower left/right, bottom
    0: "1110111",
    1: "0010010",
    2: "1011101",
    3: "1011011",
    4: "0111010",
    5: "1101011",
    6: "1101111",
    7: "1010010",
    8: "1111111",
    9: "1111011",
}
_LINES = [
    ((4, 8), (4, 19)),
    ((4, 8), (13, 8)),
    ((4, 19), (13, 19)),
    ((13, 8), (13, 19)),
    ((13, 8), (23, 8)),
    ((13, 19), (23, 19)),
    ((23, 8), (23, 19)),
]


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axis = np.linspace(-1.0, 1.0, size)
    x, y = np.meshgrid(axis, axis)
    return x, y


def _palette(values: NDArray[np.float64], phase: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Values in 0…1 as a smooth colour wheel."""
    channels = [0.5 + 0.5 * np.cos(2 * np.pi * (values + p)) for p in phase]
    return (255 * np.stack(channels, axis=-1)).astype(np.uint8)


def digits(count: int, seed: int) -> Iterator[DigitSample]:
    """Slanted, jittered seven-segment digits with soft edges."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:28, 0:28].astype(np.float64)
    for i in range(count):
        digit = i % 10
        slant, width = rng.uniform(-0.25, 0.25), rng.uniform(1.0, 1.8)
        shift = rng.uniform(-1.5, 1.5, size=2)
        ink = np.zeros((28, 28))
        for lit, ((r0, c0), (r1, c1)) in zip(_SEGMENTS[digit], _LINES, strict=True):
            if lit == "0":
                continue
            a = np.array([r0, c0 - slant * (r0 - 14)]) + shift
            b = np.array([r1, c1 - slant * (r1 - 14)]) + shift
            along = ((rows - a[0]) * (b - a)[0] + (columns - a[1]) * (b - a)[1]) / (
                (b - a) ** 2
            ).sum()
            along = np.clip(along, 0, 1)
            distance = np.hypot(
                rows - a[0] - along * (b - a)[0], columns - a[1] - along * (b - a)[1]
            )
            ink = np.maximum(ink, np.clip(1.5 - distance / width, 0, 1))
        yield DigitSample(image=(255 * ink).astype(np.uint8), digit=digit)


def julia(count: int, seed: int, size: int = 96) -> Iterator[ImageSample]:
    """Julia sets along a circle of parameters, coloured by escape time."""
    rng = np.random.default_rng(seed)
    x, y = _grid(size)
    for i in range(count):
        angle = 2 * np.pi * i / count
        c = 0.7885 * np.exp(1j * angle)
        z = 1.5 * (x + 1j * y)
        steps = np.zeros(z.shape)
        for _ in range(48):
            inside = np.abs(z) < 4
            steps += inside
            z = np.where(inside, z * z + c, z)
        phase = (0.0, 0.1 + 0.1 * rng.random(), 0.25)
        yield ImageSample(
            image=_palette(steps / 48, phase), label=f"julia {angle:.2f}", confidence=1.0
        )


def shapes(count: int, seed: int, size: int = 64) -> Iterator[SegmentedSample]:
    """Overlapping discs, squares and rings on a soft ground, with their masks."""
    rng = np.random.default_rng(seed)
    x, y = _grid(size)
    for _ in range(count):
        image = _palette(0.15 * (x + y + 2) / 4 + rng.random(), (0.0, 0.33, 0.67)) // 3 + 150
        mask = np.zeros((size, size), np.uint8)
        for _ in range(int(rng.integers(2, 5))):
            kind = int(rng.integers(1, 4))
            cx, cy = rng.uniform(-0.6, 0.6, size=2)
            radius = rng.uniform(0.18, 0.4)
            distance = np.hypot(x - cx, y - cy)
            inside = {
                1: distance < radius,
                2: np.maximum(abs(x - cx), abs(y - cy)) < radius,
                3: abs(distance - radius) < 0.09,
            }[kind]
            image[inside] = rng.integers(30, 235, size=3)
            mask[inside] = kind
        yield SegmentedSample(
            image=image.astype(np.uint8), mask=mask, classes=["ground", "disc", "square", "ring"]
        )


def textures(count: int, seed: int, size: int = 64) -> Iterator[ImageSample]:
    """Interference of plane waves: woven, rippled and banded surfaces."""
    rng = np.random.default_rng(seed)
    x, y = _grid(size)
    for i in range(count):
        kind = ("woven", "rippled", "banded")[i % 3]
        waves = {"woven": 2, "rippled": 5, "banded": 1}[kind]
        total = sum(
            np.sin(rng.uniform(8, 30) * (np.cos(a) * x + np.sin(a) * y) + rng.uniform(0, 6))
            for a in rng.uniform(0, np.pi, size=waves)
        )
        values = (total / waves + 1) / 2
        yield ImageSample(
            image=_palette(0.4 * values, (0.6, 0.55, 0.4)),
            label=kind,
            confidence=float(np.round(rng.uniform(0.6, 1.0), 3)),
        )


def automata(count: int, seed: int, size: int = 64) -> Iterator[ImageSample]:
    """Elementary cellular automata from one random row each."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        rule = (30, 90, 110, 45, 73, 150)[i % 6]
        row = rng.integers(0, 2, size=size)
        rows = []
        for _ in range(size):
            rows.append(row)
            code = 4 * np.roll(row, 1) + 2 * row + np.roll(row, -1)
            row = (rule >> code) & 1
        cells = np.stack(rows).astype(np.uint8)
        paper, ink = np.array([250, 246, 235]), np.array([35, 52, 90])
        image = np.where(cells[..., None] == 1, ink, paper).astype(np.uint8)
        yield ImageSample(image=image, label=f"rule {rule}", confidence=1.0)


# --- signals, surfaces, words -------------------------------------------------------------------


def clips(count: int, seed: int, rate: int = 8000) -> Iterator[ClipSample]:
    """Quarter-second plucked tones: decaying harmonics of notes of one scale."""
    rng = np.random.default_rng(seed)
    names = ["A3", "B3", "C4", "D4", "E4", "F4", "G4", "A4"]
    pitch = [220.0, 246.9, 261.6, 293.7, 329.6, 349.2, 392.0, 440.0]
    t = np.arange(rate // 4) / rate
    for i in range(count):
        n = i % len(names)
        tone = sum(
            rng.uniform(0.3, 1.0) / k * np.sin(2 * np.pi * k * pitch[n] * t) for k in range(1, 6)
        )
        wave = tone * np.exp(-t * rng.uniform(4, 12))
        wave = 0.9 * wave / np.abs(wave).max()
        yield ClipSample(waveform=wave.astype(np.float32), sample_rate=rate, label=names[n])


def terrain(count: int, seed: int, size: int = 48) -> Iterator[TerrainSample]:
    """Tiles of a made landscape: summed octaves of smooth noise, in metres."""
    rng = np.random.default_rng(seed)
    x, y = _grid(size)
    for i in range(count):
        height = np.zeros((size, size))
        for octave in range(1, 6):
            angle, shift = rng.uniform(0, np.pi, size=2)
            wave = np.sin(2.0**octave * (np.cos(angle) * x + np.sin(angle) * y) + shift)
            height += 400 / 1.8**octave * wave
        yield TerrainSample(
            height=height.astype(np.float32),
            tile_x=i % 4,
            tile_y=i // 4,
            sea_level=0.0 if i % 3 else None,
        )


def series(count: int, seed: int, unit: str, level: float) -> Iterator[SeriesSample]:
    """A day each of quarter-hour values with a daily swing and a wandering error."""
    rng = np.random.default_rng(seed)
    hours = np.arange(96) / 4
    for i in range(count):
        swing = level * 0.2 * np.sin(2 * np.pi * (hours - 9) / 24)
        values = level + swing + np.cumsum(rng.normal(0, level * 0.01, size=96))
        yield SeriesSample(
            values=values,
            unit=unit,
            station=f"station-{i:02d}",
            note="gap filled" if i % 5 == 0 else None,
        )


def sentences(count: int, seed: int, language: str) -> Iterator[TextSample]:
    """Small grammatical sentences out of word lists."""
    rng = np.random.default_rng(seed)
    lists = {
        "en": (
            ["The small", "A patient", "Every second", "That quiet"],
            ["lens", "shard", "sample", "index"],
            ["finds", "bends", "keeps", "answers"],
            [
                "the morning light.",
                "a stranger's question.",
                "what was asked.",
                "two more of its kind.",
            ],
        ),
        "de": (
            ["Die kleine", "Eine geduldige", "Jede zweite", "Diese stille"],
            ["Linse", "Probe", "Scherbe", "Frage"],
            ["findet", "biegt", "bewahrt", "zeigt"],
            [
                "das Morgenlicht.",
                "eine fremde Antwort.",
                "was gesucht war.",
                "zwei weitere ihrer Art.",
            ],
        ),
    }[language]
    for _ in range(count):
        text = " ".join(str(rng.choice(words)) for words in lists)
        yield TextSample(text=text, language=language, words=text.rstrip(".").lower().split())


def features(count: int, seed: int, size: int = 128) -> Iterator[FeatureSample]:
    """Ten clusters of feature vectors: float32[size]."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 2, size=(10, size))
    for i in range(count):
        vector = centres[i % 10] + rng.normal(0, 1, size=size)
        yield FeatureSample(features=vector.astype(np.float32), label=i % 10, source="synthetic")

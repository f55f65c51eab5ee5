"""A value of a sample as something small to look at: text, numbers, a plot, an image. Pure.

Rule: what comes out is bounded (``atdata.protocol.preview_views``) and made of plain numbers and
text; nothing of a value is run, unpickled, decompressed or decoded as a file.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atdata import preview_png
from atdata.conversion import Array
from atdata.preview_media import media_of
from atdata.protocol.preview_views import (
    MAX_BARS,
    MAX_FIELDS,
    MAX_LINES,
    MAX_MEDIA_BYTES,
    MAX_MEDIA_PIXELS,
    MAX_POINTS,
    MAX_TEXT,
    ImagePreview,
    LinePreview,
    ValuePreview,
)

IMAGE_BYTES = 4 << 20  # of all images of one preview
MAX_ITEMS = 12  # of a list or map in words
MAX_DEPTH = 3  # of lists and maps in words
MAX_LINE_CHANNELS = 4  # of an array of rows, each drawn as a line


@dataclass(slots=True)
class Room:
    """How many bytes of images there may still be."""

    left: int = IMAGE_BYTES

    def image(
        self, data: bytes, kind: str, size: tuple[int, int], **more: bool
    ) -> ImagePreview | None:
        """The image, if there is room for it."""
        if len(data) > self.left:
            return None
        self.left -= len(data)
        return ImagePreview(kind, *size, base64.b64encode(data).decode(), **more)


def values_of(sample: Mapping[str, Any], room: Room) -> tuple[ValuePreview, ...]:
    """The first ``MAX_FIELDS`` fields of a sample."""
    return tuple(value_of(name, value, room) for name, value in islice(sample.items(), MAX_FIELDS))


def value_of(name: str, value: Any, room: Room) -> ValuePreview:
    """One field, named ``name``, that msgpack and ``atdata.ndarray`` gave."""
    name = name[:MAX_TEXT]
    match value:
        case None:
            return ValuePreview(name, "none")
        case bool():
            return ValuePreview(name, "bool", str(value).lower())
        case int() | float():
            return ValuePreview(name, "number", repr(value))
        case str():
            return ValuePreview(name, "text", value[:MAX_TEXT], len(value))
        case bytes():
            return _bytes(name, value, room)
        case np.ndarray():
            return _array(name, value, room)
        case list():
            return _list(name, value)
        case dict():
            return ValuePreview(name, "map", brief(value), len(value))
    return ValuePreview(name, "bytes", f"<{type(value).__name__}>")


def _bytes(name: str, value: bytes, room: Room) -> ValuePreview:
    media = media_of(value)
    image = None
    if media and len(value) <= MAX_MEDIA_BYTES and media.width * media.height <= MAX_MEDIA_PIXELS:
        image = room.image(value, media.type, (media.width, media.height))
    return ValuePreview(name, "bytes", brief(value), len(value), image=image)


# --- in words ---------------------------------------------------------------------------------


def brief(value: Any) -> str:
    """A value in words, at most ``MAX_TEXT`` characters and ``MAX_DEPTH`` levels."""
    return _cut(_words(value, MAX_DEPTH))


def _words(value: Any, depth: int) -> str:
    match value:
        case None | bool() | int() | float():
            return repr(value)
        case str():
            return repr(value[:MAX_TEXT])
        case bytes():
            return value[:16].hex(" ") + (" …" if len(value) > 16 else "")
        case np.ndarray():
            return f"{value.dtype} {list(value.shape)}"
        case list() if depth:
            items = [_words(item, depth - 1) for item in value[:MAX_ITEMS]]
            return f"[{', '.join(items)}{_rest(value)}]"
        case dict() if depth:
            pairs = islice(value.items(), MAX_ITEMS)
            shown = [f"{_cut(str(key))}: {_words(item, depth - 1)}" for key, item in pairs]
            return f"{{{', '.join(shown)}{_rest(value)}}}"
        case list() | dict():
            return f"<{len(value)} items>"
    return f"<{type(value).__name__}>"


def _rest(items: list[Any] | dict[Any, Any]) -> str:
    more = len(items) - MAX_ITEMS
    return f", … {more} more" if more > 0 else ""


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


# --- numbers ----------------------------------------------------------------------------------


def _list(name: str, value: list[Any]) -> ValuePreview:
    """With a plot if all its items are numbers."""
    text = brief(value)
    if len(value) < 2 or not {type(item) for item in value} <= {int, float}:
        return ValuePreview(name, "list", text, len(value))
    try:
        numbers = np.array(value, np.float64)
    except OverflowError:  # an integer beyond any float
        return ValuePreview(name, "list", text, len(value))
    low, high, mean = _extent(numbers)
    lines = _lines(numbers, low, high)
    return ValuePreview(name, "list", text, len(value), None, None, low, high, mean, None, lines)


def _array(name: str, array: Array, room: Room) -> ValuePreview:
    dtype, shape = str(array.dtype), array.shape
    if array.dtype.kind not in "biuf" or not array.size:
        return ValuePreview(name, "array", _few(array), array.size, dtype, shape)
    low, high, mean = _extent(array)
    text = _few(array) if array.size <= MAX_ITEMS else None
    image: ImagePreview | None = None
    lines: tuple[LinePreview, ...] = ()
    bars: tuple[int, ...] = ()
    pixels = preview_png.as_pixels(array)
    if pixels is not None:
        image = _image(pixels, room)
    if image is None and _is_lines(array):
        lines = _lines(array.reshape(len(array), -1).T, low, high)
    elif image is None and array.size > 1:
        bars = _bars(array, low, high)
    return ValuePreview(
        name, "array", text, array.size, dtype, shape, low, high, mean, image, lines, bars
    )


def _few(array: Array) -> str:
    """The first items of any dtype."""
    items = [str(item) for item in array.flat[:MAX_ITEMS]]
    more = array.size - len(items)
    return _cut(", ".join(items) + (f", … {more} more" if more else ""))


def _extent(array: Array) -> tuple[float | None, float | None, float | None]:
    """Lowest, highest and mean of the finite items, as floats that are finite themselves."""
    finite = array[np.isfinite(array)]
    if not finite.size:
        return None, None, None
    with np.errstate(all="ignore"):
        found = (finite.min(), finite.max(), finite.mean(dtype=np.float64))
    low, high, mean = (float(number) if np.isfinite(number) else None for number in found)
    return low, high, mean


def _image(pixels: Array, room: Room) -> ImagePreview | None:
    small, stretched = preview_png.to_bytes(pixels)
    height, width, _ = small.shape
    return room.image(preview_png.encode(small), "image/png", (width, height), stretched=stretched)


def _is_lines(array: Array) -> bool:
    if array.ndim == 1:
        return len(array) > 1
    return array.ndim == 2 and array.shape[1] <= MAX_LINE_CHANNELS < len(array)


def _lines(rows: Array, low: float | None, high: float | None) -> tuple[LinePreview, ...]:
    """A line for each row of numbers, on one scale; items that are not finite lie at its foot."""
    if low is None or high is None:
        return ()
    return tuple(_line(row, low, high) for row in np.atleast_2d(rows)[:MAX_LINES])


def _line(row: Array, low: float, high: float) -> LinePreview:
    values = _unit(row, low, high)
    points = min(len(values), MAX_POINTS)
    starts = np.arange(points) * len(values) // points
    lows, highs = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return LinePreview(_short(lows), _short(highs))


def _unit(row: Array, low: float, high: float) -> NDArray[np.float64]:
    """From 0 (``low``) to 1 (``high``); all in the middle if these are one."""
    values = np.nan_to_num(row.astype(np.float64), nan=low, posinf=high, neginf=low)
    span = high / 2 - low / 2
    if span == 0:
        return np.full(values.shape, 0.5)
    return np.clip((values / 2 - low / 2) / span, 0, 1)


def _short(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)


def _bars(array: Array, low: float | None, high: float | None) -> tuple[int, ...]:
    """How many of the finite items lie in each of equal ranges from lowest to highest."""
    if low is None or high is None or low == high or not math.isfinite(high / 2 - low / 2):
        return ()
    values = _unit(array[np.isfinite(array)], low, high)
    count = min(MAX_BARS, max(2, array.size // 2))
    bins = np.minimum((values * count).astype(np.int64), count - 1)
    return tuple(np.bincount(bins, minlength=count).tolist())

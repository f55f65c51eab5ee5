"""Arrays as small PNG files. Pure.

Rule: the size of what comes out is bounded by ``MAX_SIDE``, whatever goes in.
Source: PNG (ISO/IEC 15948), sections 5 (chunks), 9 (filters) and 11.2 (IHDR, IDAT, IEND).
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atdata.conversion import Array
from atdata.protocol.preview_views import MAX_SIDE

MIN_SIDE = 8  # of what is taken for an image, in pixels
MAX_ASPECT = 32
DARK = 32  # of 255; classes 0…3 would be one black

_CHANNELS = (1, 3, 4)
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
_UP = 2  # the filter that stores each row as its difference from the one above


def as_pixels(array: Array) -> Array | None:
    """``array`` as height × width × channels, if it is like an image: H×W, H×W×1/3/4 or C×H×W, of
    numbers, neither tiny nor a ribbon; otherwise None."""
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3):
        return None
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    elif array.shape[2] not in _CHANNELS:
        if array.shape[0] not in _CHANNELS:
            return None
        array = np.moveaxis(array, 0, 2)
    height, width, _ = array.shape
    low, high = sorted((height, width))
    return array if low >= MIN_SIDE and high <= MAX_ASPECT * low else None


def to_bytes(pixels: Array) -> tuple[NDArray[np.uint8], bool]:
    """Height × width × channels of any numbers as uint8 at most ``MAX_SIDE`` long, and whether the
    values had to be stretched: not those of bool and uint8 (unless all of them are dark greys, like
    numbers of classes), nor colours within 0…1 or 0…255."""
    small, kind, colours = _shrunk(pixels), pixels.dtype.kind, pixels.shape[2]
    finite = small[np.isfinite(small)]
    if not finite.size:
        return _rounded(small), False
    low, high = float(finite.min()), float(finite.max())
    if pixels.dtype == np.uint8 and (colours > 1 or high >= DARK):
        return _rounded(small), False
    if kind == "b" or (kind == "f" and colours > 1 and low >= 0 and high <= 1):
        return _rounded(small * 255), False
    if colours > 1 and low >= 0 and high <= 255:
        return _rounded(small), False
    if colours == 4:  # what is see-through is not known
        small = small[:, :, :3]
    small = np.nan_to_num(small, nan=low, posinf=high, neginf=low)
    # Halves, since the distance itself may be larger than any float.
    span = high / 2 - low / 2
    scaled = np.zeros_like(small) if span == 0 else (small / 2 - low / 2) / span
    return _rounded(scaled * 255), True


def _shrunk(pixels: Array) -> NDArray[np.float64]:
    """The means of squares, as large as it takes to bring the longer side to ``MAX_SIDE``."""
    side = -(-max(pixels.shape[:2]) // MAX_SIDE)
    if side == 1:
        return pixels.astype(np.float64)
    # What is left over at the edges is cut off; by MAX_ASPECT there is more than that.
    height, width = (length // side for length in pixels.shape[:2])
    squares = pixels[: height * side, : width * side].reshape(height, side, width, side, -1)
    with np.errstate(all="ignore"):
        means: NDArray[np.float64] = squares.mean(axis=(1, 3), dtype=np.float64)
    return means


def _rounded(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.nan_to_num(values) + 0.5, 0, 255).astype(np.uint8)


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Height × width × 1, 3 or 4 channels (grey, RGB, RGBA) as a PNG file."""
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    data = zlib.compress(filtered.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND")


def _chunk(kind: bytes, data: Any = b"") -> bytes:
    body = kind + bytes(data)
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

"""Which bytes are an image file, and how large the picture is, from their first bytes. Pure.

Rule: nothing is decoded. A file is an image only if its own header says its size in pixels, since
that is what a viewer must find room for.
Source: PNG (IHDR), GIF89a (logical screen), JPEG (ITU-T T.81, B.2.2), WebP (RFC 9649).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_SEGMENTS = 200  # of a JPEG before its frame


@dataclass(frozen=True, slots=True)
class Media:
    """Media type and size in pixels."""

    type: str
    width: int
    height: int


def media_of(data: bytes) -> Media | None:
    """What ``data`` is, if it is a PNG, JPEG, GIF or WebP file."""
    size: tuple[int, int] | None = None
    kind = ""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) >= 24:
        kind, size = "image/png", struct.unpack(">II", data[16:24])
    elif data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        kind, size = "image/gif", struct.unpack("<HH", data[6:10])
    elif data[:3] == b"\xff\xd8\xff":
        kind, size = "image/jpeg", _jpeg(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind, size = "image/webp", _webp(data)
    if size is None or 0 in size:
        return None
    return Media(kind, *size)


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """From the frame header (SOF), which comes after any number of other segments."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:
        return None
    match data[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
            return width + 1, height + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = struct.unpack("<HH", data[26:30])
            return width & 0x3FFF, height & 0x3FFF
    return None

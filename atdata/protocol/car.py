"""CAR v1: a header with roots, then blocks, each with its CID.

Rule: nobody sees a block whose bytes do not hash to its CID, and a file that is cut short anywhere
but between two blocks is an error. A file cut exactly between two blocks looks whole: whoever
needs all blocks must walk the tree. Source: https://ipld.io/specs/transport/car/carv1/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn

from atdata.protocol import cbor
from atdata.protocol.cid import PREFIXES, RAW_LENGTH, Cid
from atdata.protocol.errors import CidMismatch, InvalidCar, InvalidCbor, InvalidCid

MAX_BLOCKS = 100_000
MAX_BYTES = 256 * 1024 * 1024
MAX_ROOTS = 16
# Header: a map head, two keys, the version, and 41 bytes for each root.
_MAX_HEADER = 64 + 41 * MAX_ROOTS
# The canonical header with one root, as nearly all files have it, with its length before it.
_ONE_ROOT = re.compile(
    rb"\x3a\xa2eroots\x81\xd8\x2a\x58\x25\x00(\x01\x71\x12\x20.{32})gversion\x01", re.DOTALL
).match


@dataclass(frozen=True, slots=True)
class Car:
    """``roots`` in file order; ``blocks`` maps a raw 36-byte CID to its bytes, in file order."""

    roots: tuple[Cid, ...]
    blocks: Mapping[bytes, bytes]


def read(data: bytes, *, max_blocks: int = MAX_BLOCKS, max_bytes: int = MAX_BYTES) -> Car:
    """Read a whole CAR file and check the hash of every block.

    Raises ``InvalidCar`` (framing, header, a limit) or ``CidMismatch`` (names both CIDs).
    """
    if len(data) > max_bytes:
        raise InvalidCar(f"CAR of {len(data)} bytes, at most {max_bytes} are allowed")
    roots, pos = _read_header(data)
    blocks: dict[bytes, bytes] = {}
    size = len(data)
    left = max_blocks
    while pos < size:
        if left == 0:
            raise InvalidCar(f"CAR has more than {max_blocks} blocks")
        left -= 1
        start, end = _section(data, pos)
        raw, block = data[start : start + RAW_LENGTH], data[start + RAW_LENGTH : end]
        if raw[:4] not in PREFIXES or sha256(block).digest() != raw[4:]:
            _refuse(raw, block, start)
        blocks[raw] = block
        pos = end
    return Car(roots, blocks)


def write(roots: Sequence[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> bytes:
    """A CAR file of ``blocks`` in the given order. Raises ``CidMismatch`` for a wrong block."""
    header = cbor.encode({"version": 1, "roots": list(roots)})
    parts = [_uvarint(len(header)), header]
    for cid, block in blocks:
        actual = Cid.of(block, cid.codec)
        if actual != cid:
            raise CidMismatch(str(cid), str(actual), "CAR block to write")
        parts += (_uvarint(RAW_LENGTH + len(block)), cid.raw, block)
    return b"".join(parts)


def _refuse(raw: bytes, block: bytes, offset: int) -> NoReturn:
    try:
        cid = Cid(raw)
    except InvalidCid as error:
        raise InvalidCar(f"CAR block at byte {offset}: {error}") from error
    raise CidMismatch(str(cid), str(Cid.of(block, cid.codec)), f"CAR block at byte {offset}")


def _read_header(data: bytes) -> tuple[tuple[Cid, ...], int]:
    ordinary = _ONE_ROOT(data)
    if ordinary is not None:
        return (Cid(ordinary[1]),), ordinary.end()
    start, end = _section(data, 0)
    if end - start > _MAX_HEADER:
        raise InvalidCar(f"CAR header of {end - start} bytes, at most {_MAX_HEADER} are allowed")
    try:
        header = cbor.decode(data[start:end], max_depth=2)
    except InvalidCbor as error:
        raise InvalidCar(f"CAR header: {error}") from error
    if not isinstance(header, dict) or header.get("version") != 1:
        raise InvalidCar("CAR header: version is not 1")
    roots = header.get("roots")
    if not isinstance(roots, list):
        raise InvalidCar("CAR header: roots is not a list")
    cids = tuple(root for root in roots if isinstance(root, Cid))
    if len(cids) != len(roots):
        raise InvalidCar("CAR header: a root is not a link")
    return cids, end


def _section(data: bytes, pos: int) -> tuple[int, int]:
    """The bounds of the length-prefixed section at ``pos``."""
    length = shift = 0
    start = pos
    while True:
        if pos >= len(data):
            raise InvalidCar(f"CAR cut short in the length at byte {start}")
        byte = data[pos]
        pos += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 56:
            raise InvalidCar(f"CAR length at byte {start} is longer than 9 bytes")
    if byte == 0:  # an empty section, or a length with needless digits
        raise InvalidCar(f"CAR length at byte {start} is zero or not minimal")
    if length > len(data) - pos:
        missing = length - (len(data) - pos)
        raise InvalidCar(f"CAR cut short: section at byte {start} lacks {missing} bytes")
    return pos, pos + length


def _uvarint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)

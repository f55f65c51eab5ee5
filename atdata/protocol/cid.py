"""CIDs as the protocol uses them: version 1, SHA-256, codec DAG-CBOR (records) or raw (blobs).

Rule: a ``Cid`` that exists is valid. Every way of making one checks all of its bytes, and each
content has exactly one text form, so that equal text, equal bytes and equal content are the same.
Source: https://atproto.com/specs/data-model#link-and-cid-formats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import libipld

from atdata.protocol.errors import InvalidCid, quote

DAG_CBOR = 0x71
RAW = 0x55

RAW_LENGTH = 36
TEXT_LENGTH = 59

_PREFIX = {codec: bytes((0x01, codec, 0x12, 0x20)) for codec in (DAG_CBOR, RAW)}
PREFIXES = frozenset(_PREFIX.values())
# 36 bytes are 57.6 base32 digits: the last one has two bits to spare, which must be zero.
_TEXT = re.compile(r"b[a-z2-7]{57}[aeimquy4]")


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """A content identifier. ``raw`` is its 36-byte binary form: 01, codec, 12 20, digest."""

    raw: bytes

    def __post_init__(self) -> None:
        raw = self.raw
        if type(raw) is not bytes or len(raw) != RAW_LENGTH or raw[:4] not in PREFIXES:
            raise InvalidCid(f"{_shown(raw)} is not a CIDv1 with SHA-256 and codec DAG-CBOR or raw")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the base32 text form (``bafy…``, ``bafk…``). Raises ``InvalidCid``."""
        if not isinstance(text, str):
            raise InvalidCid(f"a CID is text, not {type(text).__name__}")
        if len(text) != TEXT_LENGTH or _TEXT.fullmatch(text) is None:
            raise InvalidCid(
                f"{quote(text)} is not a CID in lower-case base32 ({TEXT_LENGTH} characters)"
            )
        return cls(libipld.decode_multibase(text)[1])

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """From the binary form, checked. Raises ``InvalidCid``."""
        return cls(raw)

    @classmethod
    def of(cls, data: bytes, codec: int = DAG_CBOR) -> Self:
        """The CID of ``data``. Raises ``InvalidCid`` for any other codec."""
        if codec not in _PREFIX:
            raise InvalidCid(f"codec {codec:#x} is neither DAG-CBOR nor raw")
        return cls(_PREFIX[codec] + sha256(data).digest())

    @property
    def codec(self) -> int:
        """``DAG_CBOR`` or ``RAW``."""
        return self.raw[1]

    @property
    def digest(self) -> bytes:
        """The 32-byte SHA-256 digest."""
        return self.raw[4:]

    def __str__(self) -> str:
        return libipld.encode_multibase("b", self.raw)


def _shown(raw: object) -> str:
    """Binary input in hex, cut; of anything else only the type, whose ``repr`` could be huge."""
    if isinstance(raw, bytes):
        return raw[:40].hex() + ("…" if len(raw) > 40 else "") or "nothing"
    return type(raw).__name__

"""CIDs as the protocol uses them: version 1, SHA-256, codec DAG-CBOR (records) or raw (blobs)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

DAG_CBOR = 0x71
RAW = 0x55


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """A content identifier. ``raw`` is its 36-byte binary form: 01, codec, 12 20, digest."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the base32 text form (``bafy…``, ``bafk…``). Raises ``InvalidCid``."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """From the binary form, checked. Raises ``InvalidCid``."""
        raise NotImplementedError

    @classmethod
    def of(cls, data: bytes, codec: int = DAG_CBOR) -> Self:
        """The CID of ``data``."""
        raise NotImplementedError

    @property
    def codec(self) -> int:
        """``DAG_CBOR`` or ``RAW``."""
        return self.raw[1]

    @property
    def digest(self) -> bytes:
        """The 32-byte SHA-256 digest."""
        return self.raw[4:]

    def __str__(self) -> str:
        raise NotImplementedError

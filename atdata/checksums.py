"""Checksums that a record states of its shards: which of them can be computed here.

A record says ``{algorithm, digest}`` with the digest in hexadecimal, in either case; ``none`` and
algorithms that Python does not have say nothing.
Source: ``science.alt.dataset.storageHttp``.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from atdata.protocol.errors import InvalidShard, quote
from atdata.protocol.records import Checksum

ALGORITHMS = frozenset({"md5", "sha1", "sha224", "sha256", "sha384", "sha512"})


class Hash(Protocol):
    """One of ``hashlib``."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


def algorithm_of(checksum: Checksum | None) -> str | None:
    """The checksum's algorithm in Python's spelling; None where it cannot be computed."""
    name = "" if checksum is None else checksum.algorithm.lower().replace("-", "")
    return name if name in ALGORITHMS else None


def new_hash(algorithm: str) -> Hash:
    """A hash that has seen nothing."""
    return hashlib.new(algorithm, usedforsecurity=False)


def wrong_digest(shard: str, checksum: Checksum, found: str) -> InvalidShard | None:
    """The error that ``found``, the hexadecimal digest of the shard's bytes, makes; None if it is
    the one in the record."""
    if found == checksum.digest.lower():
        return None
    said = f"{algorithm_of(checksum)} is {found}, the record says {quote(checksum.digest)}"
    return InvalidShard(shard, said)

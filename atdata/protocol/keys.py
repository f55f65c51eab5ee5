"""Integer keys for records and repos.

A key is a function of the network and not of the order of delivery, so that two indexes of one
network hold the same keys; looking up 25 of them is about a hundred times faster than 25 texts.
"""

from __future__ import annotations

import hashlib


def key_of(text: str) -> int:
    """The first 63 bits of SHA-256 over an AT URI or a DID: what the index calls ``doc``, ``repo``.

    63 and not 64, so that a key is never negative in a signed column.
    """
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]) >> 1

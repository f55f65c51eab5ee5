"""What samples with and without a type have in common: msgpack, comparing, showing.

Rule: a sample compares by value and shows itself in one line, however large it is.
Source: formats.md, "Samples in a shard".
"""

from __future__ import annotations

import reprlib
import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np
import ormsgpack

from atdata.protocol.errors import InvalidSample

KEY = "__key__"


def pack(values: dict[str, Any]) -> bytes:
    try:
        return ormsgpack.packb(values)
    except (TypeError, ValueError) as error:  # ormsgpack's own error is a TypeError
        raise InvalidSample(f"not expressible in msgpack: {error}") from error


class Packed:
    """What every sample can do, whatever its fields are."""

    __slots__ = ()

    @property
    def packed(self) -> bytes:
        """One msgpack map, fields in order, arrays as npy 1.0."""
        raise NotImplementedError

    @property
    def as_wds(self) -> dict[str, Any]:
        """A sample for ``webdataset.TarWriter``: ``msgpack``, and a key of its own."""
        return {KEY: str(uuid.uuid4()), "msgpack": self.packed}


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = 6


def line(name: str, fields: Iterable[tuple[str, Any]]) -> str:
    return f"{name}({', '.join(f'{field}={_brief(value)}' for field, value in fields)})"


def _brief(value: Any) -> str:
    """Arrays by dtype and shape, bytes by length, the rest cut to a line."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return _BRIEF.repr(value)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return False
    return bool(one == other)

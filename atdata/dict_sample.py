"""Samples without a type: what msgpack holds is what there is.

Rule: nothing is checked but the form, and what was read is written again as it was.
Source: formats.md, "Samples in a shard".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from atdata import ndarray
from atdata.decoding import unpack
from atdata.fields import check_nesting
from atdata.protocol.errors import InvalidArray, quote
from atdata.sample_base import Packed, equal, line, pack


class DictSample(Packed, Mapping[str, Any]):
    """A sample without a type: fields by attribute and by item, in the order of the data.

    Bytes that are an npy file show as arrays. The compact encoding has no mark of its own and
    stays bytes, unless the dataset's schema says that the field is an array, or
    ``Dataset(…, arrays=…)`` does.

    Source: WebDataset (one ``.msgpack`` member a sample); MessagePack; NumPy's npy 1.0.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        self._values: dict[str, Any] = {**(values or {}), **fields}

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """A sample out of one msgpack map. Raises ``InvalidSample``."""
        return cls({name: _shown(value) for name, value in unpack(data).items()})

    @classmethod
    def __atdata_reader__(
        cls, arrays: frozenset[str] = frozenset()
    ) -> Callable[[bytes | memoryview], Self]:
        """``from_bytes`` as a function that many samples are read with; ``arrays`` are the fields
        whose bytes may be arrays in the compact encoding, too."""
        if not arrays:
            return cls.from_bytes
        return lambda data: cls(
            {name: _shown(value, name in arrays) for name, value in unpack(data).items()}
        )

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """A sample of these fields."""
        return cls(data)

    @property
    def packed(self) -> bytes:
        """One msgpack map, fields in order, arrays as npy 1.0. Raises ``InvalidSample``."""
        for value in self._values.values():
            check_nesting(value)
        return pack({name: _stored(value) for name, value in self._values.items()})

    def __getattr__(self, name: str) -> Any:
        if name == "_values" or name not in self._values:
            raise AttributeError(f"sample has no field {quote(name)}")
        return self._values[name]

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DictSample):
            return NotImplemented
        return self.keys() == other.keys() and all(equal(self[name], other[name]) for name in self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return line("DictSample", self.items())


def _shown(value: Any, array: bool = False) -> Any:
    """Bytes as the array that they are, where they are one."""
    if type(value) is bytes and (array or ndarray.is_npy(value)):
        try:
            return ndarray.decode(value)
        except InvalidArray:
            return value
    return [_shown(item, array) for item in value] if type(value) is list else value


def _stored(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ndarray.encode(value)
    if isinstance(value, np.generic):
        return value.item()
    return [_stored(item) for item in value] if isinstance(value, list | tuple) else value

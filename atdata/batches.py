"""Batches put together while their samples are read.

Rule: the items of an array are copied once, from where they were unpacked to their place in the
batch. Large arrays go there at once, while they are in the processor's cache, and the sample then
shows its row of the batch; small ones go there together, when somebody asks for the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from atdata.dict_sample import DictSample
from atdata.sample_values import fields_of
from atdata.samples import PackableSample

LARGE = 1 << 14  # bytes of an array
MAX_ROWS = 1 << 28  # bytes set aside for a field before its samples are there

T = TypeVar("T")


class SampleBatch(Generic[T]):
    """Some samples of one type, in order; a field of the batch is that field of all of them.

    ``batch.features`` is one array of shape ``(n, …)``, in the dtype of the samples' arrays, where
    these agree in shape and dtype, and otherwise a list of n values, as for every other field.
    ``batch["features"]`` is the same. Raises ``AttributeError`` where the samples do.
    """

    def __init__(self, samples: Sequence[T], columns: Mapping[str, Any] | None = None) -> None:
        """``columns`` are fields that have been put together already."""
        self._samples: list[T] = list(samples)
        self._columns: dict[str, Any] = dict(columns or {})

    @property
    def samples(self) -> list[T]:
        """The samples, as a list of the batch's own; unless they have a field of this name."""
        if self._samples and "samples" in fields_of(self._samples[0]):
            return self["samples"]  # type: ignore[no-any-return]
        return self._samples

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[T]:
        return iter(self._samples)

    def __getitem__(self, name: str) -> Any:
        if name not in self._columns:
            self._columns[name] = _column([_value(sample, name) for sample in self._samples])
        return self._columns[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __repr__(self) -> str:
        kind = type(self._samples[0]).__name__ if self._samples else "nothing"
        return f"SampleBatch({len(self)} × {kind})"


def _value(sample: Any, name: str) -> Any:
    """By item where there are items: a field may be called like a method of every map."""
    if not isinstance(sample, DictSample) or name not in sample:
        return getattr(sample, name)
    return sample[name]


def _column(values: list[Any]) -> Any:
    first = values[0] if values else None
    if not isinstance(first, np.ndarray):
        return values
    for value in values:
        if not isinstance(value, np.ndarray):
            return values
        if value.shape != first.shape or value.dtype != first.dtype:
            return values
    if not first.ndim:
        return np.stack(values)
    return np.concatenate(values).reshape(len(values), *first.shape)  # as np.stack, but faster


# --- put together while reading ------------------------------------------------------------------


def batched(samples: Iterator[T], size: int, *, own: bool = True) -> Iterator[SampleBatch[T]]:
    """Batches of ``size`` samples, the last one smaller. If the samples are our ``own``, their
    large arrays become read-only rows of the batch."""
    for first in samples:
        rows = _rows_for(first, size) if own else []
        batch = [first]
        for sample in islice(samples, size - 1):
            for row in rows:
                row.take(sample, len(batch))
            batch.append(sample)
        yield SampleBatch(batch, {row.name: row.array[: len(batch)] for row in rows if row.whole})


class _Rows:
    """The place of one field's arrays in a batch; ``whole`` until one comes that does not fit."""

    def __init__(self, name: str, like: np.ndarray[Any, Any], size: int) -> None:
        self.name, self.whole = name, True
        self.array = np.empty((size, *like.shape), like.dtype)
        self._shape, self._dtype = like.shape, like.dtype

    def take(self, sample: Any, number: int) -> None:
        values = sample.__dict__
        value = values.get(self.name)
        like = isinstance(value, np.ndarray) and value.dtype == self._dtype
        if not like or value.shape != self._shape:
            self.whole = False
        elif self.whole:
            row = self.array[number]
            row[...] = value
            row.flags.writeable = False
            values[self.name] = row


def _rows_for(first: object, size: int) -> list[_Rows]:
    if not isinstance(first, PackableSample) or not hasattr(first, "__dict__") or size < 2:
        return []
    rows = [
        _Rows(name, value, size)
        for name, value in first.__dict__.items()
        if isinstance(value, np.ndarray)
        and value.nbytes >= LARGE
        and value.nbytes * size <= MAX_ROWS
    ]
    for row in rows:
        row.take(first, 0)
    return rows

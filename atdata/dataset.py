"""A dataset: shards from a source, read as samples of one type.

Rule: a sample is either what its type says or an error that names shard, member and byte. Nothing
is skipped in silence.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar, overload

from atdata.index import DataSource
from atdata.lens import NETWORK, Lens
from atdata.protocol.errors import InvalidSample, UnsupportedType, quote
from atdata.samples import DictSample, PackableSample, SampleBatch
from atdata.sources import source_of
from atdata.tar import Limits, read_samples

T = TypeVar("T")
U = TypeVar("U")


class Dataset(Generic[T]):
    """Samples of type ``T``: ``Dataset[ImageSample]("data-{000000..000009}.tar")``.

    ``source`` is a path, URL or brace pattern, several of them, or a ``DataSource``. Without ``T``
    samples are ``DictSample``. ``metadata`` is whatever the publisher said about the dataset.
    Opening happens on iteration, and each iteration starts anew.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Sequence[str] | DataSource,
        *,
        metadata: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        given = isinstance(source, str | os.PathLike)
        self.url: str | None = os.fspath(source) if given else None  # type: ignore[arg-type]
        self.source: DataSource = source if isinstance(source, DataSource) else source_of(source)
        self.metadata = metadata
        self._limits = limits

    def __class_getitem__(cls, sample_type: Any) -> Any:
        if isinstance(sample_type, type):
            _decoder(sample_type)
        return super().__class_getitem__(sample_type)  # type: ignore[misc]

    @property
    def sample_type(self) -> type[T]:
        """What ``Dataset[…]`` was given; ``DictSample`` if nothing."""
        # Set by the alias Dataset[T] after it has called __init__.
        alias = getattr(self, "__orig_class__", None)
        chosen: Any = alias.__args__[0] if alias is not None else DictSample
        return chosen  # type: ignore[no-any-return]

    def list_shards(self) -> list[str]:
        """The names of all shards, in order."""
        return self.source.list_shards()

    def __iter__(self) -> Iterator[T]:
        return self.ordered()

    @overload
    def ordered(self, batch_size: None = None) -> Iterator[T]: ...
    @overload
    def ordered(self, batch_size: int) -> Iterator[SampleBatch[T]]: ...
    def ordered(self, batch_size: int | None = None) -> Iterator[T] | Iterator[SampleBatch[T]]:
        """All samples in the order of the shards, or batches of ``batch_size``, the last smaller.

        Raises ``InvalidShard``, ``InvalidSample`` and what opening a shard raises, where it comes
        to that.
        """
        return _batched(self._samples(self.list_shards()), batch_size)

    @overload
    def shuffled(
        self, buffer_size: int = ..., *, batch_size: None = None, seed: int | None = None
    ) -> Iterator[T]: ...
    @overload
    def shuffled(
        self, buffer_size: int = ..., *, batch_size: int, seed: int | None = None
    ) -> Iterator[SampleBatch[T]]: ...
    def shuffled(
        self, buffer_size: int = 1000, *, batch_size: int | None = None, seed: int | None = None
    ) -> Iterator[T] | Iterator[SampleBatch[T]]:
        """All samples once, shards in random order and samples mixed within ``buffer_size``.

        The same ``seed`` gives the same order. Raises as ``ordered`` does.
        """
        if buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1, got {buffer_size}")
        rng = random.Random(seed)  # noqa: S311 - an order, not a secret
        shards = self.list_shards()
        rng.shuffle(shards)
        return _batched(_mixed(self._samples(shards), buffer_size, rng), batch_size)

    def as_type(self, view_type: type[U], lens: Lens[Any, U] | None = None) -> Dataset[U]:
        """The same samples seen as ``view_type``, through ``lens`` or the registered lenses.

        Raises ``TypeMismatch`` if no lenses lead there.
        """
        if lens is None:
            return _view(self, view_type, _conversion(self.sample_type, view_type))
        _decoder(view_type)
        return _view(self, view_type, lens.get)

    def _samples(self, shards: Iterable[str]) -> Iterator[T]:
        decode = _decoder(self.sample_type)
        for shard in shards:
            with self.source.open_shard(shard) as stream:
                for packed in read_samples(stream, shard, self._limits):
                    try:
                        sample = decode(packed.data)
                    except InvalidSample as error:
                        where = (shard, packed.name, packed.offset)
                        raise InvalidSample(error.why, *where) from error
                    yield sample

    def __repr__(self) -> str:
        return f"Dataset[{self.sample_type.__name__}]({self.url or self.source!r})"


class _View(Dataset[T]):
    """A dataset whose samples are made from those of another."""

    def __init__(self, base: Dataset[Any], convert: Callable[[Any], T]) -> None:
        super().__init__(base.source, metadata=base.metadata)
        self.url = base.url
        self._base, self._convert = base, convert

    def _samples(self, shards: Iterable[str]) -> Iterator[T]:
        return map(self._convert, self._base._samples(shards))


def _view(base: Dataset[Any], view_type: type[U], convert: Callable[[Any], U]) -> Dataset[U]:
    typed: Any = _View[view_type]  # type: ignore[valid-type]
    view: Dataset[U] = typed(base, convert)
    return view


def _decoder(sample_type: type[T]) -> Callable[[memoryview], T]:
    """How to read one sample. Raises ``UnsupportedType`` for what is no sample type."""
    if isinstance(sample_type, type) and issubclass(sample_type, PackableSample | DictSample):
        return sample_type.from_bytes
    raise UnsupportedType(
        f"{quote(getattr(sample_type, '__name__', sample_type))} is no sample type: decorate it "
        "with @atdata.packable, or use Dataset[DictSample]"
    )


def _conversion(source_type: type, view_type: type) -> Callable[[Any], Any]:
    _decoder(view_type)
    if source_type is view_type:
        return lambda sample: sample
    if issubclass(source_type, DictSample) and issubclass(view_type, PackableSample):
        return view_type.from_data
    if issubclass(view_type, DictSample) and issubclass(source_type, PackableSample):
        return lambda sample: view_type.from_bytes(sample.packed)
    return NETWORK.find(source_type, view_type).get


def _batched(samples: Iterator[T], size: int | None) -> Iterator[T] | Iterator[SampleBatch[T]]:
    if size is None:
        return samples
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, got {size}")
    return _batches(samples, size)


def _batches(samples: Iterator[T], size: int) -> Iterator[SampleBatch[T]]:
    while batch := list(islice(samples, size)):
        yield SampleBatch(batch)


def _mixed(samples: Iterator[T], size: int, rng: random.Random) -> Iterator[T]:
    """Each sample leaves the buffer when another takes its random place."""
    buffer = list(islice(samples, size))
    rng.shuffle(buffer)
    for sample in samples:
        place = rng.randrange(size)
        buffer[place], sample = sample, buffer[place]
        yield sample
    yield from buffer

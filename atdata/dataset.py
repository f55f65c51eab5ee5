"""A dataset: shards from a source, read as samples of one type.

Rule: a sample is either what its type says or an error that names shard, member and byte. Nothing
is skipped in silence.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

from atdata.batches import SampleBatch, batched
from atdata.dict_sample import DictSample
from atdata.index import DataSource
from atdata.lens import Lens
from atdata.local_lenses import conversion
from atdata.protocol.errors import UnsupportedType, quote, shown_url
from atdata.reading import Skipped, read_shard
from atdata.sample_values import fields_of, with_own_arrays
from atdata.samples import PackableSample
from atdata.sources import source_of
from atdata.streams import Stream, mixed, part, rank, torch_stream, worker
from atdata.tar import Archive, Limits, split_name

OnError = Literal["raise", "skip"]

T = TypeVar("T")
U = TypeVar("U")


class Dataset(Generic[T]):
    """Samples of type ``T``: ``Dataset[ImageSample]("data-{000000..000009}.tar")``.

    ``source`` is a path, URL or brace pattern, several of them, or a ``DataSource``. Without ``T``
    samples are ``DictSample``. ``metadata`` is whatever the publisher said about the dataset.
    Opening happens on iteration, and each iteration starts anew.

    Shards are WebDataset tars (ustar or pax, also through gzip) with one member
    ``<key>.msgpack`` a sample: a msgpack map of its fields, arrays in it as npy or compact.

    Arrays are read-only views of the sample's bytes, in the dtype of the annotation and of any
    shape; with ``writable`` they are copies of their own. ``limits`` bound what a shard may hold.
    ``arrays`` names the fields that hold arrays, for samples without a type: those in the compact
    encoding, which has no mark of its own, would else stay bytes.
    ``on_error="skip"`` leaves out samples and shards that are not what they should be, and counts
    them in ``skipped``; what cannot be fetched or opened is raised in any case.

    Source: WebDataset; POSIX.1-2017 (ustar, pax); MessagePack; NumPy's npy 1.0.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Sequence[str] | DataSource,
        *,
        metadata: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        on_error: OnError = "raise",
        writable: bool = False,
        arrays: Collection[str] = (),
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is 'raise' or 'skip', not {quote(on_error)}")
        given = isinstance(source, str | os.PathLike)
        self.url: str | None = os.fspath(source) if given else None  # type: ignore[arg-type]
        self.source: DataSource = source if isinstance(source, DataSource) else source_of(source)
        self.metadata = metadata
        self.skipped = Skipped()
        self._limits, self._on_error, self._writable = limits, on_error, writable
        self._arrays = frozenset(arrays)

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
        """All samples in the order of the shards, or batches of ``batch_size``, the last smaller:
        see ``SampleBatch`` for their shapes.

        Raises ``InvalidShard``, ``InvalidSample`` and what opening a shard raises (``CidMismatch``,
        ``NetworkError``, ``OSError``), where it comes to that; ``ValueError`` for no batch size.
        """
        return self._batched(self.read(self.list_shards()), batch_size)

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
        """All samples once: shards in random order, and mixed, ``buffer_size`` samples at a time.

        The same ``seed`` gives the same order. Raises as ``ordered`` does.
        """
        if buffer_size < 1:
            raise ValueError(f"buffer_size must be at least 1, got {buffer_size}")
        rng = random.Random(seed)  # noqa: S311 - an order, not a secret
        shards = self.list_shards()
        rng.shuffle(shards)
        return self._batched(mixed(self.read(shards), buffer_size, rng), batch_size)

    def as_type(self, view_type: type[U], lens: Lens[Any, U] | None = None) -> Dataset[U]:
        """The same samples seen as ``view_type``, through ``lens`` or the registered lenses.

        Raises ``TypeMismatch`` if no lenses lead there.
        """
        _decoder(view_type)
        typed: Any = _View[view_type]  # type: ignore[valid-type]
        view: Dataset[U] = typed(self, lens, view_type)
        return view

    def wds(
        self, shards: Iterable[str | Mapping[str, Any]] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Samples as WebDataset has them, for ``webdataset.DataPipeline(dataset.wds, …)``: a dict
        of the decoded fields, with ``__key__`` (its name in the shard) and ``__url__`` (the shard).

        Of all shards those of this rank and ``DataLoader`` worker, as ``Stream`` divides them. Or
        the ``shards`` that are given, by name or as ``{"url": name}``: then whoever gives them
        divides them, as in ``DataPipeline(SimpleShardList(dataset.list_shards()), split_by_worker,
        dataset.wds)``. Arrays are NumPy arrays. Raises as ``ordered`` does.
        """
        if shards is None:
            shards = part(self.list_shards(), rank(), worker())
        names = (shard if isinstance(shard, str) else shard["url"] for shard in shards)
        for member, shard, sample in self._named(names):
            yield {"__key__": split_name(member)[0], "__url__": shard, **fields_of(sample)}

    def torch(
        self,
        *,
        batch_size: int | None = None,
        shuffle: int = 0,
        seed: int = 0,
        drop_last: bool = False,
    ) -> Stream:
        """A ``torch.utils.data.IterableDataset`` of this, for a ``DataLoader(…, batch_size=None)``.

        See ``atdata.streams.Stream`` for what comes out and how ranks and workers share the shards.
        Raises ``MissingExtra`` without PyTorch; ``Stream(dataset, …)`` is the same without it.
        """
        return torch_stream(
            self, batch_size=batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last
        )

    def read(self, shards: Iterable[str]) -> Iterator[T]:
        """The samples of these shards alone, in this order. Raises as ``ordered`` does."""
        decode = _decoder(self.sample_type, self._arrays)
        samples = self._read(shards, lambda _: decode)
        return map(with_own_arrays, samples) if self._writable else samples

    def _named(self, shards: Iterable[str]) -> Iterator[tuple[str, str, T]]:
        """Member, shard and sample."""
        decode = _decoder(self.sample_type, self._arrays)
        own = with_own_arrays if self._writable else _same

        def reader(archive: Archive) -> Callable[[memoryview], tuple[str, str, T]]:
            return lambda data: (archive.member, archive.shard, own(decode(data)))

        return self._read(shards, reader)

    def _read(
        self, shards: Iterable[str], reader: Callable[[Archive], Callable[[memoryview], U]]
    ) -> Iterator[U]:
        skipped = self.skipped if self._on_error == "skip" else None
        for shard in shards:
            yield from read_shard(self.source, shard, reader, self._limits, skipped)

    def _batched(
        self, samples: Iterator[T], size: int | None
    ) -> Iterator[T] | Iterator[SampleBatch[T]]:
        if size is None:
            return samples
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, got {size}")
        return self.batches(samples, size)

    def batches(self, samples: Iterator[T], size: int) -> Iterator[SampleBatch[T]]:
        """Samples that ``read`` gave, put together by ``size``; the last batch may be smaller."""
        return batched(samples, size)

    def __repr__(self) -> str:
        where = shown_url(self.url) if self.url else repr(self.source)
        return f"Dataset[{self.sample_type.__name__}]({where})"


class _View(Dataset[T]):
    """A dataset whose samples are made from those of another."""

    def __init__(self, base: Dataset[Any], lens: Lens[Any, T] | None, view_type: type[T]) -> None:
        super().__init__(base.source, metadata=base.metadata)
        self.url, self.skipped = base.url, base.skipped
        self._base, self._lens = base, lens
        self._convert: Callable[[Any], T] = (
            conversion(base.sample_type, view_type) if lens is None else lens.get
        )

    def read(self, shards: Iterable[str]) -> Iterator[T]:
        return map(self._convert, self._base.read(shards))

    def batches(self, samples: Iterator[T], size: int) -> Iterator[SampleBatch[T]]:
        # What a lens made may be in use elsewhere, and stays as it is.
        return batched(samples, size, own=False)

    def _named(self, shards: Iterable[str]) -> Iterator[tuple[str, str, T]]:
        named = self._base._named(shards)
        return ((member, shard, self._convert(sample)) for member, shard, sample in named)

    def __reduce__(self) -> tuple[Any, ...]:
        # Registered lenses are not pickled: whoever reads the pickle has registered them too.
        return Dataset.as_type, (self._base, self.sample_type, self._lens)


def _decoder(
    sample_type: type[T], arrays: frozenset[str] = frozenset()
) -> Callable[[memoryview], T]:
    """How to read one sample. Raises ``UnsupportedType`` for what is no sample type."""
    if isinstance(sample_type, type) and issubclass(sample_type, PackableSample):
        return sample_type.__atdata_reader__()
    if isinstance(sample_type, type) and issubclass(sample_type, DictSample):
        return sample_type.__atdata_reader__(arrays)
    raise UnsupportedType(
        f"{quote(getattr(sample_type, '__name__', sample_type))} is no sample type: decorate it "
        "with @atdata.packable, or use Dataset[DictSample]"
    )


def _same(sample: T) -> T:
    return sample

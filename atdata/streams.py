"""Samples for training: shards divided among ranks and workers, orders that repeat, positions kept.

Rule: every shard is read by exactly one worker of one rank; the order is a function of seed, epoch
and this division alone; and a position names the next sample exactly, whatever the buffer holds.
PyTorch is asked only if the program has loaded it.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import random
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from atdata.protocol.errors import MissingExtra, quote
from atdata.sample_values import fields_of, own, with_own_arrays

if TYPE_CHECKING:
    from atdata.dataset import Dataset

T = TypeVar("T")

log = logging.getLogger(__name__)


def mixed(
    samples: Iterator[T], size: int, rng: random.Random, buffer: list[T] | None = None
) -> Iterator[T]:
    """All of them once: each leaves the ``buffer`` when another takes its random place."""
    buffer = [] if buffer is None else buffer
    buffer += islice(samples, size)
    rng.shuffle(buffer)
    for sample in samples:
        place = rng.randrange(size)
        buffer[place], sample = sample, buffer[place]
        yield sample
    yield from buffer


class _Place(NamedTuple):
    """A sample that is not at hand: which shard of the epoch, and which sample in it."""

    shard: int
    number: int


def worker() -> tuple[int, int]:
    """This process among the workers of a PyTorch ``DataLoader``: its number and how many there
    are; 0 and 1 where there are none."""
    data = sys.modules.get("torch.utils.data")
    info = None if data is None else data.get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def rank() -> tuple[int, int]:
    """This process among those of ``torch.distributed``, once that is initialised; else 0 and 1."""
    group = sys.modules.get("torch.distributed")
    if group is None or not group.is_available() or not group.is_initialized():
        return 0, 1
    return group.get_rank(), group.get_world_size()


def part(shards: list[str], of_ranks: tuple[int, int], of_workers: tuple[int, int]) -> list[str]:
    """The shards of one worker of one rank: ranks divide them first, then the workers of each."""
    (ours, ranks), (number, workers) = of_ranks, of_workers
    mine = shards[ours::ranks][number::workers]
    if not mine:
        log.warning(
            "rank %d of %d, worker %d of %d: none of the %d shards is left",
            *(ours, ranks, number, workers, len(shards)),
        )
    return mine


class Stream:
    """One part of a dataset, epoch after epoch: each iteration is one epoch.

    Yields dicts of fields: str, int, … as they are, arrays as NumPy arrays of their own. With
    ``batch_size``, each array field is one array of shape ``(n, …)`` where the shapes agree, and
    every other field a list of n values, arrays in it of their own as well; the last batch is
    smaller, or left out if ``drop_last``.

    ``shuffle`` is the size of the buffer in which samples are mixed, in samples; with 0, shards and
    samples come in their order. The same ``seed`` gives the same orders, another one in each epoch.

    Ranks divide the shards first (``rank()`` when the stream is made, or ``shard``), then the
    workers of a ``DataLoader`` those of their rank. Whoever has no shard yields nothing. Workers
    are copies of the stream and don't hear of epochs: call ``set_epoch`` before each, as for a
    ``DistributedSampler``.

    Source: ``torch.utils.data`` (IterableDataset, get_worker_info), ``torch.distributed``.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        batch_size: int | None = None,
        shuffle: int = 0,
        seed: int = 0,
        drop_last: bool = False,
        worker: Callable[[], tuple[int, int]] = worker,
    ) -> None:
        if (batch_size is not None and batch_size < 1) or shuffle < 0:
            raise ValueError("batch_size must be at least 1, and shuffle at least 0")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0
        self._rank, self._worker = rank(), worker
        self._given = 0  # samples yielded in this epoch
        self._resume = 0  # samples that the next iteration leaves out
        self._counts: list[int] = []  # samples in the shards that have been read to their end

    def shard(self, index: int, count: int) -> Stream:
        """Say which rank this is, of how many. Returns the stream itself."""
        if not 0 <= index < count:
            raise ValueError(f"rank {index} of {count}")
        self._rank = (index, count)
        return self

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch, from its first sample, at the next iteration."""
        self.epoch, self._given, self._resume, self._counts = epoch, 0, 0, []

    def list_shards(self) -> list[str]:
        """The shards of this rank and worker in this epoch, in the order in which they come."""
        shards = self.dataset.list_shards()
        if self.shuffle:
            self._random("shards").shuffle(shards)
        return part(shards, self._rank, self._worker())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._given, self._resume = self._resume, 0
        if not self._given:
            self._counts = []
        shards = self.list_shards()
        samples = self._mixed(shards) if self.shuffle else self._in_order(shards, self._given)
        yield from self._counted(samples) if self.batch_size is None else self._batches(samples)
        self.set_epoch(self.epoch + 1)

    # --- position ---

    def state_dict(self) -> dict[str, Any]:
        """Where in which epoch this stream is: plain values, for JSON or ``torch.save``.

        In a worker process it is the worker's own position (``torchdata``'s
        ``StatefulDataLoader`` collects these); without workers it is the position.
        """
        return {
            "epoch": self.epoch,
            "given": self._given,
            "counts": list(self._counts),
            "division": self._division(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there at the next iteration: the next sample is the one that would have come.

        The dataset, seed, buffer and division must be the same. Raises ``ValueError`` if not.
        """
        if state["division"] != self._division():
            raise ValueError(
                "this position is of another dataset, seed, shuffle, rank or worker: "
                f"{quote(state['division'])}, not {self._division()}"
            )
        self.epoch = int(state["epoch"])
        self._given = self._resume = int(state["given"])
        self._counts = [int(count) for count in state["counts"]]

    def _division(self) -> list[Any]:
        shards = "\n".join(self.dataset.list_shards()).encode("utf-8", "surrogateescape")
        name = hashlib.sha256(shards).hexdigest()
        return [name, self.seed, self.shuffle, *self._rank, *self._worker()]

    # --- order ---

    def _random(self, of: object) -> random.Random:
        return random.Random(f"{self.seed}/{self.epoch}/{of}")  # noqa: S311 - an order, no secret

    def _in_order(self, shards: list[str], skip: int) -> Iterator[Any]:
        """The samples from number ``skip`` on; shards that end before it are not even opened."""
        for number, shard in enumerate(shards):
            if number < len(self._counts) and skip >= self._counts[number]:
                skip -= self._counts[number]
                continue
            yield from islice(self._whole(number, shard), skip, None)
            skip = 0

    def _mixed(self, shards: list[str]) -> Iterator[Any]:
        """All samples, mixed, from number ``given`` on.

        What has been given is mixed once more, with places instead of samples, which costs next to
        nothing; only what the buffer holds after that is read again.
        """
        rng = self._random((*self._rank, *self._worker()))
        buffer: list[Any] = []
        known = enumerate(self._counts)
        places = (_Place(shard, i) for shard, count in known for i in range(count))
        unread = self._in_order(shards, sum(self._counts))
        order = mixed(chain(places, unread), self.shuffle, rng, buffer)
        if self._given and next(islice(order, self._given - 1, None), None) is None:
            raise ValueError("this position lies behind the end of the dataset")
        self._fetch(shards, buffer)
        yield from order

    def _fetch(self, shards: list[str], buffer: list[Any]) -> None:
        """Put the samples that the places in ``buffer`` name in their stead."""
        wanted: dict[int, dict[int, int]] = {}
        for at, item in enumerate(buffer):
            if isinstance(item, _Place):
                wanted.setdefault(item.shard, {})[item.number] = at
        for shard, places in wanted.items():
            samples = islice(self.dataset.read([shards[shard]]), max(places) + 1)
            for number, sample in enumerate(samples):
                if number in places:
                    buffer[places[number]] = sample

    def _whole(self, number: int, shard: str) -> Iterator[Any]:
        """A shard's samples, which are counted if it is read to its end."""
        count = 0
        for sample in self.dataset.read([shard]):
            count += 1
            yield sample
        if number == len(self._counts):
            self._counts.append(count)

    def _counted(self, samples: Iterator[Any]) -> Iterator[dict[str, Any]]:
        for sample in samples:
            self._given += 1
            yield fields_of(with_own_arrays(sample))

    def _batches(self, samples: Iterator[Any]) -> Iterator[dict[str, Any]]:
        size = self.batch_size or 1
        for batch in self.dataset.batches(samples, size):
            if len(batch) < size and self.drop_last:
                return
            self._given += len(batch)
            columns = {name: batch[name] for name in fields_of(next(iter(batch)))}
            yield {name: own(column) for name, column in columns.items()}


# --- PyTorch -------------------------------------------------------------------------------------


def torch_stream(dataset: Dataset[Any], **options: Any) -> Stream:
    """A ``Stream`` that PyTorch takes for one of its iterable datasets. Raises ``MissingExtra``."""
    stream: Stream = _torch_class()(dataset, **options)
    return stream


@lru_cache(maxsize=1)
def _torch_class() -> Any:
    try:
        data = importlib.import_module("torch.utils.data")
    except ImportError as error:
        raise MissingExtra("PyTorch is not installed: pip install torch") from error
    members = {"__module__": __name__, "__reduce__": _reduce, "__doc__": Stream.__doc__}
    return type("TorchStream", (Stream, data.IterableDataset), members)


def _reduce(stream: Stream) -> tuple[Any, ...]:
    return _restore, (stream.__dict__,)


def _restore(state: dict[str, Any]) -> Stream:
    made = _torch_class()
    stream: Stream = made.__new__(made)
    stream.__dict__.update(state)
    return stream

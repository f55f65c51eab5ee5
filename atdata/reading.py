"""One shard read as samples: every error says where it is, and is raised or, if asked, counted.

Rule: nothing is skipped in silence. What cannot be read is an error that names shard, member and
byte; who chose to skip gets these errors counted by reason, the first of them kept, and logged.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from atdata.index import DataSource
from atdata.protocol.errors import CidMismatch, DataError, InvalidSample, InvalidShard
from atdata.tar import Archive, Limits

KEPT = 100  # errors that are kept and logged; the rest are counted only

Reason = Literal["sample", "key", "shard", "cid"]
Problem = DataError | CidMismatch
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class Skipped:
    """What was left out, since the dataset was made or ``clear`` was called, by every iteration.

    ``counts`` by reason: ``sample`` (its bytes do not fit the type), ``key`` (a key without a
    sample, or with a second one), ``shard`` (cut short or malformed: what follows in it is lost),
    ``cid`` (a blob whose bytes are not what its CID says: no sample of it is seen). ``errors`` are
    the first ``KEPT``, each with ``shard``, ``member`` and ``offset`` (bytes) where it has them.
    """

    counts: Counter[Reason] = field(default_factory=Counter)
    errors: list[Problem] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many problems there were."""
        return self.counts.total()

    def add(self, reason: Reason, error: Problem) -> None:
        """Count one."""
        self.counts[reason] += 1
        if len(self.errors) < KEPT:
            self.errors.append(error)
            log.warning("skipped: %s", error)

    def clear(self) -> None:
        """Begin to count anew."""
        self.counts.clear()
        self.errors.clear()


def read_shard(
    source: DataSource,
    shard: str,
    reader: Callable[[Archive], Callable[[memoryview], T]],
    limits: Limits | None,
    skipped: Skipped | None,
) -> Iterator[T]:
    """The samples of one shard, in order, through what ``reader`` returns for its archive.

    Raises ``InvalidShard``, ``InvalidSample`` and ``CidMismatch``, unless there is ``skipped`` to
    take them, and whatever opening the shard raises.
    """
    try:
        with source.open_shard(shard) as stream:
            archive = Archive(stream, shard, limits)
            yield from _samples(archive, reader(archive), skipped)
    except (InvalidShard, CidMismatch) as error:
        if skipped is None:
            raise
        skipped.add("cid" if isinstance(error, CidMismatch) else "shard", error)


def _samples(
    archive: Archive, decode: Callable[[memoryview], T], skipped: Skipped | None
) -> Iterator[T]:
    refuse = None if skipped is None else lambda error: skipped.add("key", error)
    samples = map(decode, archive.samples(refuse))
    while True:
        try:
            yield from samples
        except InvalidSample as error:
            where = (archive.shard, archive.member, archive.offset)
            located = InvalidSample(error.why, *where)
            if skipped is None:
                raise located from error
            skipped.add("sample", located)
        else:
            return

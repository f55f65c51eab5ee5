"""What a source's connection gives to the writer: frames, and runs of frames that do not matter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a source. ``connection`` counts the source's connections; ``at`` is
    microseconds since 1970. ``oversized``: it was refused unread, ``frame`` is empty.

    ``did`` (ASCII) and ``seq`` are what the screen saw of a message of a repo, both None for any
    other. They order the queue, and nothing else is built on them.
    """

    source: str
    connection: int
    frame: bytes
    at: int
    oversized: bool = False
    did: bytes | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """A run of messages that can't matter: how many, of how many bytes, and what the cursor needs:
    the highest ``seq`` among them, and the ``time`` that the last one claims. ``regressed`` counts
    those whose seq did not rise."""

    source: str
    connection: int
    at: int
    frames: int
    bytes: int
    seq: int
    time: str | None
    regressed: int


Item = Received | Passed


@dataclass(frozen=True, slots=True)
class Taken:
    """What the writer is given at once, in order of arrival. ``held`` has, for each source of which
    more waits, the lowest seq that does: its cursor must stay below. ``generation`` counts the
    processes that received: what waited in one that is gone is lost, and comes again."""

    items: tuple[Item, ...]
    held: dict[str, int]
    generation: int = 0


def size_of(item: Item) -> int:
    """Bytes that the item keeps in memory for the network's sake."""
    return len(item.frame) if isinstance(item, Received) else 0


def frames_of(item: Item) -> int:
    """How many messages the item stands for."""
    return item.frames if isinstance(item, Passed) else 1

"""What a source's connection gives to the writer: frames, and runs of frames that do not matter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a source. ``connection`` counts the source's connections; ``at`` is
    microseconds since 1970. ``oversized``: it was refused unread, ``frame`` is empty."""

    source: str
    connection: int
    frame: bytes
    at: int
    oversized: bool = False


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


def size_of(item: Item) -> int:
    """Bytes that the item keeps in memory for the network's sake."""
    return len(item.frame) if isinstance(item, Received) else 0

"""What the writer's process and the one that receives say to each other, and the bytes of it.

Rule: both ends are ours and of one version, so that anything unexpected is a fault of ours and
raises. Frames go through as bytes, unread.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import ormsgpack

from indexer.intake import IntakeSettings, Orders, SourceLink, Waiting
from indexer.received import Item, Passed, Received, Taken
from indexer.subscribe import Link

_HEAD = 8  # bytes of a message's length
_BUFFER = 1 << 20
_RECEIVED = 7  # fields; a run has eight


@dataclass(frozen=True, slots=True)
class Start:
    """First of all. No two processes number their connections alike."""

    settings: IntakeSettings
    numbered_from: int
    cursors: dict[str, int | None]
    tracked: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Track:
    """These repos are tracked from now on."""

    dids: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Take:
    """See ``Intake.take``; answered by an ``Answer``."""

    rest: float
    timeout: float


@dataclass(frozen=True, slots=True)
class Settle:
    """What was taken last is done with; how far the sources are processed."""

    cursors: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Obey:
    """See ``Intake.obey``."""

    orders: Orders


Order = Start | Track | Take | Settle | Obey


@dataclass(frozen=True, slots=True)
class Answer:
    """What was taken, and how the intake stands."""

    taken: Taken
    links: Sequence[SourceLink]
    waiting: Waiting


def packed(order: Order) -> bytes:
    match order:
        case Start(settings, number, cursors, tracked):
            return ormsgpack.packb(["start", astuple(settings), number, cursors, list(tracked)])
        case Track(dids):
            return ormsgpack.packb(["track", list(dids)])
        case Take(rest, timeout):
            return ormsgpack.packb(["take", rest, timeout])
        case Settle(cursors):
            return ormsgpack.packb(["settle", cursors])
        case Obey(orders):
            return ormsgpack.packb(
                ["obey", dict(orders.halt), list(orders.slow_down), list(orders.reconnect)]
            )


def order_of(data: bytes) -> Order:
    match ormsgpack.unpackb(data):
        case ["start", [sources, *rest], number, cursors, tracked]:
            return Start(IntakeSettings(tuple(sources), *rest), number, cursors, tracked)
        case ["track", dids]:
            return Track(dids)
        case ["take", rest, timeout]:
            return Take(rest, timeout)
        case ["settle", cursors]:
            return Settle(cursors)
        case ["obey", halt, slow_down, reconnect]:
            return Obey(Orders(halt, frozenset(slow_down), frozenset(reconnect)))
        case other:
            raise ValueError(f"no such order: {str(other)[:80]}")


def packed_answer(answer: Answer) -> bytes:
    items = [_packed_item(item) for item in answer.taken.items]
    links = [astuple(link) for link in answer.links]
    return ormsgpack.packb([items, answer.taken.held, links, astuple(answer.waiting)])


def answer_of(data: bytes) -> Answer:
    items, held, links, waiting = ormsgpack.unpackb(data)
    return Answer(
        Taken(tuple(map(_item_of, items)), held),
        [SourceLink(url, Link(link), *rest) for url, link, *rest in links],
        Waiting(*waiting),
    )


def _packed_item(item: Item) -> tuple[Any, ...]:
    if isinstance(item, Passed):
        return (
            item.source,
            item.connection,
            item.at,
            item.frames,
            item.bytes,
            item.seq,
            item.time,
            item.regressed,
        )
    return (
        item.source,
        item.connection,
        item.frame,
        item.at,
        item.oversized,
        item.did,
        item.seq,
    )


def _item_of(fields: Sequence[Any]) -> Item:
    return Received(*fields) if len(fields) == _RECEIVED else Passed(*fields)


class Channel:
    """Messages with their length before them, over one socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Channel:
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=_BUFFER))

    def send(self, data: bytes) -> None:
        """Does not wait: there is at most one answer under way, and orders are small."""
        if not self._writer.is_closing():
            self._writer.write(len(data).to_bytes(_HEAD))
            self._writer.write(data)

    async def receive(self) -> bytes | None:
        """None once the other side is gone."""
        try:
            size = int.from_bytes(await self._reader.readexactly(_HEAD))
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        self._writer.close()

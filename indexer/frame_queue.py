"""The bounded queue between the sources and the one writer: fair turns for sources and repos.

Rules protected here: invariant 8, when the writer is slower than the network, the sockets are not
read, and memory is bounded by items and by bytes (a legal frame may have 5 MB); and invariant 1,
who takes from the queue is told which seqs still wait in it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from indexer.lanes import Lanes
from indexer.received import Item, Passed, Received, Taken, size_of
from indexer.spill import Place, Spill

__all__ = ["FrameQueue", "Item", "Passed", "Received", "Taken"]

SHARE = 200  # frames of one repo in one turn
_IN_MEMORY = 400  # frames of one repo; the others wait in a file
_AT_ONCE = 16_000_000  # bytes of frames that are taken at once
_SILENCE = 0.15  # seconds without an item: a source that sends would have sent one


class FrameQueue:
    """Of one event loop. Several writers, one reader. ``spill_bytes`` bounds the file for repos
    that flood, which is made in ``folder`` and leaves ``spare_bytes`` of its disk free."""

    def __init__(
        self,
        *,
        max_frames: int,
        max_bytes: int,
        spill_bytes: int = 0,
        spare_bytes: int = 0,
        folder: Path | None = None,
    ) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._sources: dict[str, Lanes] = {}
        self._spill = Spill(folder, spill_bytes, spare_bytes)
        self._spilled = self._bytes = self._urgent = self._arrived = 0
        self._changed = asyncio.Condition()

    @property
    def frames(self) -> int:
        """How many items wait: frames, and runs of frames that do not matter."""
        return sum(map(len, tuple(self._sources.values())))

    @property
    def lanes(self) -> int:
        """Of how many repos a frame waits."""
        return sum(lanes.repos for lanes in tuple(self._sources.values()))

    @property
    def spilled(self) -> int:
        """How many of the items wait in the file for floods."""
        return self._spilled

    @property
    def bytes(self) -> int:
        """How many bytes of frames wait in memory."""
        return self._bytes

    @property
    def spilled_bytes(self) -> int:
        """How many bytes the file for floods takes."""
        return self._spill.size

    async def put(self, *items: Item) -> None:
        """Each one waits for room. One frame always fits into an empty queue."""
        async with self._changed:
            for item in items:
                if not self._put(item):
                    self._changed.notify_all()
                    await self._changed.wait_for(lambda: self._put(item))  # noqa: B023
            self._changed.notify_all()

    async def gather(self, items: int, timeout: float) -> None:
        """Until so many items wait, or half of what may wait, or ``timeout`` seconds are over; or
        nothing arrives any more."""
        enough = min(items, self._max_frames // 2)
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        while (left := ends - loop.time()) > 0:
            before = self._arrived
            if await self._holds(enough, min(left, _SILENCE)) or self._arrived == before:
                return

    async def _holds(self, enough: int, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(
                    lambda: self.frames >= enough or self._bytes * 2 >= self._max_bytes
                )
        except TimeoutError:
            return False
        return True

    async def take(self, limit: int, timeout: float) -> Taken:
        """What waits, at most about ``limit`` items and a fair part of everybody. Waits ``timeout``
        seconds for a frame; runs of frames that do not matter are in no hurry."""
        async with self._changed:
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait_for(lambda: self._urgent > 0)
            except TimeoutError:
                pass  # what waits has waited long enough
            taken = self._take(limit)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Nothing is put or taken any more."""
        self._spill.close()

    def _put(self, item: Item) -> bool:
        """False if there is no room."""
        lanes = self._sources.setdefault(item.source, Lanes(SHARE))
        size = size_of(item)
        self._arrived += 1
        if isinstance(item, Passed):
            lanes.put(item, 0)
            return True
        if lanes.waiting(item.did) >= _IN_MEMORY:
            place = self._spill.put(item.frame)
            if place is not None:
                lanes.put(replace(item, frame=b""), size, place)
                self._spilled += 1
                self._urgent += 1
                return True
        if not self._has_room(size):
            return False
        lanes.put(item, size)
        self._bytes += size
        self._urgent += 1
        return True

    def _has_room(self, size: int) -> bool:
        waiting = self.frames - self._spilled
        if not waiting:
            return True
        return waiting < self._max_frames and self._bytes + size <= self._max_bytes

    def _take(self, limit: int) -> Taken:
        sources = [lanes for lanes in self._sources.values() if len(lanes)]
        each = max(1, limit // max(1, len(sources)))
        size = _AT_ONCE // max(1, len(sources))
        items = [self._whole(*found) for lanes in sources for found in lanes.take(each, size)]
        self._urgent -= sum(isinstance(item, Received) for item in items)
        held = {url: lanes.held() for url, lanes in self._sources.items() if len(lanes)}
        return Taken(tuple(items), {url: seq for url, seq in held.items() if seq is not None})

    def _whole(self, item: Item, place: object | None) -> Item:
        if isinstance(place, Place) and isinstance(item, Received):
            self._spilled -= 1
            return replace(item, frame=self._spill.take(place))
        self._bytes -= size_of(item)
        return item

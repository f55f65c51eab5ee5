"""The bounded queue between the sources and the one writer: items, in order of arrival.

The rule protected here is invariant 8: when the writer is slower than the network, the sockets are
not read, and memory is bounded by items and by bytes (a legal frame may have 5 MB).
"""

from __future__ import annotations

import asyncio
from collections import deque

from indexer.received import Item, Passed, Received, size_of

__all__ = ["FrameQueue", "Item", "Passed", "Received"]


class FrameQueue:
    """Of one event loop. Several writers, one reader."""

    def __init__(self, *, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self._bytes = self._urgent = 0
        self._changed = asyncio.Condition()

    @property
    def frames(self) -> int:
        """How many items wait: frames, and runs of frames that do not matter."""
        return len(self._items)

    @property
    def bytes(self) -> int:
        """How many bytes of frames wait."""
        return self._bytes

    async def put(self, *items: Item) -> None:
        """Each one waits for room. One frame always fits into an empty queue."""
        async with self._changed:
            for item in items:
                size = size_of(item)
                if not self._has_room(size):
                    self._changed.notify_all()
                    await self._changed.wait_for(lambda: self._has_room(size))  # noqa: B023
                self._items.append(item)
                self._bytes += size
                self._urgent += isinstance(item, Received)
            self._changed.notify_all()

    async def gather(self, items: int, timeout: float) -> None:
        """Until so many items wait, or half of what may wait, or ``timeout`` seconds are over."""
        enough = min(items, self._max_frames // 2)
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(
                    lambda: len(self._items) >= enough or self._bytes * 2 >= self._max_bytes
                )
        except TimeoutError:
            return

    async def take(self, limit: int, timeout: float) -> list[Item]:
        """Whatever waits, at most ``limit``. Waits ``timeout`` seconds for a frame; runs of frames
        that do not matter are in no hurry, unless there are many."""
        enough = max(1, min(limit, self._max_frames // 2))
        async with self._changed:
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait_for(
                        lambda: self._urgent > 0 or len(self._items) >= enough
                    )
            except TimeoutError:
                pass  # what waits has waited long enough
            taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            self._bytes -= sum(map(size_of, taken))
            self._urgent -= sum(isinstance(item, Received) for item in taken)
            self._changed.notify_all()
            return taken

    def _has_room(self, size: int) -> bool:
        if not self._items:
            return True
        return len(self._items) < self._max_frames and self._bytes + size <= self._max_bytes

"""A recording read from its files: the frames at the speed of the disk, no sockets between.

Rule: the frames go through the same screens and the same writer as a live source's, and under the
same cursors, so that a replay can be broken off and resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice

from indexer.drops import InvalidEvent
from indexer.frames import peek
from indexer.intake import Cursor, Orders, SourceLink, Waiting
from indexer.received import Item, Taken
from indexer.recording_files import Recording
from indexer.screen import Screen
from indexer.subscribe import Link
from indexer.tracked import Tracked

_AT_ONCE = 20_000  # frames that are screened before the writer gets what matters


class DiskIntake:
    """``urls`` has the recorded sources' names, and the URLs that their cursors are kept under.
    ``cursor`` tells how far one is processed, ``tracked`` which repos are followed."""

    def __init__(
        self, recording: Recording, urls: Mapping[str, str], cursor: Cursor, tracked: Tracked
    ) -> None:
        self._tracks = [
            _Track(recording, name, Screen(url, tracked), url, cursor) for name, url in urls.items()
        ]
        self._taken: tuple[_Track, Sequence[Item]] | None = None

    async def run(self) -> None:
        """Until cancelled: ``take`` does the work."""
        await asyncio.get_running_loop().create_future()

    async def take(self, rest: float, timeout: float) -> Taken:
        """What matters of the next frames. Raises ``InvalidRecord`` if a file is cut."""
        track = next((track for track in self._tracks if track.link is Link.CONNECTED), None)
        if track is None:
            await asyncio.sleep(timeout)
            return Taken((), {})
        items = track.read()
        self._taken = (track, items) if items else None
        return Taken(tuple(items), {})

    def obey(self, orders: Orders) -> None:
        """There is nobody to slow down for."""
        for track in self._tracks:
            track.halted_because = orders.halt.get(track.url, track.halted_because)
            if track.url in orders.reconnect:
                track.rewind()

    def settle(self) -> None:
        if self._taken is not None:
            track, items = self._taken
            track.screen.settle(items)
            self._taken = None

    def refresh(self) -> None:
        """The screens ask ``tracked`` itself."""

    @property
    def links(self) -> Sequence[SourceLink]:
        return [SourceLink(t.url, t.link, t.connection, 0, t.halted_because) for t in self._tracks]

    @property
    def ended(self) -> bool:
        """Whether all that can be read was taken and is settled."""
        reading = any(track.link is Link.CONNECTED for track in self._tracks)
        return not reading and self._taken is None

    @property
    def waiting(self) -> Waiting:
        return Waiting()


class _Track:
    """One source, above its cursor."""

    def __init__(
        self, recording: Recording, name: str, screen: Screen, url: str, cursor: Cursor
    ) -> None:
        self.url, self.screen = url, screen
        self.halted_because: str | None = None
        self._recording, self._name, self._cursor = recording, name, cursor
        self.connection = 0
        self.rewind()

    def rewind(self) -> None:
        """Read once more, from the cursor on."""
        self.connection += 1
        self._spans, self._ended = self._recording.spans(self._name), False
        self._reached = self._cursor(self.url) or 0
        self.screen.begin(self.connection)

    @property
    def link(self) -> Link:
        """A file that has ended is a source that is silent."""
        if self.halted_because is not None:
            return Link.HALTED
        return Link.WAITING if self._ended else Link.CONNECTED

    def read(self) -> list[Item]:
        """What matters of the next frames, and what the cursor needs of the others."""
        take, at = self.screen.take, 0
        for span in islice(self._spans, _AT_ONCE):
            buffer, start, end, at = span
            if self._reached:
                if (_seq_of(buffer[start:end]) or 0) <= self._reached:
                    continue
                self._reached = 0  # a source that begins again from below is read on
            take(buffer, start, end)
        self._ended = not at
        return self.screen.items(at)


def _seq_of(frame: bytes) -> int | None:
    try:
        return peek(frame).seq
    except InvalidEvent:
        return None

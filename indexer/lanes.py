"""Fair turns: what waits of one source, in a lane for each repo.

Pure. Rules: what belongs to one repo leaves in the order of its arrival; a repo with a thousand
frames makes the others wait for no more than its share of a turn; and a message that is of no repo
(an error of the stream, what can't be read) is a bar: all before it leaves first, nothing after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from indexer.received import Item, Passed

_RUN = 100_000  # frames: no more become one run, so that its time says when they were


@dataclass(slots=True)
class _Waiting:
    """``number`` counts arrivals; ``place`` says where the frame is, if it is not in ``item``."""

    number: int
    item: Item
    size: int
    place: object | None


@dataclass(slots=True)
class _Segment:
    """What arrived between two bars. The lanes are in the order of their turns."""

    lanes: dict[bytes, deque[_Waiting]] = field(default_factory=dict)
    runs: deque[_Waiting] = field(default_factory=deque)
    bar: _Waiting | None = None

    def held(self) -> int | None:
        """The lowest seq. In a lane seqs rise; a source that begins again from below was there
        before, and its cursor stays where it was."""
        seqs = [lane[0].item.seq for lane in self.lanes.values()]
        return min((seq for seq in seqs if seq is not None), default=None)


class Lanes:
    """``put`` and ``take``; ``share`` is how many frames of one repo are taken at once."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._segments: deque[_Segment] = deque([_Segment()])
        self._numbers = 0
        self._items = 0

    def __len__(self) -> int:
        """How many items wait; runs that came one after the other may be one item."""
        return self._items

    @property
    def repos(self) -> int:
        """Of how many repos a frame waits; one may be counted on each side of a bar."""
        return sum(len(segment.lanes) for segment in tuple(self._segments))

    def waiting(self, did: bytes | None) -> int:
        """How many frames of that repo wait, behind the last bar."""
        return 0 if did is None else len(self._segments[-1].lanes.get(did, ()))

    def put(self, item: Item, size: int, place: object | None = None) -> None:
        """``size`` is the frame's, in bytes."""
        segment = self._segments[-1]
        self._numbers += 1
        waiting = _Waiting(self._numbers, item, size, place)
        if isinstance(item, Passed):
            if segment.runs and (joined := _joined(segment.runs[-1].item, item)) is not None:
                segment.runs[-1].item = joined
                return
            segment.runs.append(waiting)
        elif item.did is None:
            segment.bar = waiting
            self._segments.append(_Segment())
        else:
            segment.lanes.setdefault(item.did, deque()).append(waiting)
        self._items += 1

    def take(self, limit: int, size: int) -> list[tuple[Item, object | None]]:
        """Items in order of arrival, each with its place: no more than ``limit``, runs aside, and
        none after the one that makes ``size`` bytes of frames full."""
        taken: list[_Waiting] = []
        while limit > 0 and size > 0:
            segment = self._segments[0]
            taken += segment.runs
            segment.runs.clear()
            for waiting in self._turns(segment, limit, size):
                taken.append(waiting)
                limit, size = limit - 1, size - waiting.size
            if segment.lanes or segment.bar is None:
                break
            taken.append(segment.bar)
            limit, size = limit - 1, size - segment.bar.size
            self._segments.popleft()
        self._items -= len(taken)
        taken.sort(key=lambda waiting: waiting.number)
        return [(waiting.item, waiting.place) for waiting in taken]

    def held(self) -> int | None:
        """The lowest seq that waits."""
        return next((seq for seg in self._segments if (seq := seg.held()) is not None), None)

    def _turns(self, segment: _Segment, limit: int, size: int) -> Iterator[_Waiting]:
        """One turn for each lane, as far as the limits go; who has more waits behind the rest."""
        for did in list(segment.lanes):
            lane = segment.lanes.pop(did)
            for _ in range(min(len(lane), self._share)):
                if limit <= 0 or size <= 0:
                    break
                waiting = lane.popleft()
                limit, size = limit - 1, size - waiting.size
                yield waiting
            if lane:
                segment.lanes[did] = lane
            if limit <= 0 or size <= 0:
                return


def _joined(before: Item, run: Passed) -> Passed | None:
    """Two runs as one."""
    if not isinstance(before, Passed) or before.connection != run.connection:
        return None
    if before.frames + run.frames > _RUN:
        return None
    return Passed(
        run.source,
        run.connection,
        run.at,
        before.frames + run.frames,
        before.bytes + run.bytes,
        max(before.seq, run.seq),
        run.time or before.time,
        before.regressed + run.regressed,
    )

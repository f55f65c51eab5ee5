"""The repos that are followed because they have, or had, records here, or may have once the
directory can be asked: what a screen asks for.

Pure. Rule: it only grows, so that whoever keeps a copy needs no more than what was added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_EXPECTED = 10_000


class Tracked:
    """DIDs, as ASCII. May be asked in one thread while another adds."""

    def __init__(self, dids: Iterable[bytes] = ()) -> None:
        self._order: list[bytes] = []
        self._dids: set[bytes] = set()
        self._expected = 0
        self.update(dids)

    def __contains__(self, did: object) -> bool:
        return did in self._dids

    def __len__(self) -> int:
        return len(self._order)

    def update(self, dids: Iterable[bytes]) -> None:
        for did in dids:
            if did not in self._dids:
                self._dids.add(did)
                self._order.append(did)

    def expect(self, dids: Iterable[bytes]) -> None:
        """Whose first commit is parked: what is told of these accounts meanwhile matters. They may
        be anybody's invention, so that no more than ``MAX_EXPECTED`` are ever taken."""
        for did in dids:
            if did not in self._dids and self._expected < MAX_EXPECTED:
                self._expected += 1
                self.update([did])

    def since(self, count: int) -> Sequence[bytes]:
        """All but the first ``count``, in the order in which they came."""
        return self._order[count:]

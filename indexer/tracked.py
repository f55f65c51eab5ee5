"""The repos that are followed because they have, or had, records here: what a screen asks for.

Pure. Rule: it only grows, so that whoever keeps a copy needs no more than what was added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Tracked:
    """DIDs, as ASCII. May be asked in one thread while another adds."""

    def __init__(self, dids: Iterable[bytes] = ()) -> None:
        self._order: list[bytes] = []
        self._dids: set[bytes] = set()
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

    def since(self, count: int) -> Sequence[bytes]:
        """All but the first ``count``, in the order in which they came."""
        return self._order[count:]

"""Which accounts hold a handle: the verified ones of the repos that are stored.

Pure. Rule: it follows the stored states, so that whoever a handle is taken from is found without
going through all repos. Of an older file a handle may have several holders.
"""

from __future__ import annotations

from collections.abc import Iterable

from indexer.batch import RepoState, held_handle


class Holders:
    """Handle → DIDs."""

    def __init__(self, states: Iterable[RepoState] = ()) -> None:
        self._dids: dict[str, tuple[str, ...]] = {}
        for state in states:
            self.follow(None, state)

    def of(self, handle: str) -> tuple[str, ...]:
        """The DIDs of the accounts whose verified handle it is."""
        return self._dids.get(handle, ())

    def follow(self, before: RepoState | None, after: RepoState) -> None:
        """A repo's state was ``before``, None if there was none, and is ``after`` now."""
        old, new = None if before is None else held_handle(before), held_handle(after)
        if old == new:
            return
        if old is not None:
            left = tuple(did for did in self._dids[old] if did != after.did)
            if left:
                self._dids[old] = left
            else:
                del self._dids[old]
        if new is not None:
            self._dids[new] = (*self.of(new), after.did)

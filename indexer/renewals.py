"""Identities that are not known to be right: asked for again, until they are.

The queue is the table of repos: a handle that is not verified, a PDS that nobody named, an account
that is hidden. The rules protected here: what an outage left stale is put right by itself, without
another ``#identity``; and asking costs a few requests a minute, however many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from atdata.network.identity import Resolver
from indexer.batch import RepoState
from indexer.decide import DELETED, Profile, renewed
from indexer.proofs import profile_of
from indexer.store import Store
from indexer.threads import in_thread

AT_ONCE = 20
MAX_SECONDS = 3_600.0


class Renewals:
    """``clock`` in seconds; ``seconds`` is the pause before the second attempt on a repo, which
    doubles with each, up to an hour."""

    def __init__(
        self, store: Store, resolver: Resolver, seconds: float, clock: Callable[[], float]
    ) -> None:
        self._store, self._resolver = store, resolver
        self._seconds, self._clock = seconds, clock
        self._asked: dict[str, tuple[float, float]] = {}  # DID → when next, and the pause then
        self.doubtful = 0
        """How many there were at the last look."""

    def due(self) -> list[str]:
        """DIDs to ask for now, at most ``AT_ONCE``, those that have waited longest first."""
        wanting = {state.did for state in self._store.repos() if _is_doubtful(state)}
        self._asked = {did: at for did, at in self._asked.items() if did in wanting}
        self.doubtful, now = len(wanting), self._clock()
        waiting = sorted((self._asked.get(did, (0.0, 0.0))[0], did) for did in wanting)
        return [did for at, did in waiting[:AT_ONCE] if at <= now]

    async def ask(self, dids: Iterable[str]) -> dict[str, Profile]:
        """Who they are now, where the directory answers."""
        asked = list(dids)
        for did in asked:
            pause = min(MAX_SECONDS, 2 * self._asked.get(did, (0.0, self._seconds / 2))[1])
            self._asked[did] = (self._clock() + pause, pause)
        found = await asyncio.gather(*map(self._ask, asked))
        return {did: profile for did, profile in zip(asked, found, strict=True) if profile}

    async def _ask(self, did: str) -> Profile | None:
        return await in_thread(lambda: self._fresh(did), "renew")

    def _fresh(self, did: str) -> Profile | None:
        self._resolver.forget(did)
        return profile_of(self._resolver, did, renew=True)

    def apply(self, profiles: Mapping[str, Profile]) -> set[str]:
        """Store what changed. Returns the repos that have to be fetched since. In the writer's
        thread. Raises ``StoreError``."""
        batch = self._store.batch()
        for did, profile in profiles.items():
            state = self._store.repo(did)
            if state is not None and (now := renewed(state, profile)) != state:
                batch.set_repo(now)
        if batch.repos:
            self._store.apply(batch)
        return {did for did, state in batch.repos.items() if state.wants_resync}


def _is_doubtful(state: RepoState) -> bool:
    if not state.active:
        return state.status != DELETED
    if state.wants_resync and state.sync_error is None:
        return False  # it is about to be fetched, which tells all of this
    return (state.handle is not None and not state.handle_verified) or state.pds is None

"""What the directory could not be asked for, asked again: parked events, and identities in doubt.

The queue of events is the quarantine itself, so that it outlives the process. The rule protected
here is invariant 2: nothing of a parked event is believed meanwhile; only its DID is asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from atdata.network.identity import Resolver
from atdata.protocol.errors import IdentityNotFound, NetworkError
from indexer.drops import DropReason
from indexer.processor import Outcome, Processor
from indexer.quarantine import Kept
from indexer.queues import Depths, Queue
from indexer.renewals import Renewals
from indexer.resync import InWriter
from indexer.store import Store
from indexer.threads import in_thread

_ROUND = 200  # frames at once
_ASKED = 20  # identities at once

log = structlog.get_logger(__name__)


class Parked:
    """Of one event loop. ``on_outcome`` gets what follows from the events that are let in."""

    def __init__(
        self,
        store: Store,
        processor: Processor,
        resolver: Resolver,
        in_writer: InWriter,
        on_outcome: Callable[[Outcome], Awaitable[None]],
        seconds: float,
    ) -> None:
        self._store, self._processor, self._resolver = store, processor, resolver
        self._in_writer, self._on_outcome, self._seconds = in_writer, on_outcome, seconds
        self._renewals = Renewals(store, resolver, seconds, time.monotonic)

    @property
    def depths(self) -> Depths:
        """From any thread."""
        reasons = self._store.quarantine.reasons
        return {
            Queue.PARKED: reasons.get(DropReason.IDENTITY_UNAVAILABLE, 0),
            Queue.DOUBTFUL: self._renewals.doubtful,
        }

    async def run(self) -> None:
        """A round every ``seconds``, until cancelled. Raises ``StoreError``."""
        turn = 0
        while True:
            await asyncio.sleep(self._seconds)
            turn += 1
            await self._round(turn)
            await self._renew()

    async def _round(self, turn: int) -> None:
        """Another part of what is parked each time, so that none holds up the others."""
        reason, quarantine = DropReason.IDENTITY_UNAVAILABLE, self._store.quarantine
        kept = await self._in_writer(lambda: quarantine.of_reason(reason, _ROUND, turn))
        dids = list(dict.fromkeys(item.did for item in kept if item.did is not None))[:_ASKED]
        known = {did for did in dids if await in_thread(lambda: self._is_known(did))}  # noqa: B023
        ready: list[Kept] = [item for item in kept if item.did in known]
        if ready:
            log.info("parked frames are looked at again", frames=len(ready))
            await self._on_outcome(await self._in_writer(lambda: self._processor.reexamine(ready)))

    async def _renew(self) -> None:
        """The identities in doubt whose turn it is."""
        profiles = await self._renewals.ask(self._renewals.due())
        if profiles:
            moved = await self._in_writer(lambda: self._renewals.apply(profiles))
            await self._on_outcome(Outcome(resync=moved))

    def _is_known(self, did: str) -> bool:
        """Whether the directory answers, be it that there is no such DID."""
        try:
            self._resolver.resolve(did)
        except IdentityNotFound:
            return True
        except NetworkError:
            return False
        return True

"""The sweep: what the sources list, and what the PDSes hold, against what we hold.

Rules protected here: anything that was missed stays missed for one period at most, and as long as a
sweep takes, whatever is dead or late meanwhile; a source that is new, or that jumped over events,
is listed at once; what is found is only ever a reason to fetch and verify a repo.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import structlog

from atdata.protocol.errors import NetworkError, XrpcError
from atdata.protocol.syntax import Tid
from indexer.batch import RepoState
from indexer.decide import DELETED
from indexer.heads import HeadLimits, ask_heads
from indexer.listing import Listed, Lister
from indexer.repos import Failed, Gone, RepoClient
from indexer.resync import InWriter, Resyncer
from indexer.threads import in_thread
from indexer.turns import Turns

SWEEP = "sweep"
LISTED = "listed "

_REMEMBERED = 200_000
_POLL_SECONDS = 0.1
_CHECK_SECONDS = 0.5  # between two looks at the sources that were left out

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SweepLimits:
    """Seconds between the ends of two sweeps; seconds for the firehose to bring what a PDS already
    tells; seconds that a source which is not connected is waited for, before it is left out; and
    what a host is asked."""

    seconds: float = 3_600.0
    grace: float = 10.0
    patience: float = 30.0
    heads: HeadLimits = field(default_factory=HeadLimits)


@dataclass(frozen=True, slots=True)
class SweepState:
    """The last sweep. Times are microseconds since 1970, None before the first one ended.

    Repos: ``listed`` by sources, ``adopted`` because they were unknown, ``checked`` at their PDS or
    in a list, ``differing`` from ours and so fetched, ``gone`` from their PDS, ``unreachable``.
    ``unlisted`` sources were not connected, or their list broke off. ``period`` is the pause
    between two sweeps, in seconds.
    """

    started_at: int | None = None
    finished_at: int | None = None
    listed: int = 0
    adopted: int = 0
    checked: int = 0
    differing: int = 0
    gone: int = 0
    unreachable: int = 0
    unlisted: int = 0
    period: int | None = None

    @property
    def healed(self) -> int:
        """Repos that were put right by it."""
        return self.adopted + self.differing + self.gone


class Sweeper:
    """Of one event loop. ``is_connected`` tells of a source whether it is followed; ``is_current``
    whether what the sources sent is processed and not late; ``clock`` gives microseconds since
    1970."""

    def __init__(
        self,
        sources: Sequence[str],
        lister: Lister,
        client: RepoClient,
        turns: Turns,
        resyncer: Resyncer,
        in_writer: InWriter,
        *,
        is_connected: Callable[[str], bool],
        is_current: Callable[[], bool],
        on_done: Callable[[Collection[str], int, int], None],
        clock: Callable[[], int],
        limits: SweepLimits | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._lister, self._client = lister, client
        self._turns, self._resyncer, self._in_writer = turns, resyncer, in_writer
        self._is_connected, self._is_current = is_connected, is_current
        self._on_done, self._clock = on_done, clock
        self._limits = limits or SweepLimits()
        self._without: OrderedDict[str, Tid | None] = OrderedDict()
        self._wanted = asyncio.Event()
        self._left_out: set[str] = set()
        self._left_out_in_a_row = 0
        self._counts: Counter[str] = Counter()
        stored = turns.meta(SWEEP)
        self.state = SweepState() if stored is None else SweepState(**json.loads(stored))
        """Of the last sweep that ended."""
        self.asking = 0
        """About how many repos their PDSes are being asked."""

    def request(self) -> None:
        """Sweep as soon as possible: something is known to be missed."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled. Raises ``StoreError``."""
        if any(self._turns.meta(LISTED + url) is None for url in self._sources):
            self.request()
        while True:
            await self._rest()
            self._wanted.clear()
            await self._sweep()

    async def _rest(self) -> None:
        """Until the period is over, a sweep is requested, or a source that was left out can be
        listed; the more often that failed in a row, the later it is tried again."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._pause()
        again = loop.time() + self._limits.patience * 2 ** min(self._left_out_in_a_row, 20)
        while not self._wanted.is_set() and (left := due - loop.time()) > 0:
            if loop.time() >= again and any(map(self._is_connected, self._left_out)):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _CHECK_SECONDS)):
                    await self._wanted.wait()

    def _pause(self) -> float:
        if self.state.finished_at is None:
            return 0.0
        return max(0.0, self._limits.seconds - (self._clock() - self.state.finished_at) / 1e6)

    async def _sweep(self) -> None:
        self._counts.clear()
        started = self._clock()
        behind: dict[str, Tid] = {}
        known: set[str] = set()
        self._left_out.clear()
        async with asyncio.TaskGroup() as group:
            for url in self._sources:
                group.create_task(self._list(url, behind, known))
        await self._until(self._is_current, self._limits.seconds)
        self._left_out_in_a_row = self._left_out_in_a_row + 1 if self._left_out else 0
        gone = await self._ask_hosts(behind, known)
        await self._judge(behind, gone)
        await self._ask_about_hidden()
        names = ("listed", "adopted", "checked", "differing", "gone", "unreachable", "unlisted")
        counts = {name: self._counts[name] for name in names}
        self.state = SweepState(
            started, self._clock(), period=round(self._limits.seconds), **counts
        )
        log.info("sweep done", **counts)
        text = json.dumps(asdict(self.state))
        await self._in_writer(lambda: self._turns.remember(SWEEP, text))
        listed = frozenset(self._sources) - self._left_out
        await self._in_writer(lambda: self._on_done(listed, started, self._clock()))

    # --- what the sources list ------------------------------------------------------------------

    async def _list(self, url: str, behind: dict[str, Tid], known: set[str]) -> None:
        """Adopt what ``url`` lists and we do not know; note what is ahead of us."""
        if not await self._until(lambda: self._is_connected(url), self._limits.patience):
            self._leave_out(url, "it is not connected")
            return
        pages: Iterator[list[Listed]] = self._lister.pages(url)
        try:
            while (page := await in_thread(lambda: next(pages, None), "list")) is not None:
                self._counts["listed"] += len(page)
                await self._take(url, page, behind, known)
        except (NetworkError, XrpcError) as error:
            self._leave_out(url, str(error))
            return
        at = str(self._clock())
        await self._in_writer(lambda: self._turns.remember(LISTED + url, at))

    def _leave_out(self, url: str, why: str) -> None:
        log.warning("source not listed", source=url, why=why)
        self._left_out.add(url)
        self._counts["unlisted"] += 1

    async def _take(
        self, url: str, page: list[Listed], behind: dict[str, Tid], known: set[str]
    ) -> None:
        origin = "http" + url.removeprefix("ws")
        unknown = []
        for item in page:
            state = self._turns.repo(item.did)
            if state is None:
                if item.collections or await self._holds_collections(item, origin):
                    unknown.append(item.did)
            elif item.rev is not None and state.pds == origin:
                known.add(item.did)
                self._compare(state, item.rev, behind)
        adopted = await self._in_writer(lambda: self._turns.adopt(unknown))
        self._counts["adopted"] += len(adopted)
        self._resyncer.queue(adopted)

    async def _holds_collections(self, item: Listed, origin: str) -> bool:
        """Whether a repo that we know nothing of is worth to be fetched. Asked once per rev."""
        if item.did in self._without and self._without[item.did] == item.rev:
            return False
        await asyncio.sleep(1 / self._limits.heads.per_second)
        if await in_thread(lambda: self._client.holds_collections(item.did, origin), "list"):
            return True
        self._without[item.did] = item.rev
        if len(self._without) > _REMEMBERED:
            self._without.popitem(last=False)
        return False

    # --- what the PDSes hold --------------------------------------------------------------------

    async def _ask_hosts(self, behind: dict[str, Tid], known: set[str]) -> dict[str, Gone]:
        """The newest rev of every tracked repo that no list told. Those that are not served."""
        states = {
            state.did: state
            for state in self._turns.repos()
            if state.did not in known and (state.active or state.is_unserved)
        }
        # Where one is that was never fetched, its next fetch finds out: it is queued anyway.
        self._counts["unreachable"] += sum(state.pds is None for state in states.values())
        gone: dict[str, Gone] = {}
        self.asking = len(states)
        heads = await ask_heads(self._client, states.values(), self._limits.heads)
        self.asking = 0
        for did, answer in heads.items():
            if isinstance(answer, Failed):
                self._counts["unreachable"] += 1
            elif isinstance(answer, Gone):
                if states[did].active:
                    gone[did] = answer
            else:
                self._compare(states[did], answer, behind)
        return gone

    async def _ask_about_hidden(self) -> None:
        """Accounts that a source has hidden, and of which it says now that they are active: that it
        said so before was missed. All that spoke of an account must agree."""
        returned: list[RepoState] = []
        for state in self._turns.repos():
            spoke = [url for url in self._sources if url in state.account_seq]
            if state.active or state.is_unserved or state.status == DELETED or not spoke:
                continue
            for url in spoke:
                await asyncio.sleep(1 / self._limits.heads.per_second)
                origin = "http" + url.removeprefix("ws")
                if not await in_thread(lambda: self._client.is_active(state.did, origin), "sweep"):  # noqa: B023
                    break
            else:
                returned.append(state)
        shown = await self._in_writer(lambda: self._turns.show(returned))
        self._counts["differing"] += len(shown)
        self._resyncer.queue(shown)

    def _compare(self, state: RepoState, rev: Tid, behind: dict[str, Tid]) -> None:
        self._counts["checked"] += 1
        if state.is_unserved or state.rev is None or rev > state.rev:
            behind[state.did] = rev

    async def _judge(self, behind: dict[str, Tid], gone: dict[str, Gone]) -> None:
        """What the firehose has not brought after a while was missed."""
        if not behind and not gone:
            return
        await asyncio.sleep(self._limits.grace)
        missed = await self._in_writer(lambda: self._turns.catch_up(behind))
        self._counts["differing"] += len(missed)
        self._resyncer.queue(missed)
        hidden = await self._in_writer(lambda: self._turns.ask_again(gone))
        self._counts["gone"] += len(hidden)
        self._resyncer.queue(hidden)

    async def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Whether it came to hold within ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not holds():
                    await asyncio.sleep(_POLL_SECONDS)
        return holds()

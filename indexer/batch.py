"""What one transaction will write: the effects of a run of events, laid over the stored state.

Pure. The rule protected here is invariant 1 from the other side: nothing is changed until the whole
batch is durable, so that a batch that fails leaves no trace. Events are applied in order; of two
effects on one record or repo the later one wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from indexer.drops import Drop, DropReason
from indexer.tables import InvalidRow, Rows

DETAIL_CHARS = 500

UNSERVED = {
    "RepoTakendown": "takendown",
    "RepoSuspended": "suspended",
    "RepoDeactivated": "deactivated",
    "RepoNotFound": "not found",
}
"""What a PDS answers for a repo that it does not serve, and the account's status in that case. The
first three are names of the protocol."""


class SyncState(StrEnum):
    """Invariant 4: a repo is synced or known not to be."""

    NEW = "new"
    """Not fetched yet; what it held before we saw it is not here."""
    SYNCED = "synced"
    """Our rows are the repo's records at ``rev``."""
    DESYNCHRONIZED = "desynchronized"
    """Something was missed; the rows are what could be proven since."""


@dataclass(frozen=True, slots=True)
class RepoState:
    """A tracked repo, one that has or had records here, or is said to. ``account_seq`` holds the
    seq of the newest ``#account`` applied, by source URL, and times beside (``indexer/decide``);
    ``sync_error`` says why the repo could
    not be fetched the last time, None if it could or was not tried."""

    did: str
    handle: str | None = None
    handle_verified: bool = False
    pds: str | None = None
    active: bool = True
    status: str | None = None
    account_seq: Mapping[str, int] = field(default_factory=dict)
    rev: str | None = None
    data_cid: str | None = None
    sync_state: SyncState = SyncState.NEW
    sync_error: str | None = None

    @property
    def wants_resync(self) -> bool:
        """Whether its rows are known not to be its records, and its PDS can be asked for them."""
        return self.active and self.sync_state is not SyncState.SYNCED

    @property
    def is_unserved(self) -> bool:
        """It is hidden because its PDS did not serve it, and not by word of a source."""
        return not self.active and self.sync_error in UNSERVED


@dataclass(frozen=True, slots=True)
class Gap:
    """Events of a source that can't be had again: after the one at ``from_seq``, before that at
    ``to_seq``. Times are microseconds since 1970, None where unknown; ``healed_at`` is set when all
    that the source lists was compared."""

    from_seq: int
    to_seq: int | None
    from_time: int | None
    to_time: int | None
    why: str
    noted_at: int
    healed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source is consumed. ``event_time`` (of the event at ``cursor``) and ``seen_at`` are
    microseconds since 1970; None where no event said. ``gaps`` are the newest, oldest first.
    ``halted_because`` is why it is not followed any more, None while it is."""

    url: str
    cursor: int
    event_time: int | None = None
    seen_at: int | None = None
    gaps: tuple[Gap, ...] = ()
    halted_because: str | None = None


def _nobody(handle: str) -> Iterable[str]:
    """The holders of a handle where none is held."""
    return ()


class Batch:
    """Collects effects; ``Store.apply`` writes them. ``stored`` gives a repo's durable state,
    ``holders`` the DIDs whose verified handle it is, durably."""

    def __init__(
        self,
        stored: Callable[[str], RepoState | None],
        holders: Callable[[str], Iterable[str]] = _nobody,
    ) -> None:
        self._stored, self._holders = stored, holders
        self._newest_holder: dict[str, str] = {}
        self.repos: dict[str, RepoState] = {}
        self.docs: dict[int, tuple[str, Rows | InvalidRow | None]] = {}
        self.purged: set[str] = set()
        self.drops: Counter[DropReason] = Counter()
        self.quarantine: list[tuple[Drop, int]] = []
        self.positions: dict[str, Position] = {}
        self.meta: dict[str, str] = {}
        self.released: set[int] = set()

    @property
    def has_effects(self) -> bool:
        """Whether anything but cursors would be written."""
        effects = (self.docs, self.repos, self.purged, self.drops, self.meta, self.released)
        return any(effects)

    @property
    def visibility(self) -> set[str]:
        """Accounts whose records are shown otherwise than before: a change of ``active``, handle or
        PDS, if it was not taken back."""
        return {
            did
            for did, state in self.repos.items()
            if (before := self._stored(did)) is not None and _shown(before) != _shown(state)
        }

    def repo(self, did: str) -> RepoState | None:
        """The state that ``did`` has after what is in this batch so far; None if not tracked."""
        return self.repos.get(did) or self._stored(did)

    def set_repo(self, state: RepoState) -> None:
        """A handle leads to one account: whoever had it before ``state`` was found to has it no
        more, as far as is known, and is asked for again (``indexer/renewals``)."""
        before = self.repo(state.did)
        self.repos[state.did] = state
        handle = held_handle(state)
        if handle is not None and (before is None or handle != held_handle(before)):
            self._take_from_others(handle, state.did)

    def _take_from_others(self, handle: str, new: str) -> None:
        for did in (*self._holders(handle), self._newest_holder.get(handle, new)):
            state = self.repo(did)
            if did != new and state is not None and held_handle(state) == handle:
                self.set_repo(replace(state, handle_verified=False))
        self._newest_holder[handle] = new

    def put(self, rows: Rows) -> None:
        """Store this version of a record, whatever was there."""
        self.docs[rows.record.doc] = rows.record.did, rows

    def put_invalid(self, row: InvalidRow) -> None:
        """Keep this version of a record aside; whatever was there is not what its author says."""
        self.docs[row.doc] = row.did, replace(row, detail=row.detail[:DETAIL_CHARS])

    def delete(self, did: str, doc: int) -> None:
        """Remove a record of ``did``; harmless if there is none."""
        self.docs[doc] = did, None

    def purge(self, did: str) -> None:
        """Remove every record of ``did``, and what is kept in the quarantine: what is stored, and
        what came earlier in this batch."""
        self.purged.add(did)
        self.quarantine = [(drop, at) for drop, at in self.quarantine if drop.did != did]
        self.docs = {
            doc: (did, None) if of == did else (of, row) for doc, (of, row) in self.docs.items()
        }

    def drop(self, drop: Drop, at: int, *, keep: bool) -> None:
        """Count what is not indexed; ``keep`` puts its bytes in the quarantine, as of ``at``."""
        self.drops[drop.reason] += 1
        if keep:
            short = replace(drop, detail=drop.detail[:DETAIL_CHARS])
            self.quarantine.append((short, at))

    def parked(self) -> set[str]:
        """The DIDs of events in this batch that wait until the directory can be asked."""
        parked = DropReason.IDENTITY_UNAVAILABLE
        return {drop.did for drop, _ in self.quarantine if drop.reason is parked and drop.did}

    def release(self, row: int) -> None:
        """Let go of a row of the quarantine, by its id: it was judged again."""
        self.released.add(row)

    def keep_released(self, id_of: Callable[[Drop], int]) -> None:
        """What was let go of and dropped again, as it was, stays as it is and counts once.
        ``id_of`` gives the row that a drop is kept in."""
        ids = [id_of(drop) for drop, _ in self.quarantine]
        for row, (drop, _) in zip(ids, self.quarantine, strict=True):
            self.drops[drop.reason] -= row in self.released
        self.drops = +self.drops
        pairs = zip(ids, self.quarantine, strict=True)
        self.quarantine = [kept for row, kept in pairs if row not in self.released]
        self.released.difference_update(ids)

    def note(self, key: str, value: str) -> None:
        """Remember ``value`` in the table ``meta``."""
        self.meta[key] = value

    def advance(self, position: Position) -> None:
        """The events of a source up to ``position`` are in this batch, or durable already."""
        self.positions[position.url] = position


def held_handle(state: RepoState) -> str | None:
    """The handle of an account, if it is verified."""
    return state.handle if state.handle_verified else None


def _shown(state: RepoState) -> tuple[bool, str | None, str | None]:
    """What of an account its records are shown with. A handle that is not verified is shown as
    none; whether one was claimed ("") or not (None) decides if the account counts as known."""
    handle = state.handle if state.handle_verified else state.handle and ""
    return state.active, handle, state.pds

"""What a database says of the indexer while no process has it open: the answer to ``status``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from indexer.batch import Position, RepoState, SyncState
from indexer.database import open_database
from indexer.store import Store
from indexer.sweep import SWEEP, SweepState


@dataclass(frozen=True, slots=True)
class RepoCounts:
    """Tracked repos by what is known of them, each in one: ``inactive`` accounts are shown nowhere,
    and of the others each is in one state. ``failing`` are those of the ``new`` and
    ``desynchronized`` that could not be fetched the last time."""

    synced: int
    new: int
    desynchronized: int
    inactive: int
    failing: int


@dataclass(frozen=True, slots=True)
class AtRest:
    """Times are microseconds since 1970. ``open_gaps`` are those since which not everything was
    compared. ``sweep`` is the last one that ended, None before the first; ``healed`` are the repos
    that it adopted, found differing or gone. ``quarantine`` is by reason, ``drops`` are all since
    the file was made, ``invalid`` the records that are kept aside."""

    sources: tuple[Position, ...]
    open_gaps: int
    repos: int
    repos_by_state: RepoCounts
    sweep: SweepState | None
    healed: int
    changes: int
    quarantined: int
    quarantine: Mapping[str, int]
    invalid: int
    drops: Mapping[str, int]


def status(db: Path) -> AtRest:
    """Raises ``StoreError``."""
    with open_database(db, read_only=True) as connection:
        store = Store(connection)
        noted = store.meta(SWEEP)
        sweep = None if noted is None else SweepState(**json.loads(noted))
        return AtRest(
            sources=store.positions,
            open_gaps=sum(gap.healed_at is None for at in store.positions for gap in at.gaps),
            repos=store.repo_count,
            repos_by_state=_counts(store.repos()),
            sweep=sweep,
            healed=0 if sweep is None else sweep.healed,
            changes=store.change,
            quarantined=store.quarantined,
            quarantine=store.quarantine.reasons,
            invalid=store.invalid.rows,
            drops=store.drops,
        )


def _counts(repos: tuple[RepoState, ...]) -> RepoCounts:
    states = Counter(state.sync_state for state in repos if state.active)
    return RepoCounts(
        synced=states[SyncState.SYNCED],
        new=states[SyncState.NEW],
        desynchronized=states[SyncState.DESYNCHRONIZED],
        inactive=len(repos) - states.total(),
        failing=sum(state.wants_resync and state.sync_error is not None for state in repos),
    )

"""What a person asks of an index that no process has open: look, mark, replay, compare, restore.

Rules protected here: nothing is changed but through the one transaction of the store, and what is
marked to be fetched is fetched, verified, by the next run. No file is made by a slip of the pen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from prometheus_client import CollectorRegistry

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.errors import NetworkError, NotFound, StoreError, XrpcError, quote
from atdata.protocol.namespaces import kind_of
from atdata.protocol.syntax import Did
from indexer import recovery, snapshots
from indexer.batch import RepoState, SyncState
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.listing import Lister, lists_nothing
from indexer.machine import microseconds
from indexer.metrics import Metrics
from indexer.processor import Processor
from indexer.proofs import Prover
from indexer.quarantine import Kept
from indexer.recovery import Restored
from indexer.reexamine import Reexamined, reexamine
from indexer.repos import Failed, Fetched, Gone, RepoClient
from indexer.rows import uri_of
from indexer.snapshots import Snapshot
from indexer.store import Store
from indexer.tables import InvalidRow
from indexer.turns import Turns

_AT_ONCE = 200  # frames


@dataclass(frozen=True, slots=True)
class Difference:
    """One record that the index and the account's PDS do not agree on; None: not there. ``uri`` is
    a DID where it is all of a repo: it could not be compared, and ``ours`` says why, or is hidden
    here, and ``theirs`` is the rev that is served. It is a source's URL where its list is not to be
    had, and ``ours`` says why."""

    uri: str
    ours: str | None
    theirs: str | None


def resync(db: Path, did: str) -> RepoState:
    """Have ``did`` fetched by the next run, whether or not it was known. Returns what is known of
    it since. One that a source has hidden stays as it is: its return has it fetched.

    Raises ``InvalidSyntax``, ``StoreError``.
    """
    Did.parse(did)
    with _existing(db) as connection:
        store = Store(connection)
        marked = _to_fetch(store.repo(did) or RepoState(did))
        batch = store.batch()
        batch.set_repo(marked)
        store.apply(batch)
        return marked


def _to_fetch(state: RepoState) -> RepoState:
    """What is hidden only because its PDS did not serve it is asked for again."""
    if state.is_unserved:
        state = replace(state, active=True, status=None)
    if not state.active:
        return state
    new = state.sync_state is SyncState.NEW
    marked = SyncState.NEW if new else SyncState.DESYNCHRONIZED
    return replace(state, sync_state=marked, sync_error=None)


def _existing(db: Path) -> duckdb.DuckDBPyConnection:
    """Open for writing what is there. Raises ``StoreError``."""
    if not db.exists():
        raise StoreError(f"there is no index {quote(str(db), 200)} (--db takes another)")
    return open_database(db)


def snapshot(db: Path) -> Snapshot:
    """Take one now. Raises ``StoreError``."""
    with _existing(db) as connection:
        try:
            return snapshots.take(connection, snapshots.folder_of(db), at=microseconds())
        except OSError as error:
            raise StoreError(
                f"cannot write a snapshot of {quote(str(db), 200)}: {error}"
            ) from error


def restore(db: Path, name: str | None = None) -> Restored:
    """Put the newest good snapshot in the place of the index, or that of this ``name``; what was
    there is set aside. Raises ``NotFound``, ``StoreError``."""
    found = {path.name: path for path in snapshots.paths(snapshots.folder_of(db))}
    if name is not None and name not in found:
        raise NotFound(f"{quote(str(db), 200)} has no snapshot {quote(name)}: {', '.join(found)}")
    chosen = None if name is None else found[name]
    return recovery.restore(db, "a person asked for it", chosen, anew=False)


def quarantined(db: Path, limit: int = 100) -> list[Kept]:
    """The newest of what was dropped, and of the records that are not valid. Raises
    ``StoreError``."""
    with open_database(db, read_only=True) as connection:
        store = Store(connection)
        kept = [*store.quarantine.newest(limit), *map(_kept, store.invalid.newest(limit))]
    return sorted(kept, key=lambda item: item.kept_at, reverse=True)[:limit]


def quarantined_row(db: Path, row: int) -> Kept:
    """The row of that id. Raises ``NotFound``, ``StoreError``."""
    with open_database(db, read_only=True) as connection:
        store = Store(connection)
        found, invalid = store.quarantine.row(row), store.invalid.row(row)
    if found is None and invalid is not None:
        found = _kept(invalid)
    if found is None:
        raise NotFound(f"the quarantine of {quote(str(db))} has no row {row}")
    return found


def _kept(row: InvalidRow) -> Kept:
    """An invalid record as a row of the quarantine; its id is the record's key."""
    frame = row.block or b""
    return Kept(row.doc, row.source, None, row.did, row.reason, row.detail, frame, row.kept_at)


def replay(config: IndexerConfig, row: int | None = None) -> int:
    """Judge one row of the quarantine again, or all of them, invalid records among them. Returns
    how many were let go of. Raises ``NotFound``, ``StoreError``."""
    if row is not None:
        quarantined_row(config.db, row)
    http = HttpClient(Policy(dev=config.dev))
    try:
        with _existing(config.db) as connection, ThreadPoolExecutor(8) as pool:
            store = Store(connection)
            prover = Prover(Resolver(http, plc=config.plc), microseconds)
            metrics = Metrics(CollectorRegistry())
            processor = Processor(store, prover, pool, metrics, Turns(store), longest_pause=0)
            kept = [known for known in store.quarantine.ids() if row in (None, known)]
            valid = reexamine(store, microseconds(), row).valid
            for start in range(0, len(kept), _AT_ONCE):
                processor.reexamine(store.quarantine.rows_of(kept[start : start + _AT_ONCE]))
            still = set(store.quarantine.ids())
            return sum(one not in still for one in kept) + valid
    finally:
        http.close()


def requeue(db: Path) -> Reexamined:
    """Judge all invalid records again, for the models may know more by now; where their bytes are
    not kept their repos are fetched by the next run, those of hidden accounts when they are back.
    ``to_fetch`` are those of the next run. Raises ``StoreError``."""
    with _existing(db) as connection:
        store = Store(connection)
        found = reexamine(store, microseconds())
        return replace(found, to_fetch=tuple(Turns(store).ask_again(found.to_fetch)))


def differences(config: IndexerConfig, dids: tuple[str, ...] = ()) -> list[Difference]:
    """Compare the index with the accounts' PDSes, record by record, those included that are not
    valid: of ``dids``, or of all tracked repos and those that the index's sources list beside them.
    Raises ``NotFound``, ``StoreError``."""
    http = HttpClient(Policy(dev=config.dev))
    try:
        resolver = Resolver(http, plc=config.plc)
        client = RepoClient(http, resolver, microseconds, config.repo_limits)
        with open_database(config.db, read_only=True) as connection:
            store = Store(connection)
            chosen = [_tracked(store, did) for did in dids] if dids else store.repos()
            found = [d for state in chosen for d in _compare(store, client, state)]
            if not dids:
                found += _unknown(config, http, store, client)
            return found
    finally:
        http.close()


def _unknown(
    config: IndexerConfig, http: HttpClient, store: Store, client: RepoClient
) -> Iterator[Difference]:
    """The records of repos that are listed, and not tracked."""
    seen: set[str] = set()
    for position in store.positions:
        origin = "http" + position.url.removeprefix("ws")
        try:
            for page in Lister(http, config.list_repos).pages(position.url):
                for item in page:
                    if store.is_tracked(item.did) or item.did in seen:
                        continue
                    seen.add(item.did)
                    if not item.collections:
                        time.sleep(1 / config.sweep_per_second)
                    if item.collections or client.holds_collections(item.did, origin):
                        yield from _compare(store, client, RepoState(item.did))
        except (NetworkError, XrpcError) as error:
            if not lists_nothing(error):
                yield Difference(position.url, f"it is not listed: {error}", None)


def _tracked(store: Store, did: str) -> RepoState:
    state = store.repo(Did.parse(did))
    if state is None:
        raise NotFound(f"the index has no repo {quote(did)} (atdata index resync adds one)")
    return state


def _compare(store: Store, client: RepoClient, state: RepoState) -> list[Difference]:
    identity = client.locate(state.did)
    answer = identity if isinstance(identity, Failed) else client.fetch(identity)
    match answer:
        case Failed():
            return [Difference(state.did, answer.why, None)]
        case Gone():
            missed = state.active and store.is_tracked(state.did)
            return [Difference(state.did, answer.error, None)] if missed else []
        case Fetched() if not state.active:
            hidden = f"hidden ({state.status or 'inactive'})"
            return [Difference(state.did, hidden, f"rev {answer.repo.rev}")]
        case Fetched():
            ours = store.documents_by_uri(state.did)
            theirs = {
                uri_of(state.did, *path.split("/", 1)): str(cid)
                for path, cid in answer.repo.records.items()
                if kind_of(path.partition("/")[0]) is not None
            }
    return [
        Difference(uri, ours.get(uri), theirs.get(uri))
        for uri in sorted(ours.keys() | theirs.keys())
        if ours.get(uri) != theirs.get(uri)
    ]

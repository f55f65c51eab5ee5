"""The one transaction per batch that writes the index.

Rules protected here: invariant 1 (rows, per-repo state and the sources' cursors in one transaction;
what is in memory changes only after it), and batched delete + insert, as docs/invariants.md says of
DuckDB. The file itself is opened in ``indexer/database``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from atdata.protocol.errors import StoreError, quote
from atdata.protocol.keys import key_of
from indexer import arrow
from indexer.batch import Batch, Gap, Position, RepoState, SyncState
from indexer.change_log import KEPT, ChangeLog
from indexer.drops import DropReason
from indexer.holders import Holders
from indexer.invalid import InvalidRecords
from indexer.quarantine import Quarantine, QuarantineLimits
from indexer.queues import Depths, Queue
from indexer.replacement import Stored
from indexer.room import LEAST, Room
from indexer.statements import delete, insert, with_keys
from indexer.tables import Detail, Rows
from indexer.tracked import Tracked

DEFAULT_LIMITS = QuarantineLimits()

# Every table that holds rows of one record, by its kind; `records` itself last.
_TABLES_OF_KIND = {
    "dataset": ("datasets", "dataset_tags"),
    "schema": ("schemas", "schema_fields"),
    "lens": ("lenses",),
    "label": ("labels",),
    "lensVerification": ("lens_verifications",),
}


def _unheard(batch: Batch, changes: int) -> None:
    """Nobody counts."""


class Store:
    """The only writer. Repo states, cursors and counters are also held in memory, as stored.

    Use from one thread at a time; it works on its own cursor of ``connection``. ``on_applied`` is
    told of every batch that is durable, and how many changes it made. Nothing is written where less
    than ``free_bytes`` of the file's disk are free. ``changes_kept``: see ``indexer/change_log``.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        *,
        limits: QuarantineLimits = DEFAULT_LIMITS,
        free_bytes: int = LEAST,
        changes_kept: int = KEPT,
        on_applied: Callable[[Batch, int], None] = _unheard,
    ) -> None:
        self._cursor, self._on_applied = connection.cursor(), on_applied
        self._broken: str | None = None
        with self._naming_errors("read"):
            self._repos = {state.did: state for state in self._load_repos()}
            self.tracked = Tracked(did.encode() for did in self._repos)
            """The DIDs of tracked repos as ASCII, and of those with parked events, for the screens;
            grows as repos are stored."""
            self._holders = Holders(self._repos.values())
            self._positions = {position.url: position for position in self._load_positions()}
            self._drops = Counter(dict(self._fetch("SELECT reason, count FROM drops")))
            self._meta: dict[str, str] = dict(self._fetch("SELECT key, value FROM meta"))
            self._log = ChangeLog(self._cursor, changes_kept)
            self._room = self._room_of_file(free_bytes)
            self._quarantine = Quarantine(self._cursor, limits)
            self._invalid = InvalidRecords(self._cursor, limits.invalid_bytes)
            self.tracked.expect(did.encode() for did in self._quarantine.parked())

    # --- what is stored -----------------------------------------------------------------------

    def repo(self, did: str) -> RepoState | None:
        """A tracked repo, or None."""
        return self._repos.get(did)

    def is_tracked(self, did: str) -> bool:
        """Whether the repo has, or had, records here."""
        return did in self._repos

    def position(self, url: str) -> Position | None:
        """How far a source is durably consumed; None for one that is new."""
        return self._positions.get(url)

    @property
    def positions(self) -> tuple[Position, ...]:
        return tuple(self._positions.values())

    def repos(self) -> tuple[RepoState, ...]:
        """Every tracked repo."""
        return tuple(self._repos.values())

    def meta(self, key: str) -> str | None:
        """What was noted under ``key``."""
        return self._meta.get(key)

    def documents(self, did: str) -> Stored:
        """The records of ``did`` that are stored."""
        query = "SELECT doc, cid FROM records WHERE repo = ?"
        with self._naming_errors("read"):
            valid = dict(self._cursor.execute(query, [key_of(did)]).fetchall())
            return Stored(valid, {doc: cid for doc, _, cid in self._invalid.of_repo(did)})

    @property
    def drops(self) -> dict[str, int]:
        """How many frames, ops and records were not indexed, by reason, since the file was made."""
        return dict(self._drops)

    @property
    def repo_count(self) -> int:
        return len(self._repos)

    @property
    def change(self) -> int:
        """The last change seq."""
        return self._log.last

    @property
    def quarantined(self) -> int:
        """How many drops and invalid records are held with their bytes."""
        return self._quarantine.rows + self._invalid.rows

    @property
    def depths(self) -> Depths:
        """What is kept to be looked at again. From any thread."""
        return {
            Queue.QUARANTINE: self._quarantine.rows,
            Queue.QUARANTINE_BYTES: self._quarantine.bytes,
            Queue.INVALID: self._invalid.rows,
            Queue.INVALID_BYTES: self._invalid.bytes,
        }

    @property
    def quarantine(self) -> Quarantine:
        """What was dropped, with its bytes."""
        return self._quarantine

    @property
    def invalid(self) -> InvalidRecords:
        """The records that are not valid."""
        return self._invalid

    def documents_by_uri(self, did: str) -> dict[str, str]:
        """URI → CID of the records of ``did`` that are stored, whether or not they are valid."""
        query = "SELECT uri, cid FROM records WHERE repo = ?"
        valid = dict(self._cursor.execute(query, [key_of(did)]).fetchall())
        return valid | {f"at://{did}/{path}": cid for _, path, cid in self._invalid.of_repo(did)}

    def batch(self) -> Batch:
        """An empty batch over what is stored now."""
        return Batch(self.repo, self._holders.of)

    def close(self) -> None:
        self._cursor.close()

    # --- the transaction ----------------------------------------------------------------------

    def apply(self, batch: Batch) -> int:
        """Write all of ``batch`` or nothing. Returns how many changes were appended.

        Raises ``StoreError``; then nothing of the batch is stored, the cursors are where they were,
        and the store refuses further batches: the process must start anew.
        """
        if self._broken is not None:
            raise StoreError(f"the index cannot be written since: {self._broken}")
        if self._room is not None and (shortage := self._room.shortage()) is not None:
            self._broken = shortage
            raise StoreError(f"cannot write the index: {shortage}")
        with self._naming_errors("write"):
            self._log.shorten()
            self._cursor.execute("BEGIN")
            changes = self._write_documents(batch)
            self._log.append(changes)
            self._write_repos(batch)
            self._write_positions(batch)
            self._write_drops(batch)
            self._write_meta(batch)
            kept = self._quarantine.write(batch.quarantine, batch.released, batch.purged)
            self._cursor.execute("COMMIT")
        for did, state in batch.repos.items():
            self._holders.follow(self._repos.get(did), state)
            self._repos[did] = state
        self.tracked.update(did.encode() for did in batch.repos)
        self.tracked.expect(did.encode() for did in batch.parked())
        self._positions.update(batch.positions)
        self._drops.update({str(reason): count for reason, count in batch.drops.items()})
        self._meta.update(batch.meta)
        self._log.committed(len(changes))
        self._quarantine.committed(kept)
        self._invalid.committed()
        self._on_applied(batch, len(changes))
        return len(changes)

    @contextmanager
    def _naming_errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._broken = quote(str(error), 400)
            self._roll_back()
            if isinstance(error, duckdb.Error):
                raise StoreError(f"cannot {action} the index: {self._broken}") from error
            raise

    def _roll_back(self) -> None:
        try:
            self._cursor.execute("ROLLBACK")
        except duckdb.Error as error:
            # No transaction is open, or the database is invalid as a whole: nothing to undo.
            self._broken = f"{self._broken}; rollback: {quote(str(error), 200)}"

    def _write_documents(self, batch: Batch) -> list[tuple[int, str]]:
        """Replace the rows of every touched record. Returns the changes, in order."""
        if not batch.docs and not batch.purged and not batch.visibility:
            return []
        stored, taken = self._stored_documents(batch)
        if taken:
            batch.drops[DropReason.KEY_COLLISION] += len(taken)
        found = (rows for _, rows in batch.docs.values() if isinstance(rows, Rows))
        puts = [rows for rows in found if rows.record.doc not in taken]
        for kind in sorted(set(stored.values())):
            docs = [doc for doc, its_kind in stored.items() if its_kind == kind]
            for table in (*_TABLES_OF_KIND[kind], "records"):
                delete(self._cursor, table, "doc", docs)
        self._insert_rows(puts)
        self._invalid.write(batch, taken)
        changes = {rows.record.doc: "put" for rows in puts}
        changes.update({doc: "delete" for doc in sorted(stored) if doc not in changes})
        for doc in self._documents_of(batch.visibility):
            changes.setdefault(doc, "visibility")
        return list(changes.items())

    def _stored_documents(self, batch: Batch) -> tuple[dict[int, str], set[int]]:
        """doc → kind of the stored records that ``batch`` touches; and the docs that it must not,
        since they are another account's: 63 bits of a hash can be searched for."""
        rows: list[tuple[int, str, str]] = []
        if batch.docs:
            query = "SELECT doc, kind, did FROM records WHERE doc IN {keys}"
            rows += with_keys(self._cursor, query, batch.docs)
        taken = {doc for doc, _, did in rows if batch.docs[doc][0] != did}
        if batch.purged:
            query = "SELECT doc, kind, did FROM records WHERE repo IN {keys}"
            found = with_keys(self._cursor, query, {key_of(did) for did in batch.purged})
            rows += [row for row in found if row[2] in batch.purged]
        return {doc: kind for doc, kind, _ in rows if doc not in taken}, taken

    def _documents_of(self, dids: set[str]) -> list[int]:
        if not dids:
            return []
        query = "SELECT doc FROM records WHERE repo IN {keys} ORDER BY doc"
        return [doc for (doc,) in with_keys(self._cursor, query, {key_of(did) for did in dids})]

    def _insert_rows(self, puts: Sequence[Rows]) -> None:
        insert(self._cursor, "records", [rows.record for rows in puts])
        details: dict[type[Detail], list[Detail]] = {}
        for rows in puts:
            details.setdefault(type(rows.detail), []).append(rows.detail)
        for kind, items in details.items():
            insert(self._cursor, arrow.DETAIL_TABLES[kind], items)
        insert(self._cursor, "dataset_tags", [tag for rows in puts for tag in rows.tags])
        insert(self._cursor, "schema_fields", [field for rows in puts for field in rows.fields])

    def _write_repos(self, batch: Batch) -> None:
        self._replace("repos", "repo", [arrow.repo_row(state) for state in batch.repos.values()])

    def _write_positions(self, batch: Batch) -> None:
        moved = [p for p in batch.positions.values() if p != self._positions.get(p.url)]
        self._replace("sources", "source", [arrow.source_row(position) for position in moved])

    def _write_drops(self, batch: Batch) -> None:
        totals = [
            arrow.DropRow(str(reason), self._drops[str(reason)] + count)
            for reason, count in batch.drops.items()
        ]
        self._replace_named("drops", "reason", totals)

    def _write_meta(self, batch: Batch) -> None:
        self._replace_named("meta", "key", [arrow.MetaRow(*pair) for pair in batch.meta.items()])

    # --- SQL ----------------------------------------------------------------------------------

    def _replace(self, table: str, key: str, rows: Sequence[Any]) -> None:
        delete(self._cursor, table, key, [getattr(row, key) for row in rows])
        insert(self._cursor, table, rows)

    def _replace_named(self, table: str, key: str, rows: Sequence[Any]) -> None:
        """A few rows of a table whose key is text."""
        if rows:
            names = [getattr(row, key) for row in rows]
            marks = ", ".join("?" * len(names))
            self._cursor.execute(f"DELETE FROM {table} WHERE {key} IN ({marks})", names)  # noqa: S608
            insert(self._cursor, table, rows)

    def _fetch(self, query: str) -> list[Any]:
        return self._cursor.execute(query).fetchall()

    def _scalar(self, query: str) -> int:
        (row,) = self._fetch(query)
        return int(row[0])

    def _room_of_file(self, free_bytes: int) -> Room | None:
        """None for a database in memory."""
        query = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
        ((path,),) = self._fetch(query)
        return None if path is None else Room(Path(path).parent, free_bytes)

    def _load_repos(self) -> Iterator[RepoState]:
        names = [
            "did",
            "handle",
            "handle_verified",
            "pds",
            "active",
            "status",
            "rev",
            "data_cid",
            "sync_error",
        ]
        rows = self._fetch(f"SELECT account_seq, sync_state, {', '.join(names)} FROM repos")  # noqa: S608
        for account_seq, sync_state, *rest in rows:
            yield RepoState(
                **dict(zip(names, rest, strict=True)),
                account_seq=json.loads(account_seq),
                sync_state=SyncState(sync_state),
            )

    def _load_positions(self) -> Iterator[Position]:
        rows = self._fetch(
            "SELECT url, cursor, epoch_us(event_time), epoch_us(seen_at), gaps, halted_because "
            "FROM sources"
        )
        for url, cursor, event_time, seen_at, gaps, halted_because in rows:
            found = tuple(Gap(**gap) for gap in json.loads(gaps))
            yield Position(url, cursor, event_time, seen_at, found, halted_because)

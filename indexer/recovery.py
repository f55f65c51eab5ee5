"""What is done about an index that can't be read: set aside, never deleted; restored, never empty
in silence.

Rules protected here: only a file that is damaged is touched, not one that is somebody's, newer or
not ours; the new file is complete before it takes the name; what was restored resumes from its own
cursors, has everything listed again, and says so (``meta``, the log).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import structlog

from atdata.protocol.errors import StoreError, quote
from indexer import arrow, database, snapshots
from indexer.database import DamagedFile
from indexer.snapshots import DamagedSnapshot, Snapshot
from indexer.sweep import LISTED

RESTORED = "restored"  # in meta

_MEMORY = "512MB"  # of DuckDB, while tables are filled

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """Times are microseconds since 1970; ``snapshot_at`` is None where the index began anew.
    ``set_aside`` is the name of the file that was there, None if there was none."""

    at: int
    why: str
    snapshot_at: int | None
    set_aside: str | None


def open_or_restore(
    path: Path, *, memory_limit: str = "1GB", threads: int = 2, suspect: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open the index at ``path`` for writing and read it through. If it is damaged, missing beside
    its snapshots, or older than they are, restore it first. A ``suspect`` file, one that failed
    while it was written, is copied row by row into a new one, if its rows can still be read.

    Raises ``StoreError`` if the file is not ours to restore, or no new one can be made.
    """
    why = _missing(path)
    if why is None:
        try:
            connection = database.open_database(path, memory_limit=memory_limit, threads=threads)
        except DamagedFile as error:
            why = str(error)
        else:
            try:
                why = _fault_of(connection, path, memory_limit, suspect=suspect)
            except BaseException:
                connection.close()
                raise
            if why is None:
                return connection
            connection.close()
    restore(path, why)
    return database.open_database(path, memory_limit=memory_limit, threads=threads)


def restore(path: Path, why: str, chosen: Path | None = None, *, anew: bool = True) -> Restored:
    """Set aside what is at ``path``, and put the newest good snapshot (or ``chosen``) there; where
    there is no good one, a new, empty index, unless ``anew`` is false.

    Raises ``StoreError``, ``DamagedSnapshot`` if ``chosen`` is not good; then nothing was moved.
    """
    log.error("index restored", stage="begins", db=str(path), why=why)
    with _alone(path):
        made, snapshot = _made_from(path, chosen)
        if snapshot is None and not anew:
            made.unlink()
            raise StoreError(f"the index {quote(str(path), 200)} has no good snapshot")
        at = time.time_ns() // 1_000
        aside = _free_name(path, at)
        found = Restored(
            at,
            why[:500],
            None if snapshot is None else snapshot.manifest.taken_at,
            aside.name if path.exists() else None,
        )
        try:
            _note(made, found)
            _replace(path, made, aside)
        except (OSError, duckdb.Error) as error:
            raise StoreError(f"cannot restore {quote(str(path), 200)}: {error}") from error
    if snapshot is None:
        log.error("index begins anew: there is no good snapshot", db=str(path), aside=aside.name)
    else:
        log.error(
            "index restored",
            stage="done",
            db=str(path),
            snapshot=snapshot.path.name,
            cursors=dict(snapshot.manifest.cursors),
            aside=aside.name,
        )
    return found


# --- is it whole? -----------------------------------------------------------------------------


def _missing(path: Path) -> str | None:
    """Why there is nothing to open, although there was; None if there is, or never was."""
    if path.exists():
        return None
    if snapshots.paths(snapshots.folder_of(path)):
        return "the file is missing, but has snapshots (remove them, too, to begin anew)"
    if _beside(path, ".broken-"):
        return "the file is missing; one that was damaged is there"
    if _beside(path, ".wal"):
        return "the file is missing; its write-ahead log is there"
    return None


def _beside(path: Path, suffix: str) -> list[Path]:
    """Files whose names begin with that of ``path`` and ``suffix``."""
    if not path.parent.is_dir():
        return []
    return sorted(p for p in path.parent.iterdir() if p.name.startswith(path.name + suffix))


def _fault_of(
    connection: duckdb.DuckDBPyConnection, path: Path, memory_limit: str, *, suspect: bool
) -> str | None:
    """Why the file at ``path`` must be replaced, None if it is good. Where it still gives all of
    its rows, they are a snapshot then. Raises ``StoreError``."""
    try:
        if (lost := _older_than_snapshot(connection, path)) is not None:
            return lost
        database.verify(connection, path, memory_limit)
        why = "it failed while it was written" if suspect else None
    except DamagedFile as error:
        why = str(error)
    if why is not None:
        _copy_rows(connection, path)
    return why


def _older_than_snapshot(connection: duckdb.DuckDBPyConnection, path: Path) -> str | None:
    """A log that is lost or cut short is replayed as far as it goes, without a word."""
    kept = snapshots.newest(snapshots.folder_of(path))
    if kept is None:
        return None
    cursor = connection.cursor()
    try:
        meta = dict(cursor.execute("SELECT key, value FROM meta").fetchall())
        ((changes,),) = cursor.execute("SELECT coalesce(max(seq), 0) FROM changes").fetchall()
        cursors = dict(cursor.execute("SELECT url, cursor FROM sources").fetchall())
    except duckdb.Error as error:
        raise database.failure(path, error) from error
    finally:
        cursor.close()
    is_empty = not changes and not cursors and RESTORED not in meta
    if meta.get(database.FILE_ID) != kept.manifest.file_id and not is_empty:
        return None  # it was restored since, from an older one
    behind = changes < kept.manifest.changes or any(
        cursors.get(url, -1) < cursor for url, cursor in kept.manifest.cursors.items()
    )
    return f"it has lost what snapshot {kept.path.name} still has" if behind else None


def _copy_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """What can still be read makes a snapshot, the newest; reading all rows needs no key."""
    folder, at = snapshots.folder_of(path), time.time_ns() // 1_000
    try:
        snapshots.take(connection, folder, at=at, keep=snapshots.KEPT + 1)
    except OSError as error:
        raise StoreError(f"cannot copy the index {quote(str(path), 200)}: {error}") from error
    except StoreError as error:
        log.warning("index can't be copied", db=str(path), why=str(error))


# --- making another ---------------------------------------------------------------------------


def _made_from(path: Path, chosen: Path | None) -> tuple[Path, Snapshot | None]:
    """A closed file beside ``path``, and the snapshot that it was made from."""
    folder = snapshots.folder_of(path)
    for candidate in [chosen] if chosen is not None else snapshots.paths(folder):
        try:
            snapshot = snapshots.opened(candidate)
            snapshots.check(snapshot)
            return _filled(path, snapshot), snapshot
        except DamagedSnapshot as error:
            if chosen is not None:
                raise
            log.error("snapshot is no good", snapshot=candidate.name, why=str(error))
            candidate.rename(candidate.with_name(f"{candidate.name}.bad"))
    return _filled(path, None), None


def _filled(path: Path, snapshot: Snapshot | None) -> Path:
    made = path.with_name(path.name + ".restoring")
    try:
        for left in (made, made.with_name(made.name + ".wal")):
            left.unlink(missing_ok=True)
        if snapshot is not None:
            with database.connect(made, memory_limit=_MEMORY) as connection:
                _fill(connection, snapshot)
        # Which brings forward what is older.
        database.open_database(made, has_snapshot=snapshot is not None).close()
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"cannot make {quote(str(made), 200)}: {quote(error, 400)}") from error
    return made


def _fill(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    tables = snapshot.manifest.tables
    connection.execute("BEGIN")
    for table in tables:
        connection.execute(table.sql)
    connection.execute("COMMIT")
    connection.execute("CHECKPOINT")
    for table in tables:
        try:
            with (
                snapshots.reading(snapshot, table) as rows,
                arrow.registered(connection, "incoming", rows),
            ):
                connection.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM incoming")  # noqa: S608
        except duckdb.ConstraintException as error:
            raise DamagedSnapshot(f"{table.name}: {quote(error, 300)}") from error
        ((found,),) = connection.execute(f"SELECT count(*) FROM {table.name}").fetchall()  # noqa: S608
        if found != table.rows:
            raise DamagedSnapshot(f"{table.name}: {found} of {table.rows} rows came back")
    connection.execute("CHECKPOINT")


def _note(made: Path, restored: Restored) -> None:
    """It is another file now, with a change that no file had: an index that was derived from later
    changes finds that it can't go on. Every source is listed again, at once."""
    with database.connect(made) as connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM meta WHERE key = ?", [database.FILE_ID])
        connection.execute("DELETE FROM meta WHERE starts_with(key, ?)", [LISTED])
        connection.execute("DELETE FROM meta WHERE key = ?", [RESTORED])
        text = json.dumps(asdict(restored))
        connection.execute("INSERT INTO meta VALUES (?, ?)", [RESTORED, text])
        if restored.snapshot_at is not None:
            mark = int.from_bytes(os.urandom(8), "big") >> 1
            connection.execute(
                "INSERT INTO changes SELECT coalesce(max(seq), 0) + 1, ?, 'delete' FROM changes",
                [mark],
            )
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
    database.open_database(made).close()


def _replace(path: Path, made: Path, aside: Path) -> None:
    """The file first, then its logs, then the new file: whenever this is cut off, either the old
    file is in its place, or none is, and the snapshots (or what was set aside) tell of it."""
    snapshots.sync(made)
    if path.exists():
        path.rename(aside)
    for left in _beside(path, ".wal"):
        left.rename(aside.with_name(aside.name + left.name.removeprefix(path.name)))
    snapshots.sync(path.parent)
    made.rename(path)
    snapshots.sync(path.parent)


def _free_name(path: Path, at: int) -> Path:
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(at / 1e6))
    names = (
        f"{path.name}.broken-{moment}{suffix}" for suffix in ("", *map("-{}".format, range(1, 100)))
    )
    return next(p for p in map(path.with_name, names) if not p.exists())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """DuckDB's own lock on the file, which this process does not have open."""
    if not path.exists():
        yield
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                f"cannot restore {quote(str(path), 200)}: another process has it open"
            ) from error
        if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            raise StoreError(f"{quote(str(path), 200)} was replaced meanwhile: start again")
        yield

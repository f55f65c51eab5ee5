"""Snapshots of the index: one Parquet file per table, from one transaction, proven on disk.

Rules protected here: a folder is a snapshot only when it was written, synced, read back, counted
and then renamed; its name vouches for the manifest, which vouches for every file. Memory is bounded
by a few thousand rows, and no statement leaves the database file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb

from atdata.protocol.errors import StoreError, quote
from indexer.room import Room
from indexer.slices import rows_at_once, slices

# Its compiled names are invisible to a type checker.
pa: Any = import_module("pyarrow")
pq: Any = import_module("pyarrow.parquet")

MANIFEST = "manifest.json"
VERSION = 1  # of the manifest
KEPT = 3

_MAX_MANIFEST = 1_000_000
_NAME = re.compile(r"(\d{6,12})-([0-9a-f]{32})")
_TABLE = re.compile(r"[a-z_]{1,64}")
_WRITING = ".writing"


class DamagedSnapshot(StoreError):
    """A snapshot is not what it was when it was written."""


class Abandoned(Exception):
    """Nobody wants the snapshot any more."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """One table: its DDL, and its rows in ``<name>.parquet`` of ``bytes`` bytes."""

    name: str
    sql: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``taken_at`` is microseconds since 1970. ``file_id`` is that of the database file,
    ``changes`` its last change seq, ``cursors`` those of its sources by URL."""

    taken_at: int
    schema_version: int
    file_id: str
    changes: int
    cursors: Mapping[str, int]
    tables: tuple[TableFile, ...]
    version: int = VERSION

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder that is complete by its name; ``manifest`` is checked, the tables are not."""

    path: Path
    manifest: Manifest


def folder_of(db: Path) -> Path:
    """Where the snapshots of the index at ``db`` are."""
    return db.with_name(db.name + ".snapshots")


def paths(folder: Path) -> list[Path]:
    """The folders of all snapshots, the newest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), key=_number)[::-1]


def newest(folder: Path) -> Snapshot | None:
    """The newest one whose manifest is whole, and of a version that we know."""
    for path in paths(folder):
        try:
            return opened(path)
        except StoreError:
            continue
    return None


def opened(path: Path) -> Snapshot:
    """The snapshot at ``path``, by its manifest alone. Raises ``DamagedSnapshot``, ``StoreError``
    for one of a later version."""
    try:
        with (path / MANIFEST).open("rb") as file:
            raw = file.read(_MAX_MANIFEST)
        if not path.name.endswith(_digest(raw)):
            raise DamagedSnapshot(f"snapshot {quote(path.name)}: its manifest was changed")
        return Snapshot(path, _parse(raw))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedSnapshot(f"snapshot {quote(path.name)}: {quote(error, 300)}") from error


def check(snapshot: Snapshot, abandoned: threading.Event | None = None) -> None:
    """Read every file to its end, and count. Raises ``DamagedSnapshot``, ``Abandoned``."""
    for table in snapshot.manifest.tables:
        where = f"snapshot {quote(snapshot.path.name)}, table {table.name}"
        try:
            with _file(snapshot.path, table.name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != table.sha256:
                raise DamagedSnapshot(f"{where}: its bytes hash to {digest}, not {table.sha256}")
            found = 0
            with reading(snapshot, table) as reader:
                for batch in reader:
                    found += batch.num_rows
                    if abandoned is not None and abandoned.is_set():
                        raise Abandoned
        except (OSError, ValueError) as error:  # what pyarrow raises is one of these
            raise DamagedSnapshot(f"{where}: {quote(error, 300)}") from error
        if found != table.rows:
            raise DamagedSnapshot(f"{where}: {found} rows, not {table.rows}")


@contextmanager
def reading(snapshot: Snapshot, table: TableFile) -> Iterator[Any]:
    """The rows of ``table`` as a reader of Arrow record batches, for the time of the block."""
    with pq.ParquetFile(_file(snapshot.path, table.name)) as file:
        groups = (file.metadata.row_group(at) for at in range(file.metadata.num_row_groups))
        # No more at a time than were written at a time.
        rows = max((group.num_rows for group in groups), default=1)
        batches = file.iter_batches(rows, use_threads=False)
        with pa.RecordBatchReader.from_batches(file.schema_arrow, batches) as reader:
            yield reader


def take(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    *,
    at: int,
    keep: int = KEPT,
    spare: int = 0,
    abandoned: threading.Event | None = None,
) -> Snapshot:
    """Write what ``connection`` holds now into ``folder``, as of ``at`` (microseconds since 1970),
    and remove all but the newest ``keep``. Others may write through the same database meanwhile:
    for them ``spare`` bytes of the disk are left free.

    Raises ``StoreError`` if the database can't be read, ``OSError`` if the files can't be written,
    ``DamagedSnapshot`` if they do not come back as they were written, and ``Abandoned`` soon after
    the event of that name was set.
    """
    folder.mkdir(exist_ok=True)
    for left in folder.glob(_WRITING + "*"):
        shutil.rmtree(left)
    writing = folder / f"{_WRITING}-{os.getpid()}"
    writing.mkdir()
    cursor = connection.cursor()
    try:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        going_on = _GoingOn(Room(folder, spare), abandoned or threading.Event())
        manifest = _write_tables(cursor, writing, at, going_on)
        cursor.execute("COMMIT")
        name = _write_manifest(manifest, writing, folder)
        check(Snapshot(writing, manifest), abandoned)
        made = Snapshot(writing.rename(folder / name), manifest)
    except duckdb.Error as error:
        raise StoreError(f"cannot read the index for a snapshot: {quote(error, 400)}") from error
    finally:
        cursor.close()
        shutil.rmtree(writing, ignore_errors=True)
    sync(folder)
    for old in paths(folder)[max(1, keep) :]:
        shutil.rmtree(old, ignore_errors=True)
    return made


@dataclass(frozen=True, slots=True)
class _GoingOn:
    """Whether a snapshot in the making is still wanted, and has room for more."""

    room: Room
    abandoned: threading.Event

    def check(self, size: int) -> None:
        """Of ``size`` bytes. Raises ``Abandoned``, ``OSError``."""
        if self.abandoned.is_set():
            raise Abandoned
        self.room.demand(size)


def sync(path: Path) -> None:
    """What was written to a file, or which names a folder has, survives a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- writing ----------------------------------------------------------------------------------


def _write_tables(
    cursor: duckdb.DuckDBPyConnection, into: Path, at: int, going_on: _GoingOn
) -> Manifest:
    ddl = cursor.execute("SELECT table_name, sql FROM duckdb_tables() ORDER BY table_name")
    meta: dict[str, str] = {}
    tables = [_write_table(cursor, name, sql, into, going_on) for name, sql in ddl.fetchall()]
    meta.update(cursor.execute("SELECT key, value FROM meta").fetchall())
    return Manifest(
        taken_at=at,
        schema_version=int(meta["schema_version"]),
        file_id=meta.get("file_id", ""),
        changes=_scalar(cursor, "SELECT coalesce(max(seq), 0) FROM changes"),
        cursors=dict(cursor.execute("SELECT url, cursor FROM sources ORDER BY url").fetchall()),
        tables=tuple(tables),
    )


def _write_table(
    cursor: duckdb.DuckDBPyConnection, name: str, sql: str, into: Path, going_on: _GoingOn
) -> TableFile:
    """Table names are ours, so that they may stand in the statement."""
    rows = _scalar(cursor, f"SELECT count(*) FROM {name}")  # noqa: S608
    path = _file(into, name)
    options = {"compression": "zstd", "compression_level": 1}
    with pq.ParquetWriter(path, _schema(cursor, name), **options) as writer:
        for batch in _batches(cursor, name):
            going_on.check(batch.nbytes)
            writer.write_batch(batch)
    sync(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return TableFile(name, sql, rows, path.stat().st_size, digest)


def _schema(cursor: duckdb.DuckDBPyConnection, name: str) -> Any:
    """Of Arrow, of a table."""
    with cursor.execute(f"SELECT * FROM {name} LIMIT 0").to_arrow_reader() as reader:  # noqa: S608
        return reader.schema


def _batches(cursor: duckdb.DuckDBPyConnection, name: str) -> Iterator[Any]:
    """The rows of a table, some at a time. What DuckDB says in the midst of a result comes as an
    error of Arrow, or of the system."""
    rows = rows_at_once(cursor, name)
    try:
        for within in tuple(slices(cursor, name)):
            query = f"SELECT * FROM {name} WHERE {within}"  # noqa: S608
            # Closed by name: a reader that is left to itself keeps the whole database open.
            with cursor.execute(query).to_arrow_reader(rows) as reader:
                yield from reader
    except (OSError, pa.ArrowException) as error:
        raise duckdb.OperationalError(str(error)) from error


def _write_manifest(manifest: Manifest, into: Path, folder: Path) -> str:
    """Returns the name that the snapshot shall have."""
    raw = json.dumps(asdict(manifest), indent=1).encode()
    (into / MANIFEST).write_bytes(raw)
    sync(into / MANIFEST)
    sync(into)
    number = max(map(_number, paths(folder)), default=0) + 1
    return f"{number:06}-{_digest(raw)}"


def _scalar(cursor: duckdb.DuckDBPyConnection, query: str) -> int:
    ((value,),) = cursor.execute(query).fetchall()
    return int(value)


# --- names and manifests ----------------------------------------------------------------------


def _parse(raw: bytes) -> Manifest:
    found = json.loads(raw)
    if found["version"] != VERSION:
        raise StoreError(f"a snapshot of version {quote(found['version'])}: use the newer program")
    tables = tuple(TableFile(**table) for table in found.pop("tables"))
    for table in tables:
        if not re.fullmatch(r"[a-z_]{1,64}", table.name) or not table.sql.startswith(
            "CREATE TABLE"
        ):
            raise ValueError(f"{quote(table.name)} is no table of an index")
    return Manifest(**found, tables=tables)


def _digest(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:32]


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _file(folder: Path, table: str) -> Path:
    return folder / f"{table}.parquet"

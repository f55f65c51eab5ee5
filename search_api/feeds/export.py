"""The whole index as files: a table for each kind of record, as Parquet and as JSON lines.

Rule: all files come from one transaction, row by row into both formats, so that they say the same
and memory is bounded. They are good until something was deleted or hidden: then they are gone, and
the next who asks has them made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from atdata.protocol.errors import StoreError, XrpcError, quote
from search_api.corpus import last_change
from search_api.database import Database, Session
from search_api.feeds.export_tables import TABLES

pa: Any = import_module("pyarrow")
pq: Any = import_module("pyarrow.parquet")

ROWS = 1_000  # at a time in memory
SECONDS = 600.0  # to read the database
MAX_AGE = 3_600.0  # seconds that files are given out, if nothing was removed meanwhile
PAUSE = 60.0  # seconds between one making and the next
MEDIA_TYPES = {"parquet": "application/vnd.apache.parquet", "jsonl": "application/jsonl"}


@dataclass(frozen=True, slots=True)
class ExportFile:
    """``rows`` and ``bytes`` are its size, ``sha256`` is over its bytes, in hexadecimal."""

    name: str
    media_type: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Export:
    """Everything visible after the change ``seq``."""

    seq: int
    files: tuple[ExportFile, ...]


class Exporter:
    """Makes the files when somebody asks, one set at a time, and keeps the newest in ``folder``,
    which is its own. ``clock`` gives seconds that only rise."""

    def __init__(
        self, database: Database, folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._folder, self._clock = database, folder, clock
        self._making = threading.Lock()
        self._newest: tuple[Export, float] | None = None
        self._made_at = -PAUSE

    def current(self) -> Export:
        """The newest files, made now if there are none that may be given out.

        Raises ``XrpcError`` 503 with a time to wait, if they are being made, or were just now.
        """
        if (found := self._good()) is not None:
            return found
        with self._turn():
            return self._good() or self._make()

    def path(self, seq: int, name: str) -> tuple[Path, ExportFile]:
        """A file of the export at ``seq``. Raises ``XrpcError`` 410 if that is not the current one
        any more, 404 if it never had such a file."""
        export = self._good()
        if export is None or export.seq != seq:
            raise XrpcError(410, "Gone", "these files are not current any more: ask /export again")
        for file in export.files:
            if file.name == name:
                return self._place(seq) / name, file
        raise XrpcError(404, "NotFound", "there is no such file")

    def _good(self) -> Export | None:
        """The newest, if it is neither old nor shows what was removed since."""
        newest = self._newest
        if newest is None or self._clock() - newest[1] > MAX_AGE:
            return None
        with self._database.session() as session:
            row = session.row(
                "SELECT 1 FROM changes WHERE seq > ? AND action <> 'put' LIMIT 1", [newest[0].seq]
            )
        return newest[0] if row is None else None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._making.acquire(blocking=False):
            raise _busy(10.0)
        try:
            wait = self._made_at + PAUSE - self._clock()
            if wait > 0 and self._good() is None:
                raise _busy(wait)
            yield
        finally:
            self._making.release()

    def _make(self) -> Export:
        self._made_at = self._clock()
        self._newest = None
        shutil.rmtree(self._folder, ignore_errors=True)
        writing = self._folder / "writing"
        writing.mkdir(parents=True)
        with self._database.session(SECONDS) as session:
            seq = last_change(session)[0]
            files = [file for name in TABLES for file in _write(session, name, writing)]
        writing.rename(self._place(seq))
        export = Export(seq, tuple(files))
        self._newest = (export, self._made_at)
        return export

    def _place(self, seq: int) -> Path:
        return self._folder / str(seq)


def _busy(seconds: float) -> XrpcError:
    return XrpcError(503, "NotEnoughResources", "the files are being made", retry_after=seconds)


def _write(session: Session, name: str, folder: Path) -> list[ExportFile]:
    """One table in both formats."""
    parquet, lines = folder / f"{name}.parquet", folder / f"{name}.jsonl"
    rows = 0
    with session.arrow(TABLES[name], ROWS) as reader:
        options = {"compression": "zstd", "compression_level": 1}
        with pq.ParquetWriter(parquet, reader.schema, **options) as table, lines.open("wb") as text:
            for batch in _batches(reader):
                table.write_batch(batch)
                text.writelines(_line(row) for row in batch.to_pylist())
                rows += batch.num_rows
    return [_described(path, rows) for path in (parquet, lines)]


def _batches(reader: Any) -> Iterator[Any]:
    """What DuckDB says in the midst of a result comes as an error of Arrow, or of the system."""
    try:
        yield from reader
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"the database cannot be exported: {quote(error, 300)}") from error


def _line(row: dict[str, Any]) -> bytes:
    """``record``, JSON already, is put in as it is; a line end is no part of any text in it."""
    record = row.pop("record").replace("\n", " ")
    head = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    return f'{head[:-1]},"record":{record}}}\n'.encode("utf-8", "replace")


def _described(path: Path, rows: int) -> ExportFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ExportFile(path.name, MEDIA_TYPES[path.suffix[1:]], rows, path.stat().st_size, digest)

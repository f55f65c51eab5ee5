"""A made index on disk, and somebody who publishes into it while it is searched.

Making a million takes some minutes, so that a folder can be kept and used again (``--index``).
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from atdata.protocol.keys import key_of
from search_api.database import Database
from search_api.text_index import TextIndex
from tests.bench.search_corpus import SEED, fill, words

EVERY = 0.1  # seconds between transactions, as the indexer rests
FRESH = "fresh"  # what the names of published datasets begin with
_TEXT = 30  # words of a description


@dataclass(frozen=True)
class Made:
    """The index and its text index, level with each other."""

    connection: duckdb.DuckDBPyConnection
    database: Database
    text_index: TextIndex


@contextmanager
def made(datasets: int, folder: Path | None) -> Iterator[Made]:
    """An index of ``datasets`` datasets in ``folder``: what is there already is used again."""
    with tempfile.TemporaryDirectory() as other:
        home = folder or Path(other)
        home.mkdir(parents=True, exist_ok=True)
        is_new = not (home / "index.duckdb").exists()
        connection = duckdb.connect(str(home / "index.duckdb"))
        started = time.perf_counter()
        if is_new:
            fill(connection, datasets)
        filled = time.perf_counter()
        database = Database(connection)
        text_index = TextIndex(home / "text", database)
        brought = text_index.catch_up()
        ((held,),) = connection.execute("SELECT count(*) FROM datasets").fetchall()
        print(
            f"{held:,} datasets, made in {filled - started:.1f} s; {brought:,} of them brought "
            f"into the text index in {time.perf_counter() - filled:.1f} s",
            flush=True,
        )
        try:
            yield Made(connection, database, text_index)
        finally:
            text_index.close()
            connection.close()


class Publisher:
    """Writes ``rate`` new datasets a second, as the indexer does: some in each transaction.

    The name of each is ``fresh`` and a number; its description ends with the time of its
    transaction (``time.monotonic_ns``, which all processes of a machine share).
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, rate: int) -> None:
        self._cursor = connection.cursor()
        self._share = max(1, round(rate * EVERY))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._chance, self._words = random.Random(SEED), words()
        self._accounts = self._rows("SELECT repo, did FROM repos LIMIT 1000")
        self._schemas = self._rows("SELECT doc, family FROM schemas LIMIT 1000")
        ((self._seq,),) = self._rows("SELECT coalesce(max(seq), 0) FROM changes")
        self._count = time.time_ns() // 1_000_000  # other names than those of an earlier run
        self.published = 0

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._cursor.close()

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._cursor.execute(sql).fetchall()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due += EVERY
            self._transaction()

    def _transaction(self) -> None:
        now = time.monotonic_ns()
        made = [[f"{self._word()}-{i}" for i in range(3)] for _ in range(self._share)]
        rows = [self._dataset(now, tags) for tags in made]
        cursor = self._cursor
        cursor.execute("BEGIN")
        self._insert("records", 14, [record for record, _ in rows])
        self._insert("datasets", 11, [dataset for _, dataset in rows])
        tags = [
            (dataset[0], position, tag)
            for (_, dataset), its_tags in zip(rows, made, strict=True)
            for position, tag in enumerate(its_tags)
        ]
        self._insert("dataset_tags", 3, tags)
        changes = [(self._seq + 1 + i, row[1][0], "put") for i, row in enumerate(rows)]
        self._insert("changes", 3, changes)
        cursor.execute("COMMIT")
        self._seq += len(rows)
        self.published += len(rows)

    def _insert(self, table: str, width: int, rows: list[tuple[Any, ...]]) -> None:
        one = f"({', '.join('?' * width)})"
        values = [value for row in rows for value in row]
        self._cursor.execute(f"INSERT INTO {table} VALUES {', '.join([one] * len(rows))}", values)

    def _dataset(self, now: int, tags: list[str]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        self._count += 1
        repo, did = self._chance.choice(self._accounts)
        schema, schema_uri = self._chance.choice(self._schemas)
        uri = f"at://{did}/ac.foundation.dataset.record/n{self._count}"
        doc, moment = key_of(uri), "2026-01-01T00:00:00Z"
        record = (
            *(doc, repo, uri, did, "dataset", "ac.foundation.dataset"),
            *("ac.foundation.dataset.record", f"n{self._count}", "bafydataset", "3kaaaaaaaaaaa"),
            *(moment, moment, moment, json.dumps({"tags": tags})),
        )
        text = " ".join(self._word() for _ in range(_TEXT))
        about = (f"{FRESH}{self._count}", f"{text} {now}", schema_uri, schema)
        return record, (doc, *about, "CC-BY-4.0", "CC-BY-4.0", "blobs", 1000, 1_000_000, 1)

    def _word(self) -> str:
        return self._words[int(len(self._words) ** self._chance.random()) - 1]

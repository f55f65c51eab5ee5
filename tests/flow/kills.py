"""What is compared after a node was killed: its file, as the next one will find it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from indexer.recordings import ReplayServer
from tests.flow.node import source_arguments

# Everything but the times at which this index happened to see or store something, the rev under
# which it first saw a version of a record, and counts: a repo that was fetched before its commits
# arrived shows them as stale, and its records under the rev of the whole.
TABLES = {
    "sources": "* EXCLUDE (seen_at)",
    "repos": "*",
    "records": "* EXCLUDE (indexed_at, rev)",
    "datasets": "*",
    "dataset_tags": "*",
    "schemas": "*",
    "schema_fields": "*",
    "lenses": "*",
    "labels": "*",
    "lens_verifications": "*",
}


def arguments(network: ReplayServer) -> list[str]:
    return ["--plc", network.origin, *source_arguments(list(network.sources.values()))]


def rows(folder: Path) -> dict[str, list[Any]]:
    with duckdb.connect(str(folder / "index.duckdb"), read_only=True) as connection:
        return {
            table: sorted(
                map(
                    repr,
                    connection.execute(
                        f"SELECT COLUMNS({columns})::VARCHAR FROM {table}"
                    ).fetchall(),
                )
            )
            for table, columns in TABLES.items()
        }


def cursors(folder: Path) -> dict[str, int]:
    """By source. None of a file that has no tables yet."""
    with as_left(folder) as connection:
        return dict(connection.execute("SELECT url, cursor FROM sources").fetchall())


def change_seqs(folder: Path) -> list[int]:
    """The seqs of all changes, in order: each once, and none is missing."""
    with as_left(folder) as connection:
        query = "SELECT seq FROM changes ORDER BY seq"
        return [seq for (seq,) in connection.execute(query).fetchall()]


@contextmanager
def as_left(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file in ``folder`` as a node that was killed has left it. A copy: opening replays the
    log, which is the next node's to do. Empty tables where there are none yet."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in folder.glob("index.duckdb*"):
        if file.is_file():
            shutil.copy(file, copy / file.name)
    with duckdb.connect(str(copy / "index.duckdb")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS sources (url VARCHAR, cursor BIGINT)")
        connection.execute("CREATE TABLE IF NOT EXISTS changes (seq BIGINT)")
        connection.execute("CREATE TABLE IF NOT EXISTS records (uri VARCHAR, cid VARCHAR)")
        yield connection


def receiving(parent: int) -> list[int]:
    """The processes of the node ``parent`` that receive for it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            its_parent = int(path.joinpath("stat").read_text().rpartition(") ")[2].split()[1])
            is_intake = b"indexer.intake_process" in path.joinpath("cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if its_parent == parent and is_intake:
            found.append(int(path.name))
    return found

"""PostgreSQL 15 in a folder of its own, behind a Unix socket: the peer that search is held against.

One table with everything that a hit shows, a generated ``tsvector`` column in three weights, and a
GIN index on it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import psycopg
from psycopg.rows import TupleRow

BIN = Path("/usr/lib/postgresql/15/bin")  # Debian's
USER = "postgres"
DEFAULTS: Mapping[str, str] = {}
TUNED: Mapping[str, str] = {
    "shared_buffers": "4GB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "plan_cache_mode": "force_custom_plan",
}
LIMIT = 25
SEARCH = (
    "SELECT uri, name, description, tags, schema_name, license, handle, storage, samples, bytes, "
    "shards, ts_rank(words, plainto_tsquery('simple', %(q)s)) AS rank FROM datasets "
    f"WHERE words @@ plainto_tsquery('simple', %(q)s) ORDER BY rank DESC LIMIT {LIMIT}"
)

_TABLE = """
CREATE TABLE datasets (
    uri text, name text, description text, tags text, schema_name text, license text, handle text,
    storage text, samples bigint, bytes bigint, shards bigint,
    words tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', name), 'A')
        || setweight(to_tsvector('simple', coalesce(tags, '') || ' ' || schema_name), 'B')
        || setweight(to_tsvector('simple', coalesce(description, '')), 'C')
    ) STORED
)"""
_COLUMNS = (
    "uri, name, description, tags, schema_name, license, handle, storage, samples, bytes, shards"
)
_ROWS = """
SELECT r.uri, d.name, d.description, t.tags, s.name, d.license, a.handle, d.storage_kind, d.samples,
    d.bytes, d.shards
FROM datasets d JOIN records r USING (doc) JOIN repos a USING (repo)
JOIN schemas s ON s.doc = d.schema_doc
LEFT JOIN (
    SELECT doc, string_agg(tag, ' ' ORDER BY position) AS tags FROM dataset_tags GROUP BY doc
) t ON t.doc = d.doc"""
_START_SECONDS = 60.0
_CHUNK = 1_000_000  # bytes

Peer = psycopg.Connection[TupleRow]


def missing() -> str | None:
    """Why there is no peer on this machine; None if there is one."""
    if not (BIN / "postgres").exists():
        return f"PostgreSQL 15 is not at {BIN}: apt-get install postgresql-15"
    return None


def make_cluster(folder: Path) -> None:
    """An empty database cluster in ``folder``, which then belongs to the server's user."""
    if os.geteuid() == 0:  # the server refuses to run as root
        subprocess.run(["chown", USER, str(folder)], check=True)
    _as_server("initdb", "-D", str(folder / "data"), "--auth=trust", "-E", "UTF8", "--locale=C")


@contextmanager
def server(folder: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """The cluster's server with ``settings`` and otherwise its own; how to connect to it."""
    where = f"host={folder} user={_user()} dbname=postgres"
    options = {"listen_addresses": "", "unix_socket_directories": str(folder), **settings}
    command = [str(BIN / "postgres"), "-D", str(folder / "data")]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, user=_user() if _is_root() else None
        )
    try:
        _wait_until_ready(where, process, folder / "log")
        yield where
    finally:
        process.send_signal(signal.SIGINT)  # disconnects whoever is there
        process.wait(60)


def fill(where: str, rows: duckdb.DuckDBPyConnection, folder: Path) -> int:
    """The datasets of an index into the table, indexed and analysed. Returns how many."""
    between = folder / "rows.csv"
    rows.execute(f"COPY ({_ROWS}) TO '{between}' (FORMAT csv, HEADER false)")
    with psycopg.connect(where, autocommit=True) as peer:
        peer.execute(_TABLE)
        with (
            between.open("rb") as lines,
            peer.cursor().copy(f"COPY datasets ({_COLUMNS}) FROM STDIN (FORMAT csv)") as copy,
        ):
            while chunk := lines.read(_CHUNK):
                copy.write(chunk)
        peer.execute("CREATE INDEX ON datasets USING gin (words)")
        peer.execute("VACUUM ANALYZE datasets")
        ((count,),) = peer.execute("SELECT count(*) FROM datasets").fetchall()
    between.unlink()
    return int(count)


def warm(peer: Peer) -> None:
    """Table and index into the server's memory, as far as they fit."""
    peer.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
    for name in ("datasets", "datasets_words_idx"):
        peer.execute("SELECT pg_prewarm(%s::regclass)", [name])


def search(peer: Peer, q: str) -> list[TupleRow]:
    """The best hits for all words of ``q``."""
    return peer.execute(SEARCH, {"q": q}, prepare=True).fetchall()


def names(peer: Peer, count: int) -> list[str]:
    """Names of ``count`` datasets, always the same."""
    found = peer.execute("SELECT name FROM datasets ORDER BY md5(uri) LIMIT %s", [count])
    return [str(name) for (name,) in found]


def _is_root() -> bool:
    return os.geteuid() == 0


def _user() -> str:
    return USER if _is_root() else os.environ.get("USER", USER)


def _as_server(program: str, *arguments: str) -> None:
    subprocess.run(
        [str(BIN / program), *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        user=USER if _is_root() else None,
    )


def _wait_until_ready(where: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(where).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"PostgreSQL did not start: {error}\n{said}") from error
            time.sleep(0.1)
        else:
            return

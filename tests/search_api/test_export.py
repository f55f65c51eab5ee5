"""The bulk export: two formats of one snapshot, nothing hidden, gone as soon as it would be."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from atdata.protocol.errors import XrpcError
from atdata.protocol.namespaces import Kind
from search_api.database import Database
from search_api.feeds.export import MAX_AGE, PAUSE, ROWS, Exporter
from tests.search_api.index_builder import IndexBuilder

pq: Any = import_module("pyarrow.parquet")

TABLES = ("datasets", "schemas", "lenses", "labels", "lens_verifications")
NAMES = [f"{table}.{kind}" for table in TABLES for kind in ("parquet", "jsonl")]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exporter(index: IndexBuilder, clock: Clock, tmp_path: Path) -> Exporter:
    return Exporter(Database(index.connection), tmp_path / "export", clock)


def rows(exporter: Exporter, table: str) -> tuple[list[Any], list[Any]]:
    """A table from Parquet and from JSON lines, by URI; the files are what was said of them."""
    export = exporter.current()
    assert [file.name for file in export.files] == NAMES
    found = []
    for kind in ("parquet", "jsonl"):
        path, said = exporter.path(export.seq, f"{table}.{kind}")
        assert (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == (
            said.bytes,
            said.sha256,
        )
        if kind == "parquet":
            read = pq.read_table(path).to_pylist()
            read = [{**row, "record": json.loads(row["record"])} for row in read]
        else:
            read = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert len(read) == said.rows
        found.append(sorted(read, key=lambda row: row["uri"]))
    return found[0], found[1]


def test_both_formats_say_the_same_of_everything_that_is_visible(
    index: IndexBuilder, exporter: Exporter
) -> None:
    alice, hidden = index.account("alice"), index.account("hidden")
    schema = index.schema(alice)
    uris = [
        index.dataset(alice, f"Set {n}\n\u2028\x00<", schema, tags=["b", "a"], spdx="MIT")
        for n in range(ROWS + 30)
    ]
    lens = index.lens(alice, "self", schema, schema)
    index.label(alice, "best", uris[0], version="1.0.0")
    index.lens_verification(alice, lens)
    secret = index.dataset(hidden, "Secret", index.schema(hidden, "SecretSample"))
    index.label(hidden, "secret", secret)
    index.lens_verification(hidden, index.lens(hidden, "secret", schema, schema))
    index.set_active(hidden, False)
    parquet, lines = rows(exporter, "datasets")
    assert parquet == lines
    assert [row["uri"] for row in lines] == sorted(uris)
    one = next(row for row in lines if row["uri"] == uris[0])
    assert (one["tags"], one["licenseSpdx"], one["samples"]) == (["b", "a"], "MIT", 100)
    assert (one["handle"], one["record"]["name"]) == ("alice.test", "Set 0\n\u2028\x00<")
    assert one["indexedAt"].endswith("Z")
    only: dict[str, Any] = {}
    for table in TABLES[1:]:
        parquet, lines = rows(exporter, table)
        assert parquet == lines
        (only[table],) = lines
    label, verified = only["labels"], only["lens_verifications"]
    assert (label["name"], label["version"], label["datasetUri"]) == ("best", "1.0.0", uris[0])
    assert (verified["lens"], verified["lensCommit"]) == (lens, only["lenses"]["cid"])
    assert (verified["verificationMethod"], verified["did"]) == ("codeReview", alice)


def test_every_kind_of_record_is_in_a_file(index: IndexBuilder, exporter: Exporter) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    dataset, lens = index.dataset(did, "One", schema), index.lens(did, "self", schema, schema)
    index.label(did, "best", dataset)
    index.lens_verification(did, lens)
    kinds = index.connection.execute("SELECT DISTINCT kind FROM records").fetchall()
    assert len(kinds) == len(Kind)
    found = [row["uri"] for table in TABLES for row in rows(exporter, table)[1]]
    every = index.connection.execute("SELECT uri FROM records").fetchall()
    assert sorted(found) == sorted(uri for (uri,) in every)


def test_files_are_gone_as_soon_as_something_is_removed(
    index: IndexBuilder, exporter: Exporter, clock: Clock
) -> None:
    alice, bob = index.account("alice"), index.account("bob")
    gone = index.dataset(alice, "Gone", "at://x/y/z")
    index.dataset(bob, "Stays", "at://x/y/z")
    first = exporter.current()
    index.dataset(bob, "New", "at://x/y/z")
    assert exporter.current() == first
    index.delete(gone)
    with pytest.raises(XrpcError) as stale:
        exporter.path(first.seq, "datasets.jsonl")
    assert stale.value.status == 410
    with pytest.raises(XrpcError) as early:
        exporter.current()
    assert (early.value.status, early.value.retry_after) == (503, PAUSE)
    clock.now += PAUSE
    assert [row["name"] for row in rows(exporter, "datasets")[1]] == ["Stays", "New"]
    index.set_active(bob, False)
    clock.now += PAUSE
    assert rows(exporter, "datasets") == ([], [])


def test_old_files_are_made_anew(index: IndexBuilder, exporter: Exporter, clock: Clock) -> None:
    did = index.account("alice")
    index.dataset(did, "One", "at://x/y/z")
    first = exporter.current()
    index.dataset(did, "Two", "at://x/y/z")
    clock.now += MAX_AGE + 1
    assert exporter.current().seq == first.seq + 1
    assert len(rows(exporter, "datasets")[0]) == 2


def test_other_names_are_no_files(index: IndexBuilder, exporter: Exporter) -> None:
    seq = exporter.current().seq
    for name in ("x", "../index.duckdb", "datasets.parquet/..", ""):
        with pytest.raises(XrpcError) as missing:
            exporter.path(seq, name)
        assert missing.value.status == 404

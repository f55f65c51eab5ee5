"""The ``atdata`` command against a node, as a person and as a program would use it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atdata.protocol.cid import Cid
from indexer.recordings import Recording
from tests.flow.node import Node
from tests.flow.replay import DEMO, replaying


def atdata(*arguments: str, api: str | None = None, status: int = 0) -> str:
    """Standard output, or standard error where a failure is expected."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATDATA_")}
    if api is not None:
        environment |= {"ATDATA_API": api, "ATDATA_DEV": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "atdata.cli", *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def find(node: Node, *arguments: str) -> Any:
    return json.loads(atdata("search", *arguments, "--json", api=node.url))


def test_search_lists_what_matches(demo_node: Node) -> None:
    printed = atdata("search", "drawn-digits", api=demo_node.url)
    assert printed.startswith("drawn-digits\n  drawing-lab.pds0.test · CC0-1.0 · ")
    found = find(demo_node, "--tag", "images", "--tag", "fractals", "--license", "CC-BY-4.0")
    names = {hit["name"] for hit in found["datasets"]}
    assert names == {"julia-circle", "julia-coarse", "julia-dense-archive"}
    assert found["hitsTotal"] == 3


def test_search_takes_the_options_of_a_page(demo_node: Node) -> None:
    assert find(demo_node)["hitsTotal"] >= 30
    assert len(find(demo_node, "--limit", "7")["datasets"]) == 7
    assert find(demo_node, "zqxjkvbwzq") == {"hitsTotal": 0, "datasets": []}


def test_show_prints_a_dataset_with_its_schema(demo_node: Node) -> None:
    uri = find(demo_node, "rolling-hills")["datasets"][0]["uri"]
    printed = atdata("show", uri, api=demo_node.url)
    assert "TerrainSample 1.0.0\n    height: NDArray[float32]\n" in printed
    assert "    sea_level: float | None\n" in printed
    detail = json.loads(atdata("show", uri, "--json", api=demo_node.url))
    assert detail["dataset"]["uri"] == uri
    assert detail["record"]["$type"] == "ac.foundation.dataset.record"


def test_lenses_by_schema_pair(demo_node: Node) -> None:
    everything = json.loads(atdata("lenses", "--json", api=demo_node.url))["lenses"]
    assert len(everything) >= 8
    one = next(lens for lens in everything if lens["name"] == "drop-the-mask")
    pair = ("--source", one["sourceSchema"], "--target", one["targetSchema"])
    found = json.loads(atdata("lenses", *pair, "--json", api=demo_node.url))["lenses"]
    assert [lens["name"] for lens in found] == ["drop-the-mask"]


def test_pull_writes_checked_shards_and_keeps_those_that_are_right(
    demo_node: Node, tmp_path: Path
) -> None:
    uri = find(demo_node, "drawn-digits")["datasets"][0]["uri"]
    files = json.loads(atdata("pull", uri, str(tmp_path), "--json", api=demo_node.url))["files"]
    assert len(files) == 2
    kept = [Path(file) for file in files]
    for path in kept:
        cid = Cid.parse(path.stem)
        assert hashlib.sha256(path.read_bytes()).digest() == cid.digest
    kept[0].write_bytes(b"spoilt")
    before = kept[1].stat().st_mtime_ns
    atdata("pull", uri, str(tmp_path), api=demo_node.url)
    assert kept[0].stat().st_size > 1000, "a wrong file is fetched again"
    assert kept[1].stat().st_mtime_ns == before, "a right one is not"
    assert {path.name for path in kept[0].parent.glob("*.*")} >= {"dataset.json"}
    assert sorted(kept[0].parent.glob("bafk*")) == sorted(kept)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/ac.foundation.dataset.record/3k"), "no"),
        (("show", "not a uri"), "AT URI"),
        (("search", "x", "--author", "no handle"), "author"),
        (("index", "status", "--db", "/nonexistent/index.duckdb"), "cannot open"),
    ],
)
def test_failures_are_one_named_line(
    demo_node: Node, arguments: tuple[str, ...], says: str
) -> None:
    message = atdata(*arguments, api=demo_node.url, status=1)
    assert message.startswith("atdata: ")
    assert message.count("\n") == 1
    assert says in message


def test_without_an_index_it_says_how_to_name_one() -> None:
    assert "ATDATA_API" in atdata("search", "x", status=1)


def test_a_replay_can_be_recorded_again_byte_for_byte(tmp_path: Path) -> None:
    with replaying(0) as network:
        sources = [f"--source={name}={url}" for name, url in network.sources.items()]
        options = ("--plc", network.origin, "--dev", "--idle", "1", "--json")
        made = json.loads(atdata("index", "record", str(tmp_path / "again"), *sources, *options))
    first, again = Recording.open(DEMO), Recording.open(tmp_path / "again")
    assert made["events"] == first.manifest.events
    assert made["blobs"] == first.manifest.blobs
    for source in first.manifest.sources:
        assert [f.frame for f in again.frames(source.name)] == [
            f.frame for f in first.frames(source.name)
        ]


def test_status_of_a_database_that_no_node_has_open(demo_node: Node, tmp_path: Path) -> None:
    taken = atdata("index", "status", "--db", str(demo_node.log.parent / "index.duckdb"), status=1)
    assert "one process at a time" in taken

"""The bundled recording: what it holds, and that everything in it can be found and loaded."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import atdata
from atdata.protocol.namespaces import Kind, kind_of
from indexer import frames
from indexer.events import Account, Action, Commit, Identity
from indexer.recordings import Recording
from tests.flow.node import Node, free_port, node
from tests.flow.replay import DEMO, demo_is_indexed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording.open(DEMO)


def events(recording: Recording) -> list[object]:
    sources = recording.manifest.sources
    return [frames.parse(f.frame) for s in sources for f in recording.frames(s.name)]


def test_it_holds_what_people_do(recording: Recording) -> None:
    seen = events(recording)
    ops = [op for event in seen if isinstance(event, Commit) for op in event.ops]
    created = Counter(kind_of(op.collection) for op in ops if op.action is Action.CREATE)
    assert len(recording.manifest.sources) >= 2
    assert len({event.did for event in seen if isinstance(event, Identity)}) >= 8
    assert created[Kind.SCHEMA] >= 6
    assert created[Kind.DATASET] >= 30
    assert created[Kind.LENS] >= 8
    assert created[None] >= 10, "records of other collections"
    indexed = [op for op in ops if kind_of(op.collection)]
    assert sum(op.action is Action.UPDATE for op in indexed) >= 3
    assert sum(op.action is Action.DELETE for op in indexed) >= 2
    handles = {(e.did, e.handle) for e in seen if isinstance(e, Identity) and e.handle}
    assert any(n > 1 for n in Counter(did for did, _ in handles).values()), "a handle change"
    accounts = [event for event in seen if isinstance(event, Account)]
    left = {event.did for event in accounts if not event.active}
    assert left
    assert left <= {event.did for event in accounts if event.active}, "it came back"
    assert any(op.collection.startswith("ac.foundation.datasetx") for op in ops), "a look-alike"


def test_every_frame_is_kept_as_it_came(recording: Recording) -> None:
    manifest = recording.manifest
    assert sum(manifest.events.values()) == sum(source.frames for source in manifest.sources)
    for source in manifest.sources:
        sizes = [len(recorded.frame) for recorded in recording.frames(source.name)]
        assert (len(sizes), sum(sizes)) == (source.frames, source.bytes)


def test_what_was_deleted_is_gone_and_what_was_revised_is_new(demo_node: Node) -> None:
    search = "/xrpc/ac.foundation.dataset.searchDatasets?limit=100"
    found = {hit["name"]: hit for hit in demo_node.get(search)["datasets"]}
    assert "plucked-archive-flac-notes" not in found
    assert "rolling-hills-b" not in found
    assert found["woven-textures"]["description"].endswith("Second edition: corrected labels.")
    assert found["julia-circle"]["handle"] == "julia-sets.pds0.test"
    assert found["air-temperature-days"]["did"] == found["river-gauge-days"]["did"]


def test_every_blob_stored_dataset_loads_with_its_own_type(demo_node: Node) -> None:
    atdata.configure(api=demo_node.url, dev=True)
    hits = list(atdata.search(storage="blobs"))
    assert len(hits) >= 18
    types: set[str] = set()
    for hit in hits:
        samples = list(hit.load().ordered())
        assert samples, hit.name
        types |= {type(sample).__name__ for sample in samples}
    assert types >= {"DigitSample", "ImageSample", "SegmentedSample", "ClipSample", "TextSample"}


def test_a_second_start_resumes_from_its_cursor(tmp_path: Path) -> None:
    arguments = ("--recording", str(DEMO), "--replay-port", str(free_port()))
    status = "/xrpc/ac.foundation.dataset.getIndexStatus"
    with node(tmp_path, *arguments) as first:
        first.wait_until(lambda: demo_is_indexed(first), "the demo is indexed")
        before = first.get(status)
    with node(tmp_path, *arguments) as second:
        second.wait_until(lambda: demo_is_indexed(second), "it is there again")
        second.wait_until(lambda: len(cursors(second)) == 4, "both sources are connected again")
        after = second.get(status)
    assert (after["changes"], after["counts"]) == (before["changes"], before["counts"])
    last = sorted(source.last_seq or 0 for source in Recording.open(DEMO).manifest.sources)
    assert cursors(first) == [0, 0, *last]


def cursors(node: Node) -> list[int]:
    """Where sources were connected, by the log of all starts in this folder."""
    connected = r'"cursor": (\d+), "event": "source connected"'
    return sorted(map(int, re.findall(connected, node.log.read_text())))


def test_the_readme_snippet_prints_samples(demo_node: Node, tmp_path: Path) -> None:
    """The five lines, run as they stand there; only the port differs."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(import atdata\n.*?)```", readme, re.DOTALL)
    assert len(snippet.strip().splitlines()) == 5
    assert "http://127.0.0.1:8000" in snippet
    script = snippet.replace("http://127.0.0.1:8000", demo_node.url)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("DigitSample(") >= 100

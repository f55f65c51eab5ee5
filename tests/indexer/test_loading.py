"""A recording from its files: the same index as through the sockets, and its cursors."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import zstandard

from atdata.protocol.errors import InvalidRecord
from indexer.loading import load
from indexer.recording_files import FrameWriter, RecordedFrame, Recording
from indexer.recordings import record
from tests.indexer.network import DATASET, Firehose, dataset, first_commit, new_repo, rows
from tests.indexer.repo_builder import create

DEMO = Path(__file__).parents[2] / "recordings" / "demo"
RECORDS = "SELECT uri, cid, kind, active FROM records JOIN repos USING (repo, did) ORDER BY uri"
CURSORS = "SELECT url, cursor FROM sources ORDER BY 1"


def test_on_the_same_port_it_is_resumed_at_its_cursors(tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = asyncio.run(load(DEMO, db, port=port))
    before = rows(db, RECORDS)
    assert found == len(before) > 40
    sources = Recording.open(DEMO).manifest.sources
    cursors = {f"ws://127.0.0.1:{port}/{source.name}": source.last_seq for source in sources}
    assert dict(rows(db, CURSORS)) == cursors
    assert asyncio.run(load(DEMO, db, port=port)) == found  # nothing is above them
    assert rows(db, RECORDS) == before
    assert rows(db, "SELECT count(*) FROM drops") == [(0,)]


def test_a_frame_that_cannot_be_read_is_passed_the_second_time(tmp_path: Path) -> None:
    """As from a socket: what is behind it is not lost."""
    folder, db = tmp_path / "recording", tmp_path / "index.duckdb"

    async def main() -> None:
        async with Firehose() as net:
            repo = new_repo(net)
            await net.send(first_commit(repo, "cats"), b"\xff\xff")
            await net.send(repo.commit(create(f"{DATASET}/dogs", dataset("dogs"))))
            await record({"pds0": net.url}, folder, plc=net.plc, dev=True, idle_seconds=0.3)

    asyncio.run(main())
    assert asyncio.run(load(folder, db)) == 2
    assert rows(db, "SELECT name FROM datasets ORDER BY 1") == [("cats",), ("dogs",)]
    assert rows(db, "SELECT DISTINCT frame FROM quarantine") == [(b"\xff\xff",)]


@pytest.mark.parametrize("cut", [1, 5, 13])
def test_frames_lie_where_they_were_read_and_a_cut_file_says_so(tmp_path: Path, cut: int) -> None:
    frames = [bytes([i % 256]) * (i * 997 % 70_000) for i in range(200)]
    writer = FrameWriter(tmp_path, "pds0", "wss://pds.test")
    for i, frame in enumerate(frames):
        writer.write(RecordedFrame(i, frame), None)
    source = writer.close()
    recording = Recording(tmp_path, Recording.open(DEMO).manifest, {}, {})
    assert [(f.at, f.frame) for f in recording.frames("pds0")] == list(enumerate(frames))
    assert source.frames == 200
    frame = b"\x10\x00\x00\x00" + bytes(8) + b"x" * 16
    data = zstandard.compress(frame + frame[: len(frame) - cut])
    (tmp_path / "frames-pds1.zst").write_bytes(data)
    with pytest.raises(InvalidRecord, match="ends inside a frame"):
        list(recording.frames("pds1"))

"""Recordings: byte for byte, checked, and replayed as the network that they were made from."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import CidMismatch, FetchFailed, InvalidRecord
from indexer import frames
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.events import StreamError
from indexer.pipeline import Indexer
from indexer.recordings import Recording, ReplayServer, record
from tests.indexer.network import (
    DATASET,
    Firehose,
    dataset,
    first_commit,
    new_repo,
    plc_did,
    rows,
    running,
    until,
)
from tests.indexer.repo_builder import NOW_US, Message, Repo, create, identity

BLOB = b"the bytes of a shard"
BLOB_CID = Cid.of(BLOB, RAW)


def blob_dataset() -> dict[str, object]:
    blob = {"$type": "blob", "ref": BLOB_CID, "mimeType": "application/x-tar", "size": len(BLOB)}
    storage = {"$type": "ac.foundation.dataset.storageBlobs", "blobs": [blob]}
    return dataset("shards", storage=storage)


async def published(net: Firehose) -> None:
    """Two accounts, one with a blob; noise of a third, which the directory does not know."""
    alice, bob = new_repo(net, 1, "alice.test"), new_repo(net, 2)
    net.blobs[str(BLOB_CID)] = BLOB
    await net.send(first_commit(alice, "cats"))
    noise = Repo(did=plc_did(3))
    await net.send(noise.commit(create("app.bsky.feed.post/3k2yihcrp2c2a", {"text": "hello"})))
    await net.send(alice.commit(create(f"{DATASET}/shards", blob_dataset())))
    await net.send(identity(alice.did, handle="alice.test"), first_commit(bob, "dogs"))


async def made(folder: Path, *nets: Firehose, max_frames: int | None = None) -> Path:
    sources = {f"pds{i}": net.url for i, net in enumerate(nets)}
    await record(
        sources,
        folder,
        plc=nets[0].plc,
        dev=True,
        idle_seconds=0.3,
        max_frames=max_frames,
        provenance="a test",
    )
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of ``published``."""
    path = tmp_path_factory.mktemp("original") / "recording"

    async def scenario() -> Path:
        async with Firehose() as net:
            await published(net)
            return await made(path, net)

    return asyncio.run(scenario())


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed by one test."""
    return Path(shutil.copytree(original, tmp_path / "copy"))


def test_keeps_frames_byte_for_byte_in_order(tmp_path: Path) -> None:
    async def scenario() -> list[bytes]:
        async with Firehose() as net:
            await published(net)
            await net.send(b"\xa0 no frame")
            await made(tmp_path / "recording", net)
            return [frame for _, frame in net.sent]

    sent = asyncio.run(scenario())
    recording = Recording.open(tmp_path / "recording")
    assert [recorded.frame for recorded in recording.frames("pds0")] == sent
    times = [recorded.at for recorded in recording.frames("pds0")]
    assert times == sorted(times)
    assert times[0] > NOW_US


def test_manifest_says_what_is_in_it(folder: Path) -> None:
    manifest = Recording.open(folder).manifest
    (source,) = manifest.sources
    assert (source.name, source.frames, source.first_seq, source.last_seq) == ("pds0", 5, 1, 5)
    assert manifest.events == {"#commit": 4, "#identity": 1}
    assert (manifest.identities, manifest.handles, manifest.blobs) == (2, 1, 1)
    assert manifest.provenance == "a test"
    assert source.bytes == sum(len(f.frame) for f in Recording.open(folder).frames("pds0"))


def test_blobs_are_kept_under_their_cid_and_checked_again_when_read(folder: Path) -> None:
    recording = Recording.open(folder)
    assert recording.blob(str(BLOB_CID)) == BLOB
    assert recording.blob(str(Cid.of(b"another", RAW))) is None
    assert recording.blob("../manifest.json") is None
    (folder / "blobs" / str(BLOB_CID)).write_bytes(b"something else")
    with pytest.raises(CidMismatch, match=str(BLOB_CID)):
        recording.blob(str(BLOB_CID))


def test_a_blob_that_is_not_what_the_record_names_is_not_recorded(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Firehose() as net:
            await published(net)
            net.blobs[str(BLOB_CID)] = b"something else"
            await made(tmp_path / "recording", net)

    with pytest.raises(CidMismatch):
        asyncio.run(scenario())
    with pytest.raises(InvalidRecord):
        Recording.open(tmp_path / "recording")


def test_ends_after_the_frames_that_were_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Firehose() as net:
            await published(net)
            await made(tmp_path / "recording", net, max_frames=2)

    asyncio.run(scenario())
    assert len(list(Recording.open(tmp_path / "recording").frames("pds0"))) == 2


def test_ends_although_a_source_goes_on_without_getting_ahead(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Firehose() as net:
            await published(net)

            async def chatter() -> None:
                while True:
                    await net.send(Message("#info", {"name": "Hello"}).frame)
                    await asyncio.sleep(0.05)

            talking = asyncio.create_task(chatter())
            try:
                await asyncio.wait_for(made(tmp_path / "recording", net), 20)
            finally:
                talking.cancel()

    asyncio.run(scenario())
    assert Recording.open(tmp_path / "recording").manifest.events["#info"] >= 3


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Firehose() as net:
            gone = net.url
        await record({"gone": gone}, tmp_path / "r", plc=net.plc, dev=True, idle_seconds=0.1)

    with pytest.raises(FetchFailed, match="could not connect"):
        asyncio.run(scenario())


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "a" * 64])
def test_a_source_name_is_part_of_a_file_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRecord, match="name"):
        asyncio.run(record({name: "ws://127.0.0.1:1"}, tmp_path / "r", plc="http://127.0.0.1:1"))


def test_does_not_write_over_what_is_there(folder: Path) -> None:
    with pytest.raises(InvalidRecord, match="exists already"):
        asyncio.run(record({}, folder, plc="http://127.0.0.1:1"))


@pytest.mark.parametrize("name", ["frames-pds0.zst", "identities.jsonl", "handles.json"])
def test_a_changed_or_missing_file_is_refused_by_name(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidRecord, match=name):
        Recording.open(folder)
    path.unlink()
    with pytest.raises(InvalidRecord, match=name):
        Recording.open(folder)


@pytest.mark.parametrize(
    "broken", [{"format": 99}, {"sources": [{"name": "x"}]}, {"sha256": {}}, {"extra": 1}]
)
def test_a_manifest_of_another_format_is_refused(folder: Path, broken: dict[str, object]) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **broken}))
    with pytest.raises(InvalidRecord):
        Recording.open(folder)


# --- replay -----------------------------------------------------------------------------------


async def received(url: str, count: int) -> list[bytes]:
    """The first ``count`` frames, and then silence."""
    async with connect(url, proxy=None) as client:
        got = [await client.recv(decode=False) for _ in range(count)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.recv()
        return got


@pytest.mark.parametrize(
    ("query", "count"), [("?cursor=0", 5), ("?cursor=3", 2), ("?cursor=5", 0), ("", 0)]
)
def test_replays_what_is_above_the_cursor_and_stays_open(
    folder: Path, query: str, count: int
) -> None:
    recording = Recording.open(folder)

    async def scenario() -> list[bytes]:
        async with ReplayServer(recording) as server:
            url = f"{server.sources['pds0']}/xrpc/com.atproto.sync.subscribeRepos{query}"
            return await received(url, count)

    every = [recorded.frame for recorded in recording.frames("pds0")]
    assert asyncio.run(scenario()) == every[len(every) - count :]


def test_answers_a_cursor_in_the_future_as_a_pds_does(folder: Path) -> None:
    async def scenario() -> tuple[object, int | None]:
        async with ReplayServer(Recording.open(folder)) as server:
            url = f"{server.sources['pds0']}/xrpc/com.atproto.sync.subscribeRepos?cursor=6"
            async with connect(url, proxy=None) as client:
                event = frames.parse(await client.recv(decode=False))
                await client.wait_closed()
                return event, client.close_code

    event, code = asyncio.run(scenario())
    assert isinstance(event, StreamError)
    assert (event.error, code) == ("FutureCursor", 1008)


def test_stands_in_for_directory_and_pds(folder: Path) -> None:
    did = plc_did(1)

    async def scenario() -> None:
        async with ReplayServer(Recording.open(folder)) as server:
            await asyncio.to_thread(ask, server.origin)

    def ask(origin: str) -> None:
        http = HttpClient(Policy(dev=True))
        resolver = Resolver(http, plc=origin)
        found = resolver.resolve(did)
        assert found.pds == origin
        assert resolver.verified_handle(found) == "alice.test"
        url = f"{origin}/xrpc/com.atproto.sync.getBlob"
        assert http.get_bytes(url, params={"did": did, "cid": str(BLOB_CID)}) == BLOB
        for missing in (f"{origin}/{plc_did(9)}", f"{url}?did={did}&cid=x", f"{origin}/etc/passwd"):
            with pytest.raises(FetchFailed):
                http.get_bytes(missing)
        http.close()

    asyncio.run(scenario())


def test_a_replay_is_indexed_as_the_network_was(tmp_path: Path, folder: Path) -> None:
    """The same rows, but for the times of taking in and the address of the PDS."""
    query = """
        SELECT r.uri, r.cid, r.rev, r.record, d.name, p.handle, p.sync_state
        FROM records r JOIN datasets d USING (doc) JOIN repos p USING (repo) ORDER BY r.uri
    """

    async def live() -> None:
        async with Firehose() as net:
            await published(net)
            async with running(net, tmp_path / "live.duckdb") as indexer:
                await until(lambda: indexer.status().changes == 3, lambda: str(indexer.status()))

    async def replayed() -> None:
        async with ReplayServer(Recording.open(folder)) as server:
            db = tmp_path / "replayed.duckdb"
            config = IndexerConfig(
                sources=(server.sources["pds0"],), db=db, plc=server.origin, dev=True
            )
            http = HttpClient(Policy(dev=True))
            with open_database(db) as connection:
                resolver = Resolver(http, plc=server.origin)
                indexer = Indexer(config, connection, resolver, clock=lambda: NOW_US)
                task = asyncio.create_task(indexer.run())
                await until(lambda: indexer.status().changes == 3, lambda: str(indexer.status()))
                indexer.stop()
                await task
            http.close()

    asyncio.run(live())
    asyncio.run(replayed())
    expected = rows(tmp_path / "live.duckdb", query)
    assert len(expected) == 3
    assert rows(tmp_path / "replayed.duckdb", query) == expected

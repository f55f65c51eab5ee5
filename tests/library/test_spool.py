"""Files in which blobs wait for their check: written again for the next blob, never shared."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator

import pytest

from atdata import BlobSource, configure, settings
from atdata.blob_fetch import IN_MEMORY
from atdata.protocol.cid import RAW, Cid
from atdata.spool import Spool
from tests.library.test_sources import DID, GET_BLOB, blobs
from tests.network.local_server import LocalServer

SHORT = b"short" + bytes(IN_MEMORY)
LONG = bytes(range(256)) * (IN_MEMORY // 128)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobSource]:
    """Of a long blob, and then a short one."""
    monkeypatch.setattr(settings._Holder, "current", None)
    configure(dev=True)
    kept = {str(Cid.of(data, RAW)): data for data in (LONG, SHORT)}
    with LocalServer({GET_BLOB: blobs(kept)}) as server:
        uris = [f"at://{DID}/blob/{cid}" for cid in kept]
        yield BlobSource.from_uris(uris, pds_endpoint=server.url)


def test_a_blob_that_follows_a_longer_one_has_nothing_of_it(source: BlobSource) -> None:
    files = []
    for shard, data in zip(source.list_shards(), (LONG, SHORT), strict=True):
        with source.open_shard(shard) as stream:
            files.append(os.fstat(stream.fileno()).st_ino)
            assert stream.read() == data
    assert files[0] == files[1]


def test_blobs_that_are_open_at_once_are_apart(source: BlobSource) -> None:
    long, short = source.list_shards()
    with source.open_shard(long) as one, source.open_shard(short) as two:
        assert one.read(5) == LONG[:5]
        assert two.read() == SHORT
        assert one.read() == LONG[5:]


def test_a_blob_that_was_closed_can_not_be_read_on(source: BlobSource) -> None:
    long, short = source.list_shards()
    one = source.open_shard(long)
    one.close()
    with source.open_shard(short), pytest.raises(ValueError, match="closed"):
        one.read(1)


def inode(spool: Spool) -> int:
    with spool.file() as file:
        return os.fstat(file.fileno()).st_ino


def test_a_forked_process_has_files_of_its_own() -> None:
    spool = Spool()
    inherited = spool.file()
    kept = inode(spool)
    taken = os.fstat(inherited.fileno()).st_ino
    child = os.fork()
    if child == 0:
        inherited.close()
        os._exit(inode(spool) in (kept, taken))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    inherited.write(b"still ours")
    inherited.close()
    assert inode(spool) == kept


def test_a_source_can_be_sent_to_another_process(source: BlobSource) -> None:
    with source.open_shard(source.list_shards()[0]):
        copy: BlobSource = pickle.loads(pickle.dumps(source))
    with copy.open_shard(copy.list_shards()[1]) as stream:
        assert stream.read() == SHORT

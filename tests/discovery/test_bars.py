"""What is large shows a bar while it is waited for: nothing can be seen before its check."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from atdata.bars import LARGE
from atdata.protocol.cid import RAW, Cid
from tests.discovery.host import DID, Host
from tests.library.shards import features, shard

pytestmark = pytest.mark.skipif(
    not hasattr(os, "openpty"), reason="left out: needs a pseudo-terminal"
)

READ = """
import multiprocessing, sys
import atdata
atdata.configure(dev=True)
def read(where, pds):
    source = atdata.BlobSource.from_uris([where], pds_endpoint=pds)
    print(len(list(atdata.Dataset(source))))
if sys.argv[1] == "here":
    read(*sys.argv[2:])
else:
    worker = multiprocessing.get_context("fork").Process(target=read, args=sys.argv[2:])
    worker.start()
    worker.join()
"""


def shown(host: Host, size: int, where: str = "here") -> str:
    data = shard(features(0, 3))
    data += bytes(size - len(data))
    blob = host.blob(data)
    uri = f"at://{DID}/blob/{Cid.of(data, RAW)}"
    assert blob.size == size
    master, terminal = os.openpty()
    done = subprocess.run(
        [sys.executable, "-c", READ, where, uri, host.server.url],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        text=True,
    )
    os.write(terminal, b"end")
    os.close(terminal)
    text = os.read(master, 1_000_000).decode()
    os.close(master)
    assert (done.returncode, done.stdout) == (0, "3\n"), text
    return text


def test_a_large_blob_has_a_bar_while_it_comes(host: Host) -> None:
    text = shown(host, LARGE)
    assert "━" in text
    assert "MB" in text


def test_a_small_blob_and_a_worker_have_none(host: Host) -> None:
    assert shown(host, LARGE - 512) == "end"
    assert shown(host, LARGE, "in a worker") == "end"

"""Pulling from a real PDS, which knows no ranges: killed in the middle, continued, read offline."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

import atdata
from atdata.atmosphere import AtmosphereClient, DatasetPublisher, SchemaPublisher
from atdata.library import Library
from atdata.protocol.syntax import AtUri
from deploy.devnet.devnet import Devnet
from tests.discovery.conftest import Configure
from tests.discovery.puller import puller
from tests.library.shards import Feature, features, shard

pytestmark = [
    pytest.mark.devnet,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="left out: needs fork"),
]

SHARDS = [shard(features(start, 1000)) for start in (0, 1000)]
KILLS = 6


def test_a_real_pds_killed_and_continued(
    devnet: Devnet, configure: Configure, tmp_path: Path
) -> None:
    account = devnet.create_account(1, "pull-author")
    configure(plc=devnet.plc)
    author = AtmosphereClient(base_url=account.pds_url)
    author.login(account.handle, account.password)
    schema = SchemaPublisher(author).publish(Feature)
    uri = DatasetPublisher(author).publish_with_blobs(SHARDS, schema, name="pulled")
    folder = Library(tmp_path).folder(AtUri.parse(uri))
    rng, killed = random.Random(3), 0
    with puller() as process:
        for _ in range(KILLS):
            before = _held(folder)
            pid = process.start(devnet.plc, uri, tmp_path, workers=2, api=False)
            _wait_for(folder, rng.randint(1, sum(map(len, SHARDS)) // 2), pid)
            killed += process.end() == -signal.SIGKILL
            assert _held(folder) >= before
    assert killed, "no process was killed in the middle"
    configure(plc=devnet.plc, library=tmp_path)
    assert [path.read_bytes() for path in atdata.pull(uri)] == SHARDS
    configure(library=tmp_path)
    assert list(atdata.load_dataset(uri, Feature, verify=True)) == features(0, 2000)


def _held(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("bafk*"))


def _wait_for(folder: Path, size: int, pid: int) -> None:
    """Kill the process when so much is there; it may be quicker than that."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (folder / "dataset.json").exists():
        if _held(folder) >= size:
            os.kill(pid, signal.SIGKILL)
            return

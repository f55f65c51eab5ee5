"""How fast shards go to a real PDS, and what memory that takes, measured in one run.

The same shards are sent by a bare ``http.client``, one after the other, and by ``PDSBlobStore``,
which checks, hashes and sends several at a time. A PDS is one process, so that the gain is bounded
by what it does while we check and hash; the goal is that few shards are in memory.

    python -m tests.bench.uploads [--shards 12] [--megabytes 24]
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

import atdata
from atdata import Dataset
from atdata.atmosphere import AtmosphereClient, PDSBlobStore
from atdata.atmosphere.reshard import repack
from atdata.settings import configure
from deploy.devnet.devnet import Account, Devnet, xrpc
from tests.bench.download import largest_resident
from tests.bench.goals import Goals

FEW = 4  # shards: what may be held in memory


@atdata.packable
class Block:
    data: NDArray[np.uint8]


def made(folder: Path, shards: int, megabytes: int, seed: int) -> list[Path]:
    """Shards of random bytes, each another one: a PDS keeps equal blobs once."""
    random = np.random.default_rng(seed)
    paths = []
    for i in range(shards):
        blocks = [Block(random.integers(0, 256, 1 << 20, dtype=np.uint8)) for _ in range(megabytes)]
        packed = ((f"{n:06d}", [("msgpack", block.packed)]) for n, block in enumerate(blocks))
        (shard,) = repack(packed, None, None)
        paths.append(folder / f"{seed}-{i:03d}.tar")
        with shard.file as file:
            paths[-1].write_bytes(file.read())
    return paths


def bare(account: Account, paths: list[Path]) -> float:
    """Seconds for one ``uploadBlob`` after the other."""
    parts = urlsplit(account.pds_url)
    login = {"identifier": account.handle, "password": account.password}
    session = xrpc(account.pds_url, "com.atproto.server.createSession", body=login)
    started = time.perf_counter()
    for path in paths:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        head = {
            "Authorization": f"Bearer {session['accessJwt']}",
            "Content-Type": "application/x-tar",
        }
        head["Content-Length"] = str(path.stat().st_size)
        with path.open("rb") as file:
            connection.request("POST", "/xrpc/com.atproto.repo.uploadBlob", file, head)
            answer = connection.getresponse()
            if answer.status != 200:
                raise SystemExit(f"{answer.status} {answer.read()[:200]!r}")
            answer.read()
        connection.close()
    return time.perf_counter() - started


def ours(account: Account, paths: list[Path], answer: Connection) -> None:
    """In a process of its own: seconds, and by how many bytes the resident set grew."""
    configure(dev=True)
    client = AtmosphereClient(base_url=account.pds_url)
    client.login(account.handle, account.password)
    store, before = PDSBlobStore(client), largest_resident()
    started = time.perf_counter()
    store.write_shards(Dataset[Block]([str(path) for path in paths]), progress=False)
    answer.send((time.perf_counter() - started, largest_resident() - before))


def measured(account: Account, paths: list[Path]) -> tuple[float, int]:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=ours, args=(account, paths, theirs))
    process.start()
    theirs.close()
    try:
        seconds, grown = mine.recv()
    finally:
        process.join()
    return seconds, grown


def main(arguments: list[str] | None = None, goals: Goals | None = None) -> None:
    """Exits with 1 if a goal was missed, unless there are ``goals`` to take that."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--megabytes", type=int, default=24, help="of each shard")
    chosen = parser.parse_args(arguments)
    kept = goals or Goals()
    with tempfile.TemporaryDirectory() as folder, Devnet(pds_count=1) as net:
        account = net.create_account(0, "x-uploader")
        sets = [made(Path(folder), chosen.shards, chosen.megabytes, seed) for seed in (1, 2)]
        size = sum(path.stat().st_size for path in sets[0])
        alone = bare(account, sets[0])
        seconds, grown = measured(account, sets[1])
    print(f"{chosen.shards} shards of {chosen.megabytes} MB to a PDS")
    print(f"    http.client, one after the other {size / alone / 1e6:.0f} MB/s")
    rate, ratio = size / seconds / 1e6, alone / seconds
    print(f"    PDSBlobStore, every sample checked {rate:.0f} MB/s, {ratio:.2f} of that")
    limit = FEW * chosen.megabytes
    what = f"memory while uploading: {grown / 1e6:.0f} MB more"
    print(f"    {what}  {kept.verdict(what, f'{FEW} shards', grown < limit * 1e6)}")
    if goals is None:
        kept.end()


if __name__ == "__main__":
    main()

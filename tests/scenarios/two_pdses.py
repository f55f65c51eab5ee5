"""``python -m tests.scenarios.two_pdses --seconds 600``: a network in trouble, and its index.

Two real PDSes under constant writes of 20 accounts, a real node behind wires that are cut, an
outage of one PDS, an account that moves. At the end the index must be what the PDSes list, record
for record.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from atdata.protocol.namespaces import COLLECTIONS
from deploy.devnet.devnet import Devnet, xrpc
from tests.flow.node import Node, node, source_arguments
from tests.indexer.network import DATASET, dataset
from tests.scenarios import migration
from tests.scenarios.cut import Wire
from tests.scenarios.members import Member, joined

ACCOUNTS = 20
LAST = "finis"  # a word of the record that each account writes last
SETTLED_SECONDS = 90.0


@dataclass(frozen=True)
class Held:
    """One account as the index or the network has it. ``records`` is URI → CID."""

    handle: str
    pds: str
    active: bool
    sync_state: str
    records: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """``network`` is what the PDSes say that the DID documents name, ``index`` what the node's file
    holds, both by DID; ``found`` are the authors that a search for the last records finds."""

    network: dict[str, Held]
    index: dict[str, Held]
    found: set[str]
    drops: dict[str, int]
    moved: str
    cuts: int
    connections: int
    written: list[int]
    failed: int


def run(folder: Path, seconds: float) -> Outcome:
    """The whole story, with writes for about ``seconds``; the node's file is in ``folder``."""
    with ExitStack() as stack:
        net = stack.enter_context(Devnet(pds_count=2))
        wires = [stack.enter_context(Wire(port_of(pds.url))) for pds in net.pdses]
        members = join(net)
        mover = members[0]
        sources = source_arguments([f"ws://127.0.0.1:{wire.port}" for wire in wires])
        running = stack.enter_context(node(folder, "--plc", net.plc, *sources))
        with writing(members):
            trouble(net, wires, mover, seconds)
        for member in members:
            member.put(DATASET, "last", dataset(f"{LAST} {member.handle}"))
        found = settled(running, members)
        connections = running.log.read_text().count("source connected")
        network = {member.did: at_home(net, member.did) for member in members}
        running.process.terminate()
        running.process.wait(30)
    index, drops = indexed(folder / "index.duckdb")
    return Outcome(
        network=network,
        index=index,
        found=found,
        drops=drops,
        moved=mover.did,
        cuts=sum(wire.cuts for wire in wires),
        connections=connections,
        written=[member.written for member in members],
        failed=sum(member.failed for member in members),
    )


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def join(net: Devnet) -> list[Member]:
    """Half of them on each PDS; the first can sign for its own DID, and has a blob."""
    key = {"recoveryKey": migration.did_key(migration.RECOVERY)}
    mover = joined(net, 0, "mover", 0, **key)
    others = [joined(net, n % 2, f"member{n}", n) for n in range(1, ACCOUNTS)]
    uploaded = xrpc(
        mover.home.url,
        "com.atproto.repo.uploadBlob",
        body=bytes(range(256)),
        token=mover.home.token,
        content_type="application/octet-stream",
    )
    storage = {"$type": "ac.foundation.dataset.storageBlobs", "blobs": [uploaded["blob"]]}
    mover.put(DATASET, "blobs", dataset("in a blob", storage=storage))
    return [mover, *others]


@contextmanager
def writing(members: Sequence[Member]) -> Iterator[None]:
    """All of them write, each in a thread of its own, until the block ends."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(members), "write") as pool:
        writers = [pool.submit(member.write_until, stop) for member in members]
        try:
            yield
        finally:
            stop.set()
    for writer in writers:
        writer.result()


def trouble(net: Devnet, wires: Sequence[Wire], mover: Member, seconds: float) -> None:
    """Over and over: a cut, an outage, another cut. In the first round the account moves."""
    first, second = net.pdses
    round_seconds = min(seconds, 20.0)
    deadline, old = time.monotonic() + seconds, None
    while old is None or time.monotonic() + round_seconds <= deadline:
        pause = round_seconds / 8
        time.sleep(pause)
        wires[0].cut()
        time.sleep(pause)
        net.stop_pds(1)
        time.sleep(pause)
        wires[0].cut()
        net.start_pds(1)
        time.sleep(pause)
        if old is None:
            with mover.lock:
                old = migration.move(net, mover, second)
            wires[1].cut()
            time.sleep(pause)
            migration.leave(old)
            time.sleep(pause)
            migration.erase(first, mover.did)
        for wire in wires:
            wire.cut()
        time.sleep(2 * pause)


def settled(running: Node, members: Sequence[Member]) -> set[str]:
    """Wait until every account's last record is found and no repo waits to be fetched. Returns
    whose were found."""
    query = urllib.parse.urlencode({"q": LAST, "limit": 100})
    found: set[str] = set()

    def is_settled() -> bool:
        hits = running.get(f"/xrpc/ac.foundation.dataset.searchDatasets?{query}")["datasets"]
        found.update(author(hit) for hit in hits)
        waiting = running.metric("atdata_indexer_resyncing")
        return len(found) == len(members) and waiting == 0

    running.wait_until(is_settled, "the index settles", SETTLED_SECONDS)
    return found


def author(hit: dict[str, Any]) -> str:
    return str(hit["uri"]).split("/")[2]


def at_home(net: Devnet, did: str) -> Held:
    """What the account's own PDS lists, in all collections of ours."""
    document = json.loads(migration.get(f"{net.plc}/{did}"))
    pds = document["service"][0]["serviceEndpoint"]
    records: dict[str, str] = {}
    for collection in COLLECTIONS:
        cursor: dict[str, str] = {}
        while True:
            params = {"repo": did, "collection": collection, "limit": "100", **cursor}
            page = xrpc(pds, "com.atproto.repo.listRecords", params=params)
            records.update({record["uri"]: record["cid"] for record in page["records"]})
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
    handle = document["alsoKnownAs"][0].removeprefix("at://")
    return Held(handle, pds, True, "synced", records)


def indexed(db: Path) -> tuple[dict[str, Held], dict[str, int]]:
    """What the file holds, by DID, and how much was dropped, by reason. A handle that is not
    verified is none."""
    with duckdb.connect(str(db), read_only=True) as connection:
        records: dict[str, dict[str, str]] = {}
        for did, uri, cid in connection.execute("SELECT did, uri, cid FROM records").fetchall():
            records.setdefault(did, {})[uri] = cid
        repos = connection.execute(
            "SELECT did, CASE WHEN handle_verified THEN handle ELSE '' END, pds, active, sync_state"
            " FROM repos"
        ).fetchall()
        drops = dict(connection.execute("SELECT reason, count FROM drops").fetchall())
    index = {
        did: Held(handle, pds, active, sync_state, records.get(did, {}))
        for did, handle, pds, active, sync_state in repos
    }
    return index, drops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # many threads share a small pool
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), options.seconds)
    records = sum(len(held.records) for held in outcome.network.values())
    print(
        f"{sum(outcome.written):,} writes of {len(outcome.written)} accounts"
        f" ({outcome.failed:,} failed in outages), {outcome.connections} connections,"
        f" {outcome.cuts} cut; dropped: {outcome.drops or 'nothing'}"
    )
    assert outcome.index == outcome.network
    print(f"the index equals the PDSes: {records:,} records")


if __name__ == "__main__":
    main()

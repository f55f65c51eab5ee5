"""The verifier against the reference PDS: all that it really sends is proved, nothing refused."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
import urllib3
from websockets.sync.client import connect

from atdata.network.did_document import read_document
from atdata.protocol.syntax import Did
from deploy.devnet.devnet import Account, Devnet, xrpc
from indexer import frames
from indexer.commit import PublicKey
from indexer.events import Commit, Event, Sync
from indexer.verify import (
    Chain,
    Head,
    VerifiedCommit,
    VerifiedRepo,
    chain,
    verify_commit,
    verify_repo,
    verify_sync,
)

pytestmark = pytest.mark.devnet

COLLECTIONS = ("org.example.verify.note", "org.example.verify.other")


def token_of(account: Account) -> str:
    body = {"identifier": account.handle, "password": account.password}
    return str(xrpc(account.pds_url, "com.atproto.server.createSession", body=body)["accessJwt"])


def key_of(net: Devnet, account: Account) -> PublicKey:
    document = urllib3.request("GET", f"{net.plc}/{account.did}").json()
    identity = read_document(document, account.did, dev=True)
    assert identity.signing_key is not None
    return PublicKey.parse(identity.signing_key)


def apply_writes(account: Account, token: str, writes: list[dict[str, Any]]) -> str:
    """Returns the commit's CID."""
    body = {"repo": account.did, "writes": writes}
    done = xrpc(account.pds_url, "com.atproto.repo.applyWrites", body=body, token=token)
    return str(done["commit"]["cid"])


def random_writes(rng: random.Random, paths: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """Up to 200 ops, each path at most once; ``paths`` is what the repo holds, and is updated."""
    writes: dict[tuple[str, str], dict[str, Any]] = {}
    for n in range(rng.choice((1, 1, 1, 2, 3, 8, 40, 200))):
        known = sorted(paths - writes.keys())
        path = rng.choice(COLLECTIONS), f"k{rng.randrange(10**6)}"
        kind = "create"
        if known and rng.random() < 0.5:
            path, kind = rng.choice(known), rng.choice(("update", "delete", "delete"))
        elif path in paths or path in writes:
            continue
        write = {"$type": f"com.atproto.repo.applyWrites#{kind}"}
        write.update(collection=path[0], rkey=path[1])
        if kind != "delete":
            # Never twice the same record: the PDS drops the block of both when one is deleted.
            value = {"$type": path[0], "n": n, "text": rng.randbytes(rng.randrange(8, 60)).hex()}
            write = {**write, "value": value}  # type: ignore[dict-item]
        writes[path] = write
    for path, write in writes.items():
        (paths.discard if write["$type"].endswith("#delete") else paths.add)(path)
    return list(writes.values())


def events_until(account: Account, commit: str) -> list[Event]:
    """The account's events from the beginning to that commit."""
    url = account.pds_url.replace("http", "ws", 1)
    found: list[Event] = []
    with connect(f"{url}/xrpc/com.atproto.sync.subscribeRepos?cursor=0", max_size=None) as ws:
        while True:
            frame = ws.recv(timeout=10)
            assert isinstance(frame, bytes)
            event = frames.parse(frame)
            if getattr(event, "did", None) == account.did:
                found.append(event)
            if isinstance(event, Commit) and str(event.commit) == commit:
                return found


def test_every_commit_of_a_real_pds_is_proved_and_chains(devnet: Devnet) -> None:
    account = devnet.create_account(0, "verifier")
    key, token = key_of(devnet, account), token_of(account)
    rng, paths = random.Random(3), set[tuple[str, str]]()
    for _ in range(60):
        if writes := random_writes(rng, paths):
            commit = apply_writes(account, token, writes)
    now_us = time.time_ns() // 1000
    model: dict[str, bytes] = {}
    rev = data = None
    commits = syncs = ops = 0
    for event in events_until(account, commit):
        if isinstance(event, Sync):
            assert verify_sync(event, key, now_us=now_us) == Head(event.did, rev, data)  # type: ignore[arg-type]
            syncs += 1
        if not isinstance(event, Commit):
            continue
        verified = verify_commit(event, key, now_us=now_us)
        assert isinstance(verified, VerifiedCommit), verified
        assert chain(verified, rev, data) is (Chain.CONTINUES if rev else Chain.FIRST)
        rev, data = verified.rev, verified.data
        commits += 1
        for op in verified.ops:
            ops += 1
            path = f"{op.collection}/{op.rkey}"
            if op.record is None:
                del model[path]
            else:
                model[path] = op.record
    assert (commits > 50, syncs, ops > 300) == (True, 1, True)
    assert model.keys() == {"/".join(path) for path in paths}

    url = f"{account.pds_url}/xrpc/com.atproto.sync.getRepo?did={account.did}"
    repo = verify_repo(urllib3.request("GET", url).data, Did(account.did), key, now_us=now_us)
    assert isinstance(repo, VerifiedRepo)
    assert (repo.rev, repo.data) == (rev, data)
    assert {path: repo.record(path) for path in repo.records} == model

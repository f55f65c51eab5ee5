"""The indexer against real PDSes: backfill, a lost frame, an outage; at the end it equals them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.namespaces import COLLECTIONS
from deploy.devnet.devnet import Account, Devnet, xrpc
from indexer import frames
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.events import Commit
from indexer.pipeline import Indexer
from tests.indexer.network import DATASET, dataset, rows, settled, until

pytestmark = pytest.mark.devnet


@pytest.fixture(scope="module")
def devnet() -> Iterator[Devnet]:
    """A network of its own: of the shared one, other tests leave repos that are never whole."""
    with Devnet(pds_count=2) as net:
        yield net


def token_of(account: Account) -> str:
    body = {"identifier": account.handle, "password": account.password}
    return str(xrpc(account.pds_url, "com.atproto.server.createSession", body=body)["accessJwt"])


def publish(account: Account, *names: str) -> None:
    token = token_of(account)
    for name in names:
        path = {"repo": account.did, "collection": DATASET, "rkey": name}
        body = {**path, "record": dataset(name), "validate": False}
        xrpc(account.pds_url, "com.atproto.repo.createRecord", body=body, token=token)


def remove(account: Account, name: str) -> None:
    body = {"repo": account.did, "collection": DATASET, "rkey": name}
    token = token_of(account)
    xrpc(account.pds_url, "com.atproto.repo.deleteRecord", body=body, token=token)


def records_of(account: Account) -> dict[str, str]:
    """URI → CID of all that the PDS lists in our collections."""
    found: dict[str, str] = {}
    for collection in COLLECTIONS:
        params = {"repo": account.did, "collection": collection, "limit": "100"}
        answer = xrpc(account.pds_url, "com.atproto.repo.listRecords", params=params)
        found.update({record["uri"]: record["cid"] for record in answer["records"]})
    return found


@asynccontextmanager
async def indexing(net: Devnet, db: Path, *sources: str, **options: Any) -> AsyncIterator[Indexer]:
    settings = {"flush_seconds": 0.05, "backoff_seconds": 0.1, "sweep_grace_seconds": 0.5}
    settings.update(sweep_per_second=200.0, resync_backoff_max_seconds=1.0, **options)
    config = IndexerConfig(sources=sources, db=db, plc=net.plc, dev=True, **settings)  # type: ignore[arg-type]
    http = HttpClient(Policy(dev=True))
    connection = open_database(db)
    indexer = Indexer(config, connection, Resolver(http, plc=net.plc))
    task = asyncio.create_task(indexer.run())
    try:
        yield indexer
    finally:
        indexer.stop()
        await asyncio.wait((task,))
        http.close()
        connection.close()
    task.result()


@asynccontextmanager
async def losing(upstream: str, doomed: set[str]) -> AsyncIterator[str]:
    """A relay of ``upstream`` that loses every commit with an op at one of the ``doomed`` paths."""

    async def copy(source: ClientConnection, client: ServerConnection) -> None:
        async for frame in source:
            assert isinstance(frame, bytes)
            event = frames.parse(frame)
            paths = {op.path for op in event.ops} if isinstance(event, Commit) else set()
            if not paths & doomed:
                await client.send(frame)

    async def relay(client: ServerConnection) -> None:
        assert client.request is not None
        url = "ws" + upstream.removeprefix("http") + client.request.path
        async with connect(url, max_size=None) as source:
            copying = asyncio.create_task(copy(source, client))
            await client.wait_closed()
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)

    async with serve(relay, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def stored(db: Path, *accounts: Account) -> dict[str, str]:
    dids = ", ".join(f"'{account.did}'" for account in accounts)
    return dict(rows(db, f"SELECT uri, cid FROM records WHERE did IN ({dids})"))


async def has(indexer: Indexer, repos: int) -> None:
    """Until so many repos are tracked, and all are synced."""
    await until(lambda: indexer.status().repos >= repos, lambda: str(indexer.status()))
    await settled(indexer)


def test_what_was_published_before_we_came_is_found(devnet: Devnet, tmp_path: Path) -> None:
    """The firehose starts with live events only, so that all of it is backfill."""
    db = tmp_path / "index.duckdb"
    accounts = [devnet.create_account(i, f"earlier{i}") for i in range(2)]
    for account in accounts:
        publish(account, "one", "two")

    async def main() -> None:
        urls = [account.pds_url for account in accounts]
        async with indexing(devnet, db, *urls, start="live") as indexer:
            await until(
                lambda: indexer.status().sweep.finished_at is not None,
                lambda: str(indexer.status()),
                seconds=60.0,
            )
            await settled(indexer)

    asyncio.run(main())
    expected = {uri: cid for account in accounts for uri, cid in records_of(account).items()}
    assert len(expected) == 4
    assert stored(db, *accounts) == expected


def test_a_lost_commit_is_healed_at_the_next_one(devnet: Devnet, tmp_path: Path) -> None:
    db = tmp_path / "index.duckdb"
    account = devnet.create_account(0, "unlucky")
    publish(account, "kept", "gone", "lost")
    remove(account, "gone")
    publish(account, "last")

    async def main() -> None:
        async with (
            losing(account.pds_url, {f"{DATASET}/lost"}) as relay,
            indexing(devnet, db, relay, sweep=False) as indexer,
        ):
            await until(lambda: indexer.status().resynced >= 1, lambda: str(indexer.status()))
            await settled(indexer)

    asyncio.run(main())
    assert len(records_of(account)) == 3
    assert stored(db, account) == records_of(account)


def test_an_outage_of_a_pds_loses_nothing(tmp_path: Path) -> None:
    """A network of its own: the PDS stops in the middle of writes, and comes back."""
    db = tmp_path / "index.duckdb"

    async def main(net: Devnet) -> Account:
        account = net.create_account(0, "stormy")
        async with indexing(net, db, net.pdses[0].url, sweep_seconds=1.0) as indexer:
            await asyncio.to_thread(publish, account, "before")
            await has(indexer, 1)
            await asyncio.to_thread(net.stop_pds, 0)
            await asyncio.to_thread(net.start_pds, 0)
            await asyncio.to_thread(publish, account, "after", "more")
            changes = indexer.status().changes
            await until(lambda: indexer.status().changes >= max(3, changes), lambda: "published")
            await settled(indexer)
        return account

    with Devnet(pds_count=1) as net:
        account = asyncio.run(main(net))
        assert stored(db, account) == records_of(account)
        assert len(stored(db, account)) == 3

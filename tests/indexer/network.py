"""A small network for tests of the indexer: a firehose socket and a PLC directory on loopback.

``Firehose.send`` keeps a frame and gives it to everybody who is connected, as a PDS does; whoever
connects later gets what is above the cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import duckdb
from prometheus_client import CollectorRegistry
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver, Txt, system_txt
from atdata.protocol import cbor
from atdata.protocol.syntax import Did
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.pipeline import Indexer
from tests.indexer.repo_builder import K256, NOW_US, Message, Repo, SigningKey, create

DATASET = "ac.foundation.dataset.record"
SCHEMA = "ac.foundation.dataset.sampleSchema"
LENS = "ac.foundation.dataset.lens"
SCHEMA_URI = f"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/{SCHEMA}/image@1.0.0"
CREATED = "2023-11-14T12:00:00.000Z"


def dataset(name: object = "cats", **members: Any) -> dict[str, Any]:
    """The body of a valid dataset record."""
    storage = {
        "$type": "ac.foundation.dataset.storageExternal",
        "urls": ["https://data.example.org/000000.tar"],
    }
    body = {"$type": DATASET, "name": name, "schemaRef": SCHEMA_URI, "storage": storage}
    return {**body, "createdAt": CREATED, **members}


def error_frame(name: str) -> bytes:
    """A stream's last frame, which says why."""
    return cbor.encode({"op": -1}) + cbor.encode({"error": name, "message": "because"})


def plc_did(number: int) -> Did:
    """A DID of the right shape; the same number gives the same one."""
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    text = "".join(digits[number >> 5 * i & 31] for i in range(8))
    return Did(f"did:plc:{text.rjust(24, 'a')}")


@dataclass
class Firehose:
    """``async with Firehose() as net``. ``seen`` holds the cursor of each connection, in order."""

    sent: list[tuple[float, bytes]] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    repos: dict[str, Repo] = field(default_factory=dict)
    """What it serves as a PDS."""
    lists: Callable[[dict[str, list[str]]], Any] | None = None
    """What it answers as a relay to listReposByCollection."""
    seen: list[int | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    plc_is_down: bool = False
    pds_is_down: bool = False
    port: int = 0
    _server: Server | None = None
    _clients: set[ServerConnection] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def plc(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, process_request=self._answer, max_size=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def knows(self, did: str, key: SigningKey = K256, handle: str = "") -> None:
        """Put ``did`` into the directory, with this server as its PDS."""
        self.documents[did] = {
            "id": did,
            "alsoKnownAs": [f"at://{handle}"] if handle else [],
            "verificationMethod": [
                {
                    "id": f"{did}#atproto",
                    "type": "Multikey",
                    "controller": did,
                    "publicKeyMultibase": key.multibase,
                }
            ],
            "service": [
                {
                    "id": "#atproto_pds",
                    "type": "AtprotoPersonalDataServer",
                    "serviceEndpoint": self.plc,
                }
            ],
        }
        if handle:
            self.handles[handle] = did

    async def send(self, *messages: Message | bytes) -> None:
        """Under the next seq; bytes go out as they are, with a place but no seq of their own."""
        for message in messages:
            seq = self.last + (0.5 if isinstance(message, bytes) else 1)
            frame = message if isinstance(message, bytes) else message.at(int(seq)).frame
            self.sent.append((seq, frame))
            for client in list(self._clients):
                with contextlib.suppress(ConnectionClosed):  # it will come again
                    await client.send(frame)

    @property
    def last(self) -> int:
        return int(self.sent[-1][0]) if self.sent else 0

    async def _serve(self, client: ServerConnection) -> None:
        assert client.request is not None
        query = parse_qs(urlsplit(client.request.path).query)
        cursor = int(query["cursor"][0]) if "cursor" in query else None
        self.seen.append(cursor)
        try:
            done = 0
            while done < len(self.sent):  # which may grow meanwhile
                seq, frame = self.sent[done]
                done += 1
                if cursor is not None and seq > cursor:
                    await client.send(frame)
            self._clients.add(client)
            await client.wait_closed()
        except ConnectionClosed:
            return
        finally:
            self._clients.discard(client)

    async def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        if parts.path.endswith("subscribeRepos"):
            return None
        self.asked.append(request.path)
        if self.plc_is_down:
            return client.respond(HTTPStatus.BAD_GATEWAY, "down")
        if parts.path.endswith("resolveHandle"):
            handle = parse_qs(parts.query)["handle"][0]
            if handle in self.handles:
                return _json(200, {"did": self.handles[handle]})
        elif parts.path.endswith(("getRepo", "getLatestCommit")):
            return self._answer_about_repo(parts.path, parse_qs(parts.query)["did"][0])
        elif parts.path.endswith("listReposByCollection") and self.lists is not None:
            return _json(200, self.lists(parse_qs(parts.query)))
        elif parts.path.endswith("listRepos"):
            return _json(200, {"repos": self._list_repos()})
        elif parts.path.endswith("describeRepo"):
            repo = self.repos[parse_qs(parts.query)["repo"][0]]
            return _json(200, {"collections": sorted({p.split("/")[0] for p in repo.paths})})
        elif parts.path.endswith("getBlob"):
            blob = self.blobs.get(parse_qs(parts.query)["cid"][0])
            if blob is not None:
                return _response(200, "application/octet-stream", blob)
        elif parts.path.lstrip("/") in self.documents:
            return _json(200, self.documents[parts.path.lstrip("/")])
        return _json(404, {"error": "NotFound", "message": "unknown"})

    def _list_repos(self) -> list[dict[str, Any]]:
        return [
            {"did": did, "head": str(repo.signed_commit()[0]), "rev": repo.rev, "active": True}
            for did, repo in self.repos.items()
            if repo.rev is not None
        ]

    def _answer_about_repo(self, path: str, did: str) -> Response:
        repo = self.repos.get(did)
        if self.pds_is_down:
            return _json(500, {"error": "InternalServerError", "message": "down"})
        if repo is None or repo.rev is None:
            return _json(400, {"error": "RepoNotFound", "message": "no such repo"})
        if path.endswith("getRepo"):
            return car_response(repo.car())
        return _json(200, {"cid": str(repo.signed_commit()[0]), "rev": repo.rev})


def car_response(data: bytes) -> Response:
    """The answer to getRepo."""
    return _response(200, "application/vnd.ipld.car", data)


def _json(status: int, value: Any) -> Response:
    return _response(status, "application/json", json.dumps(value).encode())


def _response(status: int, kind: str, body: bytes) -> Response:
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(body))})
    headers["Connection"] = "close"
    return Response(status, HTTPStatus(status).phrase, headers, body)


def new_repo(net: Firehose, number: int = 0, handle: str = "") -> Repo:
    """An account that the directory knows, with an empty repo."""
    repo = Repo(did=plc_did(number))
    net.knows(repo.did, handle=handle)
    net.repos[repo.did] = repo
    return repo


def first_commit(repo: Repo, *names: str) -> Message:
    """The repo's first commit: one dataset per name, under a record key of that name."""
    return repo.commit(*(create(f"{DATASET}/{name}", dataset(name)) for name in names))


@asynccontextmanager
async def running(
    net: Firehose,
    db: Path,
    *others: Firehose,
    clock: Callable[[], int] = lambda: NOW_US,
    seconds: Callable[[], float] = time.monotonic,
    connection: duckdb.DuckDBPyConnection | None = None,
    registry: CollectorRegistry | None = None,
    txt: Txt = system_txt,
    **config: Any,
) -> AsyncIterator[Indexer]:
    """An indexer that follows ``net`` (and the others) until the block ends. ``seconds`` is the
    clock of what the resolver remembers; ``connection`` is one to ``db`` that stays open;
    ``registry`` is where the metrics appear; ``txt`` is the name server."""
    sources = tuple(source.url for source in (net, *others))
    settings: dict[str, Any] = {
        "backoff_seconds": 0.01,
        "backoff_max_seconds": 0.05,
        "flush_seconds": 0.05,
        "resync_backoff_seconds": 0.05,
        "resync_backoff_max_seconds": 0.2,
        "parked_seconds": 0.2,
        "sweep": False,
        "sweep_per_second": 1_000.0,
        "sweep_grace_seconds": 0.1,
        "sweep_patience_seconds": 0.3,
    }
    options = IndexerConfig(sources=sources, db=db, plc=net.plc, dev=True, **{**settings, **config})
    opened = open_database(db) if connection is None else connection
    http = HttpClient(Policy(dev=True))
    resolver = Resolver(http, plc=net.plc, clock=seconds, txt=txt)
    indexer = Indexer(options, opened, resolver, registry=registry, clock=clock)
    task = asyncio.create_task(indexer.run())
    try:
        yield indexer
    finally:
        indexer.stop()
        await asyncio.wait((task,))
        http.close()
        if connection is None:
            opened.close()
    task.result()


async def reached(indexer: Indexer, net: Firehose, seq: int | None = None) -> None:
    """Until the indexer's durable cursor of ``net`` is where ``net`` is (or at ``seq``)."""
    goal = net.last if seq is None else seq
    await until(
        lambda: any(s.url == net.url and s.cursor == goal for s in indexer.status().sources),
        lambda: f"cursor {goal}: {indexer.status()}",
    )


async def settled(indexer: Indexer) -> None:
    """Until no repo waits to be fetched. What the writer has just found to be wanting is not yet in
    the queue, so that the repos themselves are looked at, too."""

    def done() -> bool:
        wanting = any(state.wants_resync for state in indexer._store.repos())
        return not wanting and indexer.status().resyncing == 0

    await until(done, lambda: str(indexer.status()))


async def until(holds: Callable[[], bool], what: Callable[[], str], seconds: float = 20.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what()}") from None


def rows(db: Path, query: str) -> list[Any]:
    """What a closed index holds."""
    with open_database(db, read_only=True) as connection:
        return connection.execute(query).fetchall()

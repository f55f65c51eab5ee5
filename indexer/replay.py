"""A recording served as the network that it was made from, on one loopback port.

The rule protected here: a recording is indexed through the very code path of a live relay. So this
is a real WebSocket firehose for each recorded source, and over plain HTTP the PLC directory and the
PDS, which answer with what was recorded; only the PDS's address in a DID document is this server's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from atdata.protocol import cbor
from atdata.protocol.errors import CidMismatch
from indexer import frames
from indexer.drops import InvalidEvent
from indexer.recorded_repos import recorded_repos
from indexer.recording_files import RecordedSource, Recording
from indexer.subscribe import METHOD

_OCTETS = "application/octet-stream"
_CAR = "application/vnd.ipld.car"
_GET_REPO = "/xrpc/com.atproto.sync.getRepo"
_GET_LATEST_COMMIT = "/xrpc/com.atproto.sync.getLatestCommit"


class ReplayServer:
    """``async with ReplayServer(recording) as server`` serves it at ``server.sources``.

    A firehose sends what is above the client's cursor, and then stays open and silent, as a quiet
    relay does. ``rate`` is in frames per second for each client; None is as fast as it goes.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        rate: float | None = None,
    ) -> None:
        self._recording, self._rate = recording, rate
        self._host, self._port = host, port
        self._server: Server | None = None
        self._by_path = {f"/{s.name}{METHOD}": s for s in recording.manifest.sources}
        self._repos = recorded_repos(recording)

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._stream,
            self._host,
            self._port,
            process_request=self._answer,
            compression=None,
            ping_interval=None,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def origin(self) -> str:
        """The HTTP origin: PLC directory and PDS in one."""
        return f"http://{self._host}:{self._port}"

    @property
    def sources(self) -> dict[str, str]:
        """Name → base URL of each recorded firehose."""
        base = "ws" + self.origin.removeprefix("http")
        return {s.name: f"{base}/{s.name}" for s in self._recording.manifest.sources}

    # --- the firehoses --------------------------------------------------------------------------

    async def _stream(self, client: ServerConnection) -> None:
        path, query = _request(client.request)
        source = self._by_path[path]
        try:
            cursor = _cursor(query)
            if cursor is not None and cursor > (source.last_seq or 0):
                await client.send(_error("FutureCursor", "Cursor in the future."))
                await client.close(CloseCode.POLICY_VIOLATION, "FutureCursor")
            elif cursor is not None:
                await self._send(client, source, cursor)
            await client.wait_closed()
        except ConnectionClosed:
            return

    async def _send(self, client: ServerConnection, source: RecordedSource, cursor: int) -> None:
        pause = 0.0 if self._rate is None else 1 / self._rate
        for frame in self._above(source, cursor):
            await client.send(frame)
            if pause:
                await asyncio.sleep(pause)

    def _above(self, source: RecordedSource, cursor: int) -> Iterator[bytes]:
        """A frame without a seq belongs after the one before it, and comes with what follows."""
        reached = 0
        for recorded in self._recording.frames(source.name):
            seq = seq_of(recorded.frame)
            reached = reached if seq is None else seq
            if reached > cursor or (seq is None and reached == cursor):
                yield recorded.frame

    # --- directory and PDS ----------------------------------------------------------------------

    def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        path, query = _request(request)
        if path in self._by_path:
            return None
        if path == "/xrpc/com.atproto.sync.getBlob":
            return self._blob(query.get("cid", ""))
        if path in (_GET_REPO, _GET_LATEST_COMMIT):
            return self._repo(path, query.get("did", ""))
        if path == "/xrpc/com.atproto.sync.listRepos":
            return _json(HTTPStatus.OK, {"repos": self._list()})
        if path == "/xrpc/com.atproto.identity.resolveHandle":
            did = self._recording.handles.get(query.get("handle", "").lower())
            if did is None:
                return _refusal(
                    HTTPStatus.BAD_REQUEST, "HandleNotFound", "Unable to resolve handle"
                )
            return _json(HTTPStatus.OK, {"did": did})
        document = self._recording.documents.get(unquote(path.removeprefix("/")))
        if document is None:
            return _refusal(HTTPStatus.NOT_FOUND, "NotFound", "not in this recording")
        return _json(HTTPStatus.OK, self._relocated(document))

    def _repo(self, path: str, did: str) -> Response:
        """A repo that the recording does not hold completely is not said to be gone."""
        repo = self._repos.get(did)
        if repo is None:
            return _refusal(HTTPStatus.NOT_IMPLEMENTED, "NotRecorded", "not in this recording")
        if path == _GET_REPO:
            return _response(HTTPStatus.OK, _CAR, repo.car)
        return _json(HTTPStatus.OK, {"cid": str(repo.commit), "rev": repo.rev})

    def _list(self) -> list[dict[str, object]]:
        """The repos, in one page: a recording is small."""
        return [
            {"did": did, "head": str(repo.commit), "rev": repo.rev, "active": True}
            for did, repo in self._repos.items()
            if did in self._recording.documents
        ]

    def _blob(self, cid: str) -> Response:
        try:
            data = self._recording.blob(cid)
        except CidMismatch as error:
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "CidMismatch", str(error))
        if data is None:
            return _refusal(HTTPStatus.BAD_REQUEST, "BlobNotFound", "Blob not found")
        return _response(HTTPStatus.OK, _OCTETS, data)

    def _relocated(self, document: Any) -> Any:
        moved = deepcopy(document)
        for service in moved.get("service", ()):
            if str(service.get("id", "")).endswith("#atproto_pds"):
                service["serviceEndpoint"] = self.origin
        return moved


def seq_of(frame: bytes) -> int | None:
    """The ``seq`` of a frame, None for one that has none or can't be read."""
    try:
        return frames.peek(frame).seq
    except InvalidEvent:
        return None


def _request(request: Request | None) -> tuple[str, Mapping[str, str]]:
    parts = urlsplit(request.path if request is not None else "")
    return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}


def _cursor(query: Mapping[str, str]) -> int | None:
    """Anything that is no number is no cursor: live events only, of which there are none."""
    text = query.get("cursor", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


def _error(name: str, message: str) -> bytes:
    return cbor.encode({"op": -1}) + cbor.encode({"error": name, "message": message})


def _refusal(status: HTTPStatus, error: str, message: str) -> Response:
    return _json(status, {"error": error, "message": message})


def _json(status: HTTPStatus, value: Any) -> Response:
    return _response(status, "application/json", json.dumps(value).encode())


def _response(status: HTTPStatus, kind: str, body: bytes) -> Response:
    headers = Headers(
        {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Content-Type-Options": "nosniff",
        }
    )
    return Response(status.value, status.phrase, headers, body)

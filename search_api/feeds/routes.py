"""The feeds' addresses: from a request to a feed or a file. Composition only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from atdata.network.http import HttpClient, Policy
from atdata.protocol.cid import Cid
from atdata.protocol.errors import ProtocolError, XrpcError
from atdata.protocol.syntax import Did
from atdata.protocol.views import DatasetDetail, to_json
from search_api.config import SearchConfig
from search_api.database import Database
from search_api.feeds import croissant, mcp, results, sitemap, syndication
from search_api.feeds.asking import Pairs, Queries, asked_pairs, guarded
from search_api.feeds.export import Exporter
from search_api.feeds.mirror import Mirror, Named
from search_api.http_cache import not_modified
from search_api.lanes import Lane
from search_api.methods import GET_BLOB, SEARCH_DATASETS
from search_api.origin import is_dev, origin
from search_api.snippet import load_snippet
from search_api.web.text import page_url
from search_api.xrpc import error_response, invalid, json_response

AT_A_TIME = 2  # files that are being made for all clients


class Places:
    """So many requests at a time may do something long; the others are told to come again."""

    def __init__(self, places: int) -> None:
        self._free = threading.Semaphore(places)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Raises ``XrpcError`` 503 where none is free."""
        if not self._free.acquire(blocking=False):
            message = "others are having files made; try again in a few seconds"
            raise XrpcError(503, "NotEnoughResources", message)
        try:
            yield
        finally:
            self._free.release()


def add_feeds(app: FastAPI, queries: Queries, config: SearchConfig, lane: Lane) -> None:
    """Feeds of a search, and what it found as a file."""
    places = Places(AT_A_TIME)

    def atom_feed(request: Request) -> Response:
        pairs = asked_pairs(request)
        found = queries.datasets(newest(queries, pairs))
        at = _addresses(origin(config, request), "/feed.atom", pairs, found.cursor)
        body = syndication.atom(_title(pairs), found, at)
        return Response(body.encode("utf-8", "replace"), media_type=syndication.ATOM)

    def json_feed(request: Request) -> Response:
        pairs = asked_pairs(request)
        found = queries.datasets(newest(queries, pairs))
        at = _addresses(origin(config, request), "/feed.json", pairs, found.cursor)
        response = json_response(syndication.json_feed(_title(pairs), found, at))
        response.headers["Content-Type"] = syndication.JSON_FEED
        return response

    def file_of(kind: str) -> Callable[[Request], Response]:
        media_type, lines = results.FORMATS[kind]

        def file(request: Request) -> Response:
            pairs = asked_pairs(request)
            with places.taken():
                views = queries.every_dataset(pairs, results.MAX_ROWS)
                whole = results.written(lines(views))
            headers = {"Content-Disposition": f'attachment; filename="datasets.{kind}"'}
            return StreamingResponse(results.pieces(whole), 200, headers, media_type=media_type)

        return file

    answers: dict[str, Callable[[Request], Response]] = {}
    answers |= {"/feed.atom": atom_feed, "/feed.json": json_feed}
    answers |= {f"/search.{kind}": file_of(kind) for kind in results.FORMATS}
    for path, answer in answers.items():
        app.add_api_route(path, lane.endpoint(guarded(answer)), methods=["GET", "HEAD"])


def add_site(
    app: FastAPI, database: Database, queries: Queries, config: SearchConfig, lane: Lane
) -> None:
    """Croissant, and what crawlers and browsers look for."""

    def croissant_of(request: Request) -> Response:
        detail = queries.dataset(asked_pairs(request))
        response = json_response(croissant.document(detail, origin(config, request)))
        response.headers["Content-Type"] = croissant.MEDIA_TYPE
        return response

    def site_index(request: Request) -> Response:
        with database.session() as session:
            text = sitemap.index(sitemap.parts(sitemap.count(session)), origin(config, request))
        return Response(text, media_type=sitemap.SITEMAP)

    def site_part(request: Request) -> Response:
        number, place = (_number(request.path_params[name]) for name in ("number", "place"))
        with database.session() as session:
            if not sitemap.is_part(number, place, sitemap.count(session)):
                raise XrpcError(404, "NotFound", "there is no such part of the sitemap")
            text = sitemap.part(session, number, place, origin(config, request))
        return Response(text, media_type=sitemap.SITEMAP)

    def robots(request: Request) -> Response:
        return Response(sitemap.robots(origin(config, request)), media_type="text/plain")

    def opensearch(request: Request) -> Response:
        text = sitemap.opensearch(origin(config, request))
        return Response(text, media_type=sitemap.OPENSEARCH)

    for path, answer in (
        ("/croissant", croissant_of),
        ("/sitemap.xml", site_index),
        ("/sitemap/{number}/{place}.xml", site_part),
        ("/robots.txt", robots),
        ("/opensearch.xml", opensearch),
    ):
        app.add_api_route(path, lane.endpoint(guarded(answer)), methods=["GET", "HEAD"])


def add_export(app: FastAPI, database: Database, config: SearchConfig) -> None:
    """The whole index as files, and the list of them."""
    exporter = Exporter(database, config.export_directory())

    def listed(request: Request) -> Response:
        export, base = exporter.current(), origin(config, request)
        files = [
            {**to_json(file), "url": f"{base}/export/{export.seq}/{file.name}"}
            for file in export.files
        ]
        return json_response({"seq": export.seq, "files": files})

    def file(request: Request) -> Response:
        seq, name = _number(request.path_params["seq"]), request.path_params["name"]
        path, found = exporter.path(seq, name)
        etag = f'"{found.sha256}"'
        return not_modified(request, etag) or FileResponse(
            path, headers={"ETag": etag}, media_type=found.media_type, filename=name
        )

    app.add_api_route("/export", guarded(listed), methods=["GET", "HEAD"])
    app.add_api_route("/export/{seq}/{name}", guarded(file), methods=["GET", "HEAD"])


class BlobResponse(Response):
    """A blob of the mirror, which stays there until it was sent."""

    def __init__(self, mirror: Mirror, named: Named, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        self._mirror, self._named, self._given = mirror, named, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._mirror.reading(self._named) as path:
            await self._answer(path)(scope, receive, send)

    def _answer(self, path: Path | None) -> Response:
        if path is not None:
            media_type = "application/octet-stream"
            return FileResponse(path, headers=self._given, media_type=media_type)
        message = "the blob had to leave before it was sent"
        response = error_response(XrpcError(503, "NotEnoughResources", message))
        response.headers["Retry-After"] = "1"
        return response


def add_mirror(app: FastAPI, database: Database, config: SearchConfig) -> None:
    """``getBlob``, if a directory for it is configured."""
    if config.mirror is None:
        return
    client = HttpClient(Policy(dev=config.dev))
    mirror = Mirror(database, client, config.mirror, config.mirror_bytes)

    def blob(request: Request) -> Response:
        given = {name: request.query_params.getlist(name) for name in ("did", "cid")}
        if any(len(values) != 1 for values in given.values()):
            raise invalid("did and cid: each is needed once")
        try:
            did, cid = Did.parse(given["did"][0]), Cid.parse(given["cid"][0])
        except ProtocolError as error:
            raise invalid(str(error)) from error
        etag, named = f'"{cid}"', mirror.named(did, cid)
        if (known := not_modified(request, etag)) is not None:
            return known
        headers = {
            "ETag": etag,
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": f'attachment; filename="{cid}"',
        }
        mirror.fetch(named)
        return BlobResponse(mirror, named, headers)

    app.add_api_route(f"/xrpc/{GET_BLOB}", guarded(blob), methods=["GET", "HEAD"])


def add_mcp(app: FastAPI, queries: Queries, config: SearchConfig, version: str, lane: Lane) -> None:
    """The endpoint for models. Any origin may ask: all that it tells is public."""
    server = mcp.Server(queries, version)

    async def endpoint(request: Request) -> Response:
        try:
            mcp.check_version(request.headers.get("mcp-protocol-version"))
            body = await limited_body(request, mcp.MAX_BODY)
        except XrpcError as error:
            return error_response(error)

        def snippet(detail: DatasetDetail) -> str:
            here, dev = origin(config, request), is_dev(config, request)
            return load_snippet(detail.dataset.uri, here, dev)

        def answered(_: Request) -> Response:
            answer = server.answer(body, snippet)
            return Response(status_code=202) if answer is None else json_response(answer)

        return await lane.answered(request, answered)

    def no_stream() -> Response:
        message = "there is no stream of events here: send messages with POST"
        response = error_response(XrpcError(405, "MethodNotAllowed", message))
        response.headers["Allow"] = "POST"
        return response

    app.add_api_route("/mcp", endpoint, methods=["POST"])
    app.add_api_route("/mcp", no_stream, methods=["GET", "HEAD", "DELETE"])


async def limited_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises ``XrpcError`` 413 as soon as it is too long."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise XrpcError(413, "PayloadTooLarge", f"at most {limit} bytes")
    return bytes(body)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1


def newest(queries: Queries, pairs: Pairs) -> Pairs:
    """A feed is newest first, unless it was asked for otherwise."""
    known = queries.catalog.query(SEARCH_DATASETS).parameters.properties
    if "sort" not in known or any(name == "sort" for name, _ in pairs):
        return pairs
    return [*pairs, ("sort", "newest")]


def _title(pairs: Pairs) -> str:
    return syndication.title_of(next((value for name, value in pairs if name == "q"), ""))


def _addresses(base: str, path: str, pairs: Pairs, cursor: str | None) -> syndication.Addresses:
    kept: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        kept[name] = (*kept.get(name, ()), value)
    first = {name: values for name, values in kept.items() if name != "cursor"}
    return syndication.Addresses(
        origin=base,
        feed=base + page_url(path, **kept),
        page=base + page_url("/", **first),
        following=None if cursor is None else base + page_url(path, **first, cursor=cursor),
    )

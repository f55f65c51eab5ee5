"""The search API as one ASGI application. Composition only: everything is made from its arguments.

Handlers are synchronous and run on the thread pool, each with a database session of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from atdata.protocol.errors import AtdataError, InvalidSyntax, StoreError, XrpcError, quote
from atdata.protocol.lexicon import Catalog, builtin_catalog
from atdata.protocol.syntax import Nsid
from search_api import index_status, openapi
from search_api.config import SearchConfig
from search_api.database import Database
from search_api.discovery import Discovery
from search_api.discovery_methods import all_methods
from search_api.feeds.asking import Queries
from search_api.feeds.routes import add_export, add_feeds, add_mcp, add_mirror, add_site
from search_api.feeds.subscriptions import Subscriptions, add_subscription
from search_api.follow import Follower
from search_api.http_cache import HttpCache
from search_api.lanes import Lane
from search_api.limits import RateLimit
from search_api.methods import GET_BLOB, SUBSCRIBE_CHANGES, methods
from search_api.origin import origin
from search_api.ranges import KnownRanges
from search_api.search import Search
from search_api.text_index import TextIndex
from search_api.web.pages import add_pages
from search_api.web.preview_process import PreviewMaker
from search_api.web.previews import Previews
from search_api.web.rendering import Renderer
from search_api.xrpc import (
    MAX_QUERY_STRING,
    Method,
    answer,
    as_xrpc,
    error_response,
    invalid,
    json_response,
    parse_params,
)

VERSION = version("atdata")
SERVICE_ID = "#atdata_search"
# A thread that comes back from the database or the text index waits that long for each one that
# computes: at Python's own 5 ms, what is written would fall behind while much is searched.
SWITCH_SECONDS = 0.0005
WAITING, LONG_WAITING = 500, 50  # requests, until one is told to come again
# Queries that may take longer than a search; so may pages, feeds and files.
LONG = frozenset(
    [
        *("findLensPath", "findLenses", "searchLenses", "listLenses", "getDatasets"),
        *("getProfile", "getSimilarDatasets", "getIndexStatus", "listTags", "listLicenses"),
        *("listSchemas", "listSchemaVersions", "getLatestSchema", "resolveSchema", "searchSchemas"),
    ]
)

log = structlog.get_logger(__name__)


def create_app(
    database: Database,
    text_index: TextIndex,
    config: SearchConfig,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The application. It keeps ``text_index`` up to date while it runs, and closes neither.

    ``registry`` is what ``/metrics`` shows; give the one of the indexer in the same process.
    """
    catalog = builtin_catalog()
    search = Search(database, text_index, config.level_seconds)
    discovery = Discovery(database, text_index)
    follower = Follower(text_index, config.follow_seconds)
    subscriptions = Subscriptions(database, config)
    maker = PreviewMaker(dev=config.dev)
    previews = Previews(maker.make) if config.previews else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        follower.start()
        async with subscriptions.running():
            yield
        follower.stop()
        maker.close()

    app = FastAPI(
        title="atdata search",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    answered = all_methods(catalog, database, methods(search), discovery)
    metrics = _Metrics(registry or CollectorRegistry(), text_index)
    lane, long_lane = Lane(config.threads, WAITING), Lane(config.long_threads, LONG_WAITING)
    for method in answered:
        takes_long = method.nsid.rpartition(".")[2] in LONG
        endpoint = _endpoint(catalog, method, metrics, long_lane if takes_long else lane)
        app.add_api_route(f"/xrpc/{method.nsid}", endpoint, methods=["GET", "HEAD"])
    add_subscription(app, subscriptions)
    add_mirror(app, database, config)
    _add_service_routes(
        app, database, config, follower, metrics, catalog, [m.nsid for m in answered]
    )
    queries = Queries(catalog, answered)
    add_feeds(app, queries, config, long_lane)
    add_site(app, database, queries, config, long_lane)
    add_export(app, database, config)
    add_mcp(app, queries, config, VERSION, long_lane)
    renderer = add_pages(app, catalog, search, discovery, config, previews, (lane, long_lane))
    refuse = _add_error_handlers(app, renderer)
    app.add_middleware(KnownRanges)
    app.add_middleware(HttpCache)
    app.add_middleware(RateLimit, config=config, refuse=refuse)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["*"],
        expose_headers=[
            *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
            *("Retry-After", "ETag"),
        ],
    )
    return app


class _Metrics:
    """What this service counts about itself."""

    def __init__(self, registry: CollectorRegistry, text_index: TextIndex) -> None:
        self.registry = registry
        self.requests = Counter(
            "atdata_search_requests",
            "XRPC requests by method and HTTP status.",
            ["method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "atdata_search_request_seconds",
            "Time to answer an XRPC request.",
            ["method"],
            registry=registry,
            buckets=(0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.5, 2, 8),
        )
        Gauge(
            "atdata_search_text_seq", "Last change in the text index.", registry=registry
        ).set_function(lambda: text_index.seq)


def _endpoint(
    catalog: Catalog, method: Method, metrics: _Metrics, lane: Lane
) -> Callable[[Request], Awaitable[Response]]:
    def answered(request: Request) -> Response:
        started = time.perf_counter()
        try:
            if len(request.scope["query_string"]) > MAX_QUERY_STRING:
                raise invalid("the query string is too long")
            pairs = request.query_params.multi_items()
            response = answer(method.answer(parse_params(catalog, method.nsid, pairs)))
        except AtdataError as error:
            response = _error(error, method.not_found)
        metrics.requests.labels(method.nsid, response.status_code).inc()
        metrics.seconds.labels(method.nsid).observe(time.perf_counter() - started)
        return response

    return lane.endpoint(answered)


def _error(error: AtdataError, not_found: str = "RecordNotFound") -> Response:
    shown = as_xrpc(error, not_found)
    if shown.status >= 500:
        log.error("request.failed", why=str(error))
    return error_response(shown)


def _add_service_routes(
    app: FastAPI,
    database: Database,
    config: SearchConfig,
    follower: Follower,
    metrics: _Metrics,
    catalog: Catalog,
    nsids: list[str],
) -> None:
    description = openapi.document(catalog, nsids, VERSION, mirrored=config.mirror is not None)

    def health() -> Response:
        try:
            with database.session() as session:
                found = index_status.health(session)
        except StoreError as error:
            return error_response(XrpcError(503, "ServiceUnavailable", str(error)))
        if follower.failure is not None:
            return error_response(
                XrpcError(503, "ServiceUnavailable", "the text index does not keep up")
            )
        if found.is_dead:
            return error_response(XrpcError(503, "ServiceUnavailable", "every source is halted"))
        state = "degraded" if found.halted else "ok"
        return json_response({"version": VERSION, "status": state, "halted": list(found.halted)})

    def did_document(request: Request) -> Response:
        return json_response(_did_document(origin(config, request)))

    def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/_health", health, methods=["GET", "HEAD"])
    app.add_api_route("/.well-known/did.json", did_document, methods=["GET", "HEAD"])
    app.add_api_route("/metrics", show_metrics, methods=["GET", "HEAD"])
    app.add_api_route("/openapi.json", lambda: json_response(description), methods=["GET", "HEAD"])

    read = dict.fromkeys(nsids, "query") | {SUBSCRIBE_CHANGES: "subscription"}
    if config.mirror is not None:
        read[GET_BLOB] = "query"

    def other_method(nsid: str) -> Response:
        try:
            Nsid.parse(nsid)
        except InvalidSyntax as error:
            return error_response(invalid(str(error)))
        if nsid in read:
            message = f"this is a {read[nsid]}: use GET"
            response = error_response(XrpcError(405, "MethodNotAllowed", message))
            response.headers["Allow"] = "GET, HEAD"
            return response
        message = f"this service does not answer {quote(nsid)}"
        return error_response(XrpcError(501, "MethodNotImplemented", message))

    app.add_api_route(
        "/xrpc/{nsid:path}", other_method, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]
    )


def _did_document(endpoint: str) -> dict[str, object]:
    """Of the service at ``endpoint``, as did:web has it."""
    host = urlsplit(endpoint).netloc.replace(":", "%3A")
    service = {"id": SERVICE_ID, "type": "AtdataSearchService", "serviceEndpoint": endpoint}
    return {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": f"did:web:{host}",
        "service": [service],
    }


def _add_error_handlers(
    app: FastAPI, renderer: Renderer
) -> Callable[[Request, XrpcError], Response]:
    """Gives what shows an error: a page to browsers, JSON to programs."""
    names = {404: "NotFound", 405: "MethodNotAllowed", 503: "NotEnoughResources"}

    def shown(request: Request, error: XrpcError) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return renderer.error(request, error)
        return error_response(error)

    def http_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            return any_error(request, error)
        name = names.get(error.status_code, "InvalidRequest")
        response = shown(request, XrpcError(error.status_code, name, error.detail))
        response.headers.update(error.headers or {})
        return response

    def any_error(request: Request, _: Exception) -> Response:
        # Starlette raises the error again after this answer, so that the server logs it.
        message = "something went wrong on this side"
        return shown(request, XrpcError(500, "InternalServerError", message))

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(500, any_error)
    return shown

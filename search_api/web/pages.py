"""The pages that people use: rendered here, complete without JavaScript, every state under a URL.

Rule: pages ask the same questions as programs, with parameters read by the same lexicons. What they
show is hostile text: ``web/text`` makes it harmless, the templates escape it, and the content
security policy allows nothing but our own files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from fastapi import FastAPI, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from atdata.protocol.errors import AtdataError, XrpcError
from atdata.protocol.lexicon import Catalog
from atdata.protocol.views import DatasetDetail, LensView
from search_api.conditions import Question
from search_api.config import SearchConfig
from search_api.methods import (
    FIND_LENSES,
    GET_DATASET,
    GET_SCHEMA,
    LIST_SCHEMAS,
    SEARCH_DATASETS,
    question,
    required_uri,
)
from search_api.origin import is_dev, origin
from search_api.search import Search
from search_api.snippet import load_snippet
from search_api.views import timestamp
from search_api.web import text
from search_api.xrpc import MAX_QUERY_STRING, Params, as_xrpc, invalid, parse_params

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
FACET_SIZE = 20
_NARROWING = {
    "tags": "tag",
    "tagsAny": "tag",
    "license": "licence",
    "schema": "schema",
    "fields": "field",
    "author": "author",
    "storage": "in",
    "namespace": "namespace",
    "minSamples": "samples from",
    "maxSamples": "samples to",
    "minBytes": "bytes from",
    "maxBytes": "bytes to",
    "createdAfter": "from",
    "createdBefore": "before",
}
RELATED_LENSES = 12

log = structlog.get_logger(__name__)


def add_pages(app: FastAPI, catalog: Catalog, search: Search, config: SearchConfig) -> Pages:
    """Add all pages and their files to ``app``."""
    pages = Pages(catalog, search, config)
    for path, page in (
        ("/", pages.home),
        ("/dataset", pages.dataset),
        ("/schemas", pages.schemas),
        ("/schema", pages.schema),
        ("/lenses", pages.lenses),
        ("/status", pages.status),
    ):
        app.add_api_route(path, pages.guarded(page), methods=["GET", "HEAD"])
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    return pages


class Pages:
    """One method per page, from the request to the whole answer."""

    def __init__(self, catalog: Catalog, search: Search, config: SearchConfig) -> None:
        self._catalog, self._search, self._config = catalog, search, config
        self._templates = _environment()

    def guarded(self, page: Callable[[Request], Response]) -> Callable[[Request], Response]:
        """``page``, with errors as a page of their own."""

        def endpoint(request: Request) -> Response:
            try:
                return page(request)
            except AtdataError as error:
                return self.error(request, as_xrpc(error), error)

        return endpoint

    def error(self, request: Request, shown: XrpcError, cause: Exception | None = None) -> Response:
        """A page that says what is wrong."""
        if shown.status >= 500:
            log.error("page.failed", path=request.url.path, why=str(cause))
        return self._render(request, "error.html", shown.status, error=shown)

    def home(self, request: Request) -> Response:
        params = self._params(request, SEARCH_DATASETS)
        asked = question(params)
        found = self._search.datasets(
            asked, params.integer("limit"), params.text("cursor"), ("tags", "licenses"), FACET_SIZE
        )
        return self._render(
            request,
            "home.html",
            asked=asked,
            found=found,
            facets=found.facets,
            filters=_filters(asked),
            cursor=params.text("cursor"),
            link=_linker(asked),
            hidden=_chosen_values(asked),
            chosen=_chosen,
            toggled=_toggled,
        )

    def dataset(self, request: Request) -> Response:
        detail = self._search.dataset(required_uri(self._params(request, GET_DATASET)))
        lenses = self._search.lenses_of(detail.dataset.schema_uri, RELATED_LENSES)
        return self._render(
            request,
            "dataset.html",
            detail=detail,
            lenses=lenses,
            names=self._search.schema_names(_ends(lenses)),
            snippet=load_snippet(
                detail.dataset.uri, origin(self._config, request), is_dev(self._config, request)
            ),
            record=json.dumps(detail.record, indent=2, ensure_ascii=False),
            record_url=_record_url(detail),
        )

    def schemas(self, request: Request) -> Response:
        params = self._params(request, LIST_SCHEMAS)
        q, author = params.text("q") or "", params.account("author")
        found = self._search.schemas(q, author, params.integer("limit"), params.text("cursor"))
        return self._render(request, "schemas.html", q=q, author=author, found=found)

    def schema(self, request: Request) -> Response:
        uri = required_uri(self._params(request, GET_SCHEMA))
        detail = self._search.schema(uri)
        lenses = self._search.lenses_of(detail.schema.uri, RELATED_LENSES)
        return self._render(
            request,
            "schema.html",
            schema=detail.schema,
            datasets=self._search.datasets(Question(schema=(uri,)), RELATED_LENSES, None),
            lenses=lenses,
            names=self._search.schema_names(_ends(lenses)),
            record=json.dumps(detail.record, indent=2, ensure_ascii=False),
        )

    def lenses(self, request: Request) -> Response:
        params = self._params(request, FIND_LENSES)
        source, target = params.uri("source"), params.uri("target")
        found = self._search.lenses(source, target, params.integer("limit"), params.text("cursor"))
        ends = [*_ends(found.lenses), *(str(uri) for uri in (source, target) if uri is not None)]
        return self._render(
            request,
            "lenses.html",
            found=found,
            source=params.text("source"),
            target=params.text("target"),
            names=self._search.schema_names(ends),
        )

    def status(self, request: Request) -> Response:
        return self._render(request, "status.html", status=self._search.status())

    # --- parts ------------------------------------------------------------------------------

    def _params(self, request: Request, nsid: str) -> Params:
        """Parameters as the query's lexicon says; a form's empty fields count as absent."""
        if len(request.scope["query_string"]) > MAX_QUERY_STRING:
            raise invalid("the query string is too long")
        pairs = request.query_params.multi_items()
        return parse_params(self._catalog, nsid, [(name, value) for name, value in pairs if value])

    def _render(
        self, request: Request, template: str, http_status: int = 200, **values: object
    ) -> Response:
        page = self._templates.get_template(template).render(path=request.url.path, **values)
        return HTMLResponse(page.encode("utf-8", "replace"), http_status, HEADERS)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        finalize=text.harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        thousands=text.thousands,
        bytes=text.bytes_text,
        day=text.day,
        field_type=text.type_text,
        https=text.https_url,
    )
    environment.globals.update(url=text.page_url, account=text.account, record_key=text.record_key)
    return environment


def _values(asked: Question) -> dict[str, object]:
    """The question as the parameters of its URL."""
    return {
        "q": asked.q,
        "tags": asked.tags,
        "tagsAny": asked.tags_any,
        "license": asked.license,
        "schema": tuple(map(str, asked.schema)),
        "fields": asked.fields,
        "author": tuple(map(str, asked.author)),
        "storage": asked.storage,
        "namespace": asked.namespace,
        "minSamples": asked.samples[0],
        "maxSamples": asked.samples[1],
        "minBytes": asked.bytes[0],
        "maxBytes": asked.bytes[1],
        "createdAfter": _moment(asked.created[0]),
        "createdBefore": _moment(asked.created[1]),
        "sort": None if asked.sort == "relevance" else asked.sort,
        "fuzzy": None if asked.fuzzy else "off",
    }


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else timestamp(milliseconds * 1_000)


def _linker(asked: Question) -> Callable[..., str]:
    """Makes links to the same question with some parameters changed, from the first page on."""

    def link(**changes: object) -> str:
        return text.page_url("/", **{**_values(asked), **changes})

    return link


def _chosen_values(asked: Question) -> list[tuple[str, object]]:
    """Every parameter but the text, one by one."""
    pairs: list[tuple[str, object]] = []
    for name, value in _values(asked).items():
        values = value if isinstance(value, tuple) else (value,)
        pairs += [(name, each) for each in values if each is not None and name != "q"]
    return pairs


def _filters(asked: Question) -> list[tuple[str, str, str]]:
    """What narrows the question: name, value, and the URL without it."""
    pairs, link = _chosen_values(asked), _linker(asked)
    found = []
    for name, value in pairs:
        if name in _NARROWING:
            rest = tuple(other for key, other in pairs if key == name and other != value)
            found.append((_NARROWING[name], str(value), link(**{name: rest or None})))
    return found


def _ends(lenses: Sequence[LensView]) -> list[str]:
    return [end for lens in lenses for end in (lens.source_schema, lens.target_schema)]


def _chosen(values: Sequence[str], value: str) -> bool:
    return any(other.lower() == value.lower() for other in values)


def _toggled(values: Sequence[str], value: str) -> tuple[str, ...]:
    """``values`` with ``value`` if it is not among them, otherwise without."""
    rest = tuple(other for other in values if other.lower() != value.lower())
    return rest if len(rest) < len(values) else (*values, value)


def _record_url(detail: DatasetDetail) -> str | None:
    """The record on its author's host, if that is an https origin."""
    if detail.pds is None:
        return None
    repo, collection, rkey = detail.dataset.uri.removeprefix("at://").split("/")
    path = f"{detail.pds.rstrip('/')}/xrpc/com.atproto.repo.getRecord"
    return text.https_url(text.page_url(path, repo=repo, collection=collection, rkey=rkey))

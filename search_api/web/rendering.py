"""How a page is made: parameters read by the lexicons, templates, headers, errors as pages.

Rule: what pages show is hostile text: ``web/text`` makes it harmless, the templates escape it, and
the content security policy allows nothing but our own files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog
from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from atdata.protocol.errors import AtdataError, XrpcError
from atdata.protocol.lexicon import Catalog
from search_api.web import preview_plots, preview_table, text
from search_api.web.turning import Turn
from search_api.xrpc import MAX_QUERY_STRING, Params, as_xrpc, invalid, parse_params

FOLDER = Path(__file__).parent
DAYS = frozenset({"createdAfter", "createdBefore"})  # parameters for which a form sends a day
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

log = structlog.get_logger(__name__)

Page = Callable[[Request], Response]


class Renderer:
    """Makes pages of templates and values."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._templates = catalog, _environment()

    def guarded(self, page: Page) -> Page:
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
        return self.page(request, "error.html", shown.status, error=shown)

    def params(self, request: Request, nsid: str) -> Params:
        """Parameters as the query's lexicon says; a form's empty fields count as absent, and its
        days begin at midnight UTC."""
        if len(request.scope["query_string"]) > MAX_QUERY_STRING:
            raise invalid("the query string is too long")
        given = request.query_params.multi_items()
        pairs = [(name, text.moment(value) if name in DAYS else value) for name, value in given]
        return parse_params(self._catalog, nsid, [(name, value) for name, value in pairs if value])

    def page(
        self, request: Request, template: str, http_status: int = 200, **values: object
    ) -> Response:
        """The whole answer."""
        page = self._templates.get_template(template).render(path=request.url.path, **values)
        return HTMLResponse(page.encode("utf-8", "replace"), http_status, HEADERS)


def given_limit(request: Request, params: Params) -> int | None:
    """How many items a page has if the URL says so, so that its links can say it, too."""
    return params.integer("limit") if request.query_params.get("limit") else None


def turn_of(request: Request, params: Params) -> Turn:
    """Which page of a list is asked for."""
    given = {name: request.query_params.getlist(name) for name in ("page", "back")}
    return Turn.of(params.text("cursor"), given)


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
        seen=text.seen,
        field_type=text.type_text,
        https=text.https_url,
        number=preview_plots.number,
    )
    environment.globals.update(
        url=text.page_url,
        account=text.account,
        named=text.named,
        record_key=text.record_key,
        line_path=preview_plots.line_path,
        bars_path=preview_plots.bars_path,
        sample_name=preview_table.sample_name,
    )
    return environment

"""The pages that people use: rendered here, complete without JavaScript, every state under a URL.

Rule: pages ask the same questions as programs, with parameters read by the same lexicons.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from atdata.protocol.lexicon import Catalog
from search_api.config import SearchConfig
from search_api.discovery import Discovery
from search_api.search import Search
from search_api.web.record_pages import RecordPages
from search_api.web.rendering import FOLDER, Renderer
from search_api.web.search_pages import SearchPages


def add_pages(
    app: FastAPI, catalog: Catalog, search: Search, discovery: Discovery, config: SearchConfig
) -> Renderer:
    """Add all pages and their files to ``app``. Gives what renders errors."""
    renderer = Renderer(catalog)
    searching = SearchPages(renderer, search)
    records = RecordPages(renderer, search, discovery, config)

    def status(request: Request) -> Response:
        return renderer.page(request, "status.html", status=search.status())

    for path, page in (
        ("/", searching.home),
        ("/dataset", records.dataset),
        ("/schemas", records.schemas),
        ("/schema", records.schema),
        ("/lenses", records.lenses),
        ("/status", status),
    ):
        app.add_api_route(path, renderer.guarded(page), methods=["GET", "HEAD"])
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    return renderer

"""The pages that people use: rendered here, complete without JavaScript, every state under a URL.

Rule: pages ask the same questions as programs, with parameters read by the same lexicons.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from atdata.protocol.lexicon import Catalog
from search_api.config import SearchConfig
from search_api.discovery import Discovery
from search_api.search import Search
from search_api.web import status_text
from search_api.web.browse_pages import BrowsePages
from search_api.web.dataset_pages import DatasetPages
from search_api.web.lens_pages import LensPages
from search_api.web.preview_pages import PreviewPages
from search_api.web.previews import Previews
from search_api.web.rendering import FOLDER, Renderer
from search_api.web.schema_pages import SchemaPages
from search_api.web.search_pages import SearchPages


def add_pages(
    app: FastAPI,
    catalog: Catalog,
    search: Search,
    discovery: Discovery,
    config: SearchConfig,
    previews: Previews | None,
) -> Renderer:
    """Add all pages and their files to ``app``. Gives what renders errors. ``previews`` is None
    where no samples are shown."""
    renderer = Renderer(catalog)
    searching = SearchPages(renderer, search)
    samples = PreviewPages(renderer, search, previews)
    datasets = DatasetPages(renderer, search, discovery, samples, config)
    schemas = SchemaPages(renderer, search, discovery, config)
    lenses = LensPages(renderer, search, discovery)
    browsing = BrowsePages(renderer, search, discovery)

    def status(request: Request) -> Response:
        now = datetime.now(UTC)
        return renderer.page(
            request, "status.html", status=search.status(), words=status_text, now=now
        )

    for path, page in (
        ("/", searching.home),
        ("/dataset", datasets.dataset),
        ("/preview", samples.part),
        ("/preview/image", samples.image),
        ("/schemas", schemas.schemas),
        ("/schema", schemas.schema),
        ("/lenses", lenses.lenses),
        ("/lens", lenses.lens),
        ("/lens-path", lenses.path),
        ("/lens-map", lenses.map),
        ("/tags", browsing.tags),
        ("/licenses", browsing.licenses),
        ("/author", browsing.author),
        ("/status", status),
    ):
        app.add_api_route(path, renderer.guarded(page), methods=["GET", "HEAD"])
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    return renderer

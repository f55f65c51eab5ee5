"""The pages that people use: rendered here, complete without JavaScript, every state under a URL.

Rule: pages ask the same questions as programs, with parameters read by the same lexicons.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from atdata.protocol.lexicon import Catalog
from search_api.config import SearchConfig
from search_api.discovery import Discovery
from search_api.lanes import Lane
from search_api.search import Search
from search_api.web import status_text
from search_api.web.browse_pages import BrowsePages
from search_api.web.dataset_pages import DatasetPages
from search_api.web.lens_pages import LensPages
from search_api.web.lens_path_pages import LensPathPages
from search_api.web.preview_pages import PreviewPages
from search_api.web.previews import Previews
from search_api.web.rendering import FOLDER, Renderer
from search_api.web.schema_pages import SchemaPages
from search_api.web.search_pages import SearchPages

READ = ["GET", "HEAD"]


def add_pages(
    app: FastAPI,
    catalog: Catalog,
    search: Search,
    discovery: Discovery,
    config: SearchConfig,
    previews: Previews | None,
    lanes: tuple[Lane, Lane],
) -> Renderer:
    """Add all pages and their files to ``app``. Gives what renders errors. ``previews`` is None
    where no samples are shown. ``lanes`` are those for searches and for all other pages."""
    renderer = Renderer(catalog)
    searching = SearchPages(renderer, search)
    samples = PreviewPages(renderer, search, previews)
    datasets = DatasetPages(renderer, search, discovery, samples, config)
    schemas = SchemaPages(renderer, search, discovery, config)
    lenses = LensPages(renderer, search, discovery)
    paths = LensPathPages(renderer, search, discovery)
    browsing = BrowsePages(renderer, search, discovery)

    def status(request: Request) -> Response:
        now = datetime.now(UTC)
        return renderer.page(
            request, "status.html", status=search.status(), words=status_text, now=now
        )

    lane, long_lane = lanes
    app.add_api_route("/", lane.endpoint(renderer.guarded(searching.home)), methods=READ)
    # These wait for samples that a process of their own makes.
    for path, page in (("/preview", samples.part), ("/preview/image", samples.image)):
        app.add_api_route(path, renderer.guarded(page), methods=READ)
    dataset = renderer.guarded(datasets.dataset)

    async def dataset_page(request: Request) -> Response:
        if datasets.waits(request):
            return await run_in_threadpool(dataset, request)
        return await long_lane.answered(request, dataset)

    app.add_api_route("/dataset", dataset_page, methods=READ)
    for path, page in (
        ("/schemas", schemas.schemas),
        ("/schema", schemas.schema),
        ("/lenses", lenses.lenses),
        ("/lens", lenses.lens),
        ("/lens-path", paths.path),
        ("/lens-map", lenses.map),
        ("/tags", browsing.tags),
        ("/licenses", browsing.licenses),
        ("/author", browsing.author),
        ("/status", status),
    ):
        app.add_api_route(path, long_lane.endpoint(renderer.guarded(page)), methods=READ)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    return renderer

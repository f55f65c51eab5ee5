"""The search page: one box, facets, results; every state of it is a URL.

Rule: it asks the same question as ``searchDatasets``, read by the same lexicon.
"""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request
from starlette.responses import Response

from search_api.methods import SEARCH_DATASETS, question
from search_api.search import Search
from search_api.web import search_state as state
from search_api.web import text
from search_api.web.rendering import Renderer

FACETS = ("tags", "schemas", "licenses", "storage", "authors")
FACET_SIZE = 30  # counted, so that chosen values that are not among the first are found
FILES = (
    ("Atom", "/feed.atom", "application/atom+xml"),
    ("JSON Feed", "/feed.json", "application/feed+json"),
    ("CSV", "/search.csv", "text/csv"),
    ("JSON lines", "/search.jsonl", "application/jsonl"),
    ("API", f"/xrpc/{SEARCH_DATASETS}", "application/json"),
)


class SearchPages:
    """One method per page, from the request to the whole answer."""

    def __init__(self, renderer: Renderer, search: Search) -> None:
        self._renderer, self._search = renderer, search

    def home(self, request: Request) -> Response:
        """All datasets, or those that were asked for."""
        params = self._renderer.params(request, SEARCH_DATASETS)
        asked = replace(question(params), narrow_tags=True)
        found = self._search.datasets(
            asked, params.integer("limit"), params.text("cursor"), FACETS, FACET_SIZE
        )
        given = state.parameters(asked)
        files = [(label, text.page_url(path, **given), kind) for label, path, kind in FILES]
        return self._renderer.page(
            request,
            "home.html",
            asked=asked,
            found=found,
            chips=state.chips(asked, found, self._search.schema_names(map(str, asked.schema))),
            boxes=() if found.facets is None else state.facet_boxes(asked, found.facets),
            modes=state.tag_modes(asked),
            sorts=state.sorts(asked),
            given=given,
            bounded=state.has_bounds(asked),
            size_steps=state.size_steps,
            files=files,
            cursor=params.text("cursor"),
            link=state.linker(asked),
            pairs=state.pairs(asked),
        )

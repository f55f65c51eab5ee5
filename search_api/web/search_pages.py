"""The search page: one box, facets, results; every state of it is a URL.

Rule: it asks the same question as ``searchDatasets``, read by the same lexicon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastapi import Request
from starlette.responses import Response

from atdata.protocol.views import DatasetPage
from search_api.conditions import Question
from search_api.methods import SEARCH_DATASETS, question
from search_api.search import Search
from search_api.web import facet_boxes, text
from search_api.web import search_state as state
from search_api.web.facet_boxes import COUNTED
from search_api.web.rendering import Renderer, given_limit, turn_of
from search_api.web.search_state import Chip, Here

FACETS = ("tags", "schemas", "licenses", "storage", "authors")
TRIED = 10  # filters of which it is asked what is left without them
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
        asked, size = replace(question(params), narrow_tags=True), params.integer("limit")
        here, turn = Here(asked, given_limit(request, params)), turn_of(request, params)
        found = self._search.datasets(asked, size, turn.cursor, FACETS, COUNTED)
        names = self._names(asked, found)
        chips = state.chips(here, found, names)
        is_lost = not found.hits_total and turn.cursor is None
        given = state.parameters(asked)
        return self._renderer.page(
            request,
            "home.html",
            here=here,
            asked=asked,
            found=found,
            chips=self._tried(chips) if is_lost else chips,
            boxes=()
            if found.facets is None
            else facet_boxes.facet_boxes(here, found.facets, names),
            modes=facet_boxes.tag_modes(here),
            sorts=state.sorts(here),
            given=given,
            bounded=state.has_bounds(asked),
            size_steps=state.size_steps,
            files=[(label, text.page_url(path, **given), kind) for label, path, kind in FILES],
            turn=turn,
            pages=-(-found.hits_total // size),
        )

    def _names(self, asked: Question, found: DatasetPage) -> dict[str, str]:
        """How schemas and authors are called, those that are counted and those asked for."""
        names = state.names(found.facets)
        schemas = [uri for uri in asked.schema if uri not in names]
        authors = [did for did in map(str, asked.author) if did not in names]
        if schemas:
            names |= self._search.schema_names(schemas)
        if authors:
            handles = self._search.handles(authors)
            names |= {did: text.account(handle, did) for did, handle in handles.items()}
        return names

    def _tried(self, chips: Sequence[Chip]) -> list[Chip]:
        """``chips``, each with the hits that taking it back leaves."""
        return [
            chip
            if chip.without is None or place >= TRIED
            else replace(chip, leaves=self._search.datasets(chip.without, 1, None).hits_total)
            for place, chip in enumerate(chips)
        ]

"""The page of a dataset: what it is, how to load it, what its samples are, what is near it."""

from __future__ import annotations

import json

from fastapi import Request
from starlette.responses import Response

from atdata.protocol.discovery_views import LensPath
from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.syntax import AtUri
from search_api.config import SearchConfig
from search_api.discovery import Discovery
from search_api.methods import GET_DATASET, required_uri
from search_api.origin import is_dev, origin
from search_api.search import Search
from search_api.snippet import load_snippet
from search_api.web.lens_pages import path_ends
from search_api.web.preview_pages import PreviewPages, waiting
from search_api.web.rendering import Renderer

READINGS = 8
SIMILAR = 4
LABELS = 12


class DatasetPages:
    """One method per page, from the request to the whole answer."""

    def __init__(
        self,
        renderer: Renderer,
        search: Search,
        discovery: Discovery,
        previews: PreviewPages,
        config: SearchConfig,
    ) -> None:
        self._renderer, self._search, self._discovery = renderer, search, discovery
        self._previews, self._config = previews, config

    def waits(self, request: Request) -> bool:
        """Whether the page is asked for together with samples, which may take seconds."""
        return self._previews.on and request.query_params.get("samples") == "1"

    def dataset(self, request: Request) -> Response:
        uri = required_uri(self._renderer.params(request, GET_DATASET))
        detail = self._search.dataset(uri)
        view = detail.dataset
        readings = self._readings(view.schema_uri)
        asked = self.waits(request)
        return self._renderer.page(
            request,
            "dataset.html",
            detail=detail,
            has_previews=self._previews.on,
            asked=asked,
            shown=self._previews.shown(detail) if asked else waiting(detail),
            uri=view.uri,
            readings=readings,
            names=self._search.schema_names(path_ends(readings)),
            similar=self._discovery.similar_datasets(uri, SIMILAR).datasets,
            labels=self._discovery.labels_of(uri, LABELS),
            snippet=load_snippet(
                view.uri, origin(self._config, request), is_dev(self._config, request)
            ),
            record=json.dumps(detail.record, indent=2, ensure_ascii=False),
        )

    def _readings(self, schema: str) -> tuple[LensPath, ...]:
        """None where what the author wrote names no schema."""
        try:
            return self._discovery.readings(AtUri.parse(schema), READINGS)
        except InvalidSyntax:
            return ()

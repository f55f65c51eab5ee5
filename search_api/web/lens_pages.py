"""Lenses: lists, single ones, and a map of them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from fastapi import Request
from starlette.responses import Response

from atdata.protocol.discovery_views import LensPath
from atdata.protocol.errors import InvalidSyntax, NotFound
from atdata.protocol.namespaces import FOUNDATION
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import LensView
from search_api.discovery import Discovery
from search_api.methods import FIND_LENSES, required_uri
from search_api.search import Search
from search_api.web import lens_map, text
from search_api.web.rendering import Renderer
from search_api.xrpc import invalid

GET_LENS = f"{FOUNDATION}.getLens"
MAX_MAP_HOPS = 4
MAP_HOPS = 2


class LensPages:
    """One method per page, from the request to the whole answer."""

    def __init__(self, renderer: Renderer, search: Search, discovery: Discovery) -> None:
        self._renderer, self._search, self._discovery = renderer, search, discovery

    def lenses(self, request: Request) -> Response:
        params = self._renderer.params(request, FIND_LENSES)
        source, target = params.uri("source"), params.uri("target")
        author = params.account("author")
        found = self._discovery.lenses(
            source, target, author, params.integer("limit"), params.text("cursor")
        )
        asked = {
            "source": source and str(source),
            "target": target and str(target),
            "author": author and str(author),
        }
        ends = [*ends_of(found.lenses), *(str(uri) for uri in (source, target) if uri)]
        return self._renderer.page(
            request,
            "lenses.html",
            found=found,
            asked=asked,
            names=self._search.schema_names(ends),
            first=params.text("cursor") and text.page_url("/lenses", **asked),
            next=found.cursor and text.page_url("/lenses", **asked, cursor=found.cursor),
        )

    def lens(self, request: Request) -> Response:
        detail = self._discovery.lens(required_uri(self._renderer.params(request, GET_LENS)))
        return self._renderer.page(
            request,
            "lens.html",
            detail=detail,
            names=self._search.schema_names(ends_of([detail.lens])),
            record=json.dumps(detail.record, indent=2, ensure_ascii=False),
        )

    def map(self, request: Request) -> Response:
        """What lies around a schema; without one, the schema of the newest lens."""
        params = self._renderer.params(request, GET_LENS) if "uri" in request.query_params else None
        middle = required_uri(params) if params else self._somewhere()
        hops = _hops(request)
        near = self._discovery.lens_map(middle, hops) if middle else None
        return self._renderer.page(
            request,
            "lens-map.html",
            near=near,
            picture=lens_map.picture(near) if near else None,
            middle=near.schemas[0] if near else None,
            schemas={schema.key: schema for schema in near.schemas} if near else {},
            hops=hops,
            most_hops=MAX_MAP_HOPS,
        )

    def _somewhere(self) -> AtUri | None:
        newest = self._discovery.lenses(None, None, None, 1, None).lenses
        try:
            return AtUri.parse(newest[0].source_schema) if newest else None
        except InvalidSyntax as error:
            raise NotFound("the newest lens has no schema to begin at") from error


def ends_of(lenses: Iterable[LensView]) -> list[str]:
    """The schemas of lenses, as URIs."""
    return [end for lens in lenses for end in (lens.source_schema, lens.target_schema)]


def path_ends(paths: Iterable[LensPath]) -> list[str]:
    """All schemas on paths, as URIs."""
    ends = ends_of(step.lens for path in paths for step in path.steps)
    return [*ends, *(end for path in paths for end in (path.source, path.target))]


def _hops(request: Request) -> int:
    given = request.query_params.get("hops", "")
    if not given:
        return MAP_HOPS
    if given not in {str(hops) for hops in range(1, MAX_MAP_HOPS + 1)}:
        raise invalid(f"hops: a number from 1 to {MAX_MAP_HOPS}")
    return int(given)

"""The pages of what is published: a dataset, schemas, lenses."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fastapi import Request
from starlette.responses import Response

from atdata.protocol.views import DatasetDetail, LensView
from search_api.conditions import Question
from search_api.config import SearchConfig
from search_api.discovery import Discovery
from search_api.methods import FIND_LENSES, GET_DATASET, GET_SCHEMA, LIST_SCHEMAS, required_uri
from search_api.origin import is_dev, origin
from search_api.search import Search
from search_api.snippet import load_snippet
from search_api.web import text
from search_api.web.rendering import Renderer

RELATED_LENSES = 12


class RecordPages:
    """One method per page, from the request to the whole answer."""

    def __init__(
        self, renderer: Renderer, search: Search, discovery: Discovery, config: SearchConfig
    ) -> None:
        self._renderer, self._search, self._config = renderer, search, config
        self._discovery = discovery

    def dataset(self, request: Request) -> Response:
        detail = self._search.dataset(required_uri(self._renderer.params(request, GET_DATASET)))
        lenses = self._search.lenses_of(detail.dataset.schema_uri, RELATED_LENSES)
        return self._renderer.page(
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
        params = self._renderer.params(request, LIST_SCHEMAS)
        q, author = params.text("q") or "", params.account("author")
        found = self._search.schemas(q, author, params.integer("limit"), params.text("cursor"))
        return self._renderer.page(request, "schemas.html", q=q, author=author, found=found)

    def schema(self, request: Request) -> Response:
        uri = required_uri(self._renderer.params(request, GET_SCHEMA))
        detail = self._search.schema(uri)
        lenses = self._search.lenses_of(detail.schema.uri, RELATED_LENSES)
        return self._renderer.page(
            request,
            "schema.html",
            schema=detail.schema,
            datasets=self._search.datasets(Question(schema=(uri,)), RELATED_LENSES, None),
            lenses=lenses,
            names=self._search.schema_names(_ends(lenses)),
            record=json.dumps(detail.record, indent=2, ensure_ascii=False),
        )

    def lenses(self, request: Request) -> Response:
        params = self._renderer.params(request, FIND_LENSES)
        source, target = params.uri("source"), params.uri("target")
        found = self._search.lenses(source, target, params.integer("limit"), params.text("cursor"))
        ends = [*_ends(found.lenses), *(str(uri) for uri in (source, target) if uri is not None)]
        return self._renderer.page(
            request,
            "lenses.html",
            found=found,
            source=params.text("source"),
            target=params.text("target"),
            names=self._search.schema_names(ends),
        )


def _ends(lenses: Sequence[LensView]) -> list[str]:
    return [end for lens in lenses for end in (lens.source_schema, lens.target_schema)]


def _record_url(detail: DatasetDetail) -> str | None:
    """The record on its author's host, if that is an https origin."""
    if detail.pds is None:
        return None
    repo, collection, rkey = detail.dataset.uri.removeprefix("at://").split("/")
    path = f"{detail.pds.rstrip('/')}/xrpc/com.atproto.repo.getRecord"
    return text.https_url(text.page_url(path, repo=repo, collection=collection, rkey=rkey))

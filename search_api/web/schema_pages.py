"""Schemas: found by their words and their fields, and the page of one of them."""

from __future__ import annotations

import json

from fastapi import Request
from starlette.responses import Response

from atdata.protocol.discovery_views import SchemaVersionView
from atdata.protocol.errors import NotFound
from atdata.protocol.namespaces import FOUNDATION
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import SchemaView
from search_api.conditions import Question
from search_api.config import SearchConfig
from search_api.discovery import Discovery
from search_api.field_terms import KINDS, FieldTerm
from search_api.methods import GET_SCHEMA, required_uri
from search_api.origin import is_dev, origin
from search_api.schema_search import SchemaQuestion
from search_api.search import Search
from search_api.snippet import type_snippet
from search_api.web import text
from search_api.web.lens_pages import ends_of
from search_api.web.rendering import Renderer
from search_api.xrpc import Params

SEARCH_SCHEMAS = f"{FOUNDATION}.searchSchemas"
DATASETS = 8
LENSES = 12
COMPATIBLE = 8


class SchemaPages:
    """One method per page, from the request to the whole answer."""

    def __init__(
        self, renderer: Renderer, search: Search, discovery: Discovery, config: SearchConfig
    ) -> None:
        self._renderer, self._search, self._discovery = renderer, search, discovery
        self._config = config

    def schemas(self, request: Request) -> Response:
        """Search by words, by fields, and by what one's own type needs."""
        params = self._renderer.params(request, SEARCH_SCHEMAS)
        compatible, author = params.uri("compatible"), params.account("author")
        fields, needs = _split(params, "fields"), _split(params, "needs")
        question = SchemaQuestion(
            params.text("q") or "",
            fields=tuple(map(FieldTerm.parse, fields)),
            needs=tuple(map(FieldTerm.parse, needs)),
        )
        found = self._discovery.search_schemas(
            question, author, compatible, params.integer("limit"), params.text("cursor")
        )
        asked = {
            "q": question.q,
            "fields": fields,
            "needs": needs,
            "author": author and str(author),
            "compatible": compatible and str(compatible),
        }
        return self._renderer.page(
            request,
            "schemas.html",
            found=found,
            asked=asked,
            kinds=KINDS,
            structural=bool(fields or needs),
            compatible_name=self._name(compatible),
            first=params.text("cursor") and text.page_url("/schemas", **asked),
            next=found.cursor and text.page_url("/schemas", **asked, cursor=found.cursor),
        )

    def schema(self, request: Request) -> Response:
        uri = required_uri(self._renderer.params(request, GET_SCHEMA))
        detail = self._search.schema(uri)
        schema = AtUri.parse(detail.schema.uri)
        away = self._discovery.lenses(schema, None, None, LENSES, None)
        here = self._discovery.lenses(None, schema, None, LENSES, None)
        return self._renderer.page(
            request,
            "schema.html",
            schema=detail.schema,
            versions=self._versions(schema),
            datasets=self._search.datasets(Question(schema=(str(schema),)), DATASETS, None),
            compatible=self._compatible(schema),
            away=away,
            here=here,
            names=self._search.schema_names(ends_of((*away.lenses, *here.lenses))),
            snippet=type_snippet(
                detail.schema, origin(self._config, request), is_dev(self._config, request)
            ),
            record=json.dumps(detail.record, indent=2, ensure_ascii=False),
        )

    def _versions(self, schema: AtUri) -> tuple[SchemaVersionView, ...]:
        """Newest first; none for a schema whose version is none."""
        try:
            return self._discovery.schema_versions(None, schema).versions
        except NotFound:
            return ()

    def _compatible(self, schema: AtUri) -> tuple[SchemaView, ...]:
        """Others whose samples have every field of this one."""
        asked = self._discovery.search_schemas(SchemaQuestion(), None, schema, COMPATIBLE + 1, None)
        return tuple(view for view in asked.schemas if view.uri != str(schema))[:COMPATIBLE]

    def _name(self, schema: AtUri | None) -> str | None:
        if schema is None:
            return None
        return self._search.schema_names([str(schema)]).get(str(schema), str(schema))


def _split(params: Params, name: str) -> tuple[str, ...]:
    """Terms of a text box, where they stand between blanks or commas, or are repeated."""
    return tuple(term for text in params.texts(name) for term in text.replace(",", " ").split())

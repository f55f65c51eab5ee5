"""The queries about datasets and schemas: one line each, from parameters to a view.

Those beside search are in ``discovery_methods``.
"""

from __future__ import annotations

from atdata.protocol.body import refers
from atdata.protocol.errors import NotFound, quote
from atdata.protocol.namespaces import FOUNDATION
from atdata.protocol.syntax import AtUri, parse_at_identifier
from search_api.conditions import Question
from search_api.search import Search
from search_api.xrpc import Method, Params, invalid

SEARCH_DATASETS = f"{FOUNDATION}.searchDatasets"
FIND_LENSES = f"{FOUNDATION}.findLenses"
GET_DATASET = f"{FOUNDATION}.getDataset"
SUBSCRIBE_CHANGES = f"{FOUNDATION}.subscribeChanges"
GET_BLOB = "com.atproto.sync.getBlob"
GET_SCHEMA = f"{FOUNDATION}.getSchema"
LIST_SCHEMAS = f"{FOUNDATION}.listSchemas"


def question(params: Params) -> Question:
    """The parameters of ``searchDatasets``, page size, cursor and facets aside."""
    return Question(
        q=params.text("q") or "",
        tags=params.texts("tags"),
        tags_any=params.texts("tagsAny"),
        license=params.texts("license"),
        schema=tuple(map(_reference, params.texts("schema"))),
        fields=params.texts("fields"),
        author=tuple(parse_at_identifier(account) for account in params.texts("author")),
        storage=params.texts("storage"),
        namespace=params.texts("namespace"),
        samples=(params.optional_integer("minSamples"), params.optional_integer("maxSamples")),
        bytes=(params.optional_integer("minBytes"), params.optional_integer("maxBytes")),
        created=(params.moment("createdAfter"), params.moment("createdBefore")),
        sort=params.text("sort") or "relevance",
        fuzzy=params.text("fuzzy") != "off",
    )


def _reference(text: str) -> str:
    """As datasets refer to schemas, which is looser than format at-uri."""
    if not refers(text):
        raise invalid(f"schema: {quote(text)} is not an AT URI")
    return text


def required_uri(params: Params) -> AtUri:
    """The ``uri`` that names one record."""
    uri = params.uri("uri")
    if uri is None or uri.rkey is None:
        raise NotFound("the URI names no record")
    return uri


def methods(search: Search) -> tuple[Method, ...]:
    """All of these."""
    return (
        Method(
            SEARCH_DATASETS,
            lambda p: search.datasets(
                question(p), p.integer("limit"), p.text("cursor"), p.texts("facets")
            ),
        ),
        Method(GET_DATASET, lambda p: search.dataset(required_uri(p))),
        Method(
            LIST_SCHEMAS,
            lambda p: search.schemas(
                p.text("q") or "", p.account("author"), p.integer("limit"), p.text("cursor")
            ),
        ),
        Method(GET_SCHEMA, lambda p: search.schema(required_uri(p))),
        Method(f"{FOUNDATION}.getIndexStatus", lambda _: search.status()),
    )

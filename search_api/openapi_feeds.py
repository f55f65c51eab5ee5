"""The part of OpenAPI that no lexicon describes: feeds, files, crawlers, MCP. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search_api.methods import GET_BLOB, SUBSCRIBE_CHANGES

Json = dict[str, Any]

_SEARCHES = {
    "/feed.atom": ("feedAtom", "A search as an Atom feed, newest first.", "application/atom+xml"),
    "/feed.json": ("feedJson", "A search as a JSON feed.", "application/feed+json"),
    "/search.csv": ("searchCsv", "The first 10,000 hits of a search as CSV.", "text/csv"),
    "/search.jsonl": (
        "searchJsonl",
        "The first 10,000 hits of a search, one view a line.",
        "application/jsonl",
    ),
}
_TEXTS = {
    "/sitemap.xml": ("sitemap", "The parts of the sitemap.", "application/xml"),
    "/robots.txt": ("robots", "What crawlers may read.", "text/plain"),
    "/opensearch.xml": (
        "opensearch",
        "How browsers search here.",
        "application/opensearchdescription+xml",
    ),
    "/openapi.json": ("openapi", "This document.", "application/json"),
    "/.well-known/did.json": ("did", "The service's DID document.", "application/json"),
    "/metrics": ("metrics", "What the service counts about itself.", "text/plain"),
}
_FILE_TYPES = ("application/vnd.apache.parquet", "application/jsonl")
_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_EXPORT: Json = {
    "type": "object",
    "required": ["seq", "files"],
    "properties": {
        "seq": _COUNT,
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "url", "mediaType", "rows", "bytes", "sha256"],
                "properties": {
                    **dict.fromkeys(("name", "url", "mediaType", "sha256"), _TEXT),
                    **dict.fromkeys(("rows", "bytes"), _COUNT),
                },
            },
        },
    },
}


def paths(
    search: Sequence[Json], dataset: Sequence[Json], errors: Mapping[str, Json], *, mirrored: bool
) -> Json:
    """``search`` and ``dataset`` are the parameters of those queries, ``errors`` the answers to
    what can go wrong with any request, by status."""
    limited = {"429": errors["429"]}
    read = {status: errors[status] for status in ("429", "500", "503")}
    gone = {**read, "404": errors["400"]}
    found: Json = {}
    for path, (name, summary, media_type) in _SEARCHES.items():
        known = [one for one in search if one["name"] != "facets"]
        found[path] = _get(name, summary, [media_type], {**read, "400": errors["400"]}, known)
    for path, (name, summary, media_type) in _TEXTS.items():
        found[path] = _get(name, summary, [media_type], read)
    found["/croissant"] = _get(
        "croissant",
        "A dataset as Croissant 1.1.",
        ["application/ld+json"],
        {**gone, "400": errors["400"]},
        dataset,
    )
    found["/sitemap/{number}/{place}.xml"] = _get(
        "sitemapPart",
        "One part of the sitemap.",
        ["application/xml"],
        gone,
        [_in_path("number", {"type": "integer"}), _in_path("place", {"type": "integer"})],
    )
    found["/export"] = _get(
        "export", "The files of the bulk export.", ["application/json"], read, schema=_EXPORT
    )
    found["/export/{seq}/{name}"] = _get(
        "exportFile",
        "One file of the bulk export; ranges are answered.",
        _FILE_TYPES,
        {**gone, "410": errors["400"]},
        [_in_path("seq", {"type": "integer"}), _in_path("name", _TEXT)],
    )
    found[f"/xrpc/{SUBSCRIBE_CHANGES}"] = {"get": _subscription(limited, errors["400"])}
    if mirrored:
        found[f"/xrpc/{GET_BLOB}"] = _blob({**gone, "400": errors["400"], "502": errors["500"]})
    found["/mcp"] = {"post": _mcp({**limited, **dict.fromkeys(("400", "413"), errors["400"])})}
    return found


def _get(
    name: str,
    summary: str,
    media_types: Sequence[str],
    errors: Mapping[str, Json],
    parameters: Sequence[Json] = (),
    schema: Json | None = None,
) -> Json:
    content = {one: {"schema": schema or {}} for one in media_types}
    answers = {"200": {"description": "The answer.", "content": content}, **errors}
    operation: Json = {"operationId": name, "summary": summary, "responses": answers}
    if parameters:
        operation["parameters"] = list(parameters)
    return {"get": operation}


def _mcp(errors: Mapping[str, Json]) -> Json:
    message: Json = {
        "type": "object",
        "required": ["jsonrpc", "method"],
        "properties": {"jsonrpc": {"const": "2.0"}, "method": _TEXT, "params": {"type": "object"}},
    }
    result: Json = {"type": "object", "required": ["jsonrpc"]}
    answer = {"application/json": {"schema": _one_or_more(result)}}
    return {
        "operationId": "mcp",
        "summary": "Messages of the Model Context Protocol (streamable HTTP, no sessions).",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _one_or_more(message)}},
        },
        "responses": {
            "200": {"description": "The answer to a request.", "content": answer},
            "202": {"description": "A notification was taken."},
            **errors,
        },
    }


def _one_or_more(message: Json) -> Json:
    return {"anyOf": [message, {"type": "array", "items": message, "minItems": 1}]}


def _subscription(limited: Json, error: Json) -> Json:
    cursor = {"name": "cursor", "in": "query", "required": False, "schema": _COUNT}
    return {
        "operationId": SUBSCRIBE_CHANGES,
        "summary": "What changes in the index, as messages of a WebSocket (see its lexicon).",
        "parameters": [cursor],
        "responses": {
            "101": {"description": "The subscription begins."},
            "426": {**error, "description": "Without a WebSocket there is none."},
            **limited,
        },
    }


def _blob(errors: Mapping[str, Json]) -> Json:
    wanted = [
        {"name": name, "in": "query", "required": True, "schema": {**_TEXT, "format": name}}
        for name in ("did", "cid")
    ]
    made = _get(
        GET_BLOB,
        "A blob of an indexed dataset, checked against its CID; ranges are answered.",
        ["application/octet-stream"],
        errors,
        wanted,
    )
    part: Json = {"application/octet-stream": {"schema": {}}}
    made["get"]["responses"] |= {
        "206": {"description": "The range that was asked for.", "content": part},
        "416": {"description": "The blob has no such range."},
    }
    return made


def _in_path(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}

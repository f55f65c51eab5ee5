"""OpenAPI made from the lexicons, so that there is no second description of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from atdata.protocol import lexicon_types as types
from atdata.protocol.lexicon import Catalog
from atdata.protocol.namespaces import FOUNDATION
from search_api import openapi_feeds

Json = dict[str, Any]

SEARCH_DATASETS = f"{FOUNDATION}.searchDatasets"
GET_DATASET = f"{FOUNDATION}.getDataset"

# What can go wrong with any request, besides what a method's own lexicon names.
COMMON_ERRORS: Mapping[str, tuple[str, str]] = {
    "400": ("InvalidRequest", "A parameter is missing or wrong; the message says which."),
    "429": ("RateLimitExceeded", "Too many requests; `RateLimit-Reset` says when to go on."),
    "500": ("InternalServerError", "Something went wrong on this side."),
    "503": ("NotEnoughResources", "The query took too long; ask for less."),
}
_NOT_FOUND = ("NotFound", "The index has no such record.")


def document(
    catalog: Catalog, nsids: Iterable[str], version: str, *, mirrored: bool = False
) -> Json:
    """The OpenAPI 3.1 document of the queries ``nsids`` and of all other addresses for programs;
    of the mirror's, if there is one."""
    asked = frozenset(nsids)
    paths: Json = {f"/xrpc/{nsid}": {"get": _operation(catalog, nsid)} for nsid in sorted(asked)}
    paths |= openapi_feeds.paths(
        _operation(catalog, SEARCH_DATASETS)["parameters"],
        _operation(catalog, GET_DATASET)["parameters"],
        {status: _error_response(*error) for status, error in COMMON_ERRORS.items()},
        mirrored=mirrored,
    )
    paths["/_health"] = {"get": _plain("health", "Whether the service answers, and its version.")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "atdata search",
            "version": version,
            "description": "Datasets, schemas and lenses published on the AT Protocol network.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": _error_schema(), **_components(catalog, asked)}},
    }


def _operation(catalog: Catalog, nsid: str) -> Json:
    query = catalog.query(nsid)
    named = [error.name for error in query.errors]
    errors = dict(COMMON_ERRORS)
    missing = [name for name in named if name.endswith("NotFound")]
    if missing:
        errors["404"] = (missing[0], _NOT_FOUND[1])
    output = query.output.schema if query.output else None
    return {
        "operationId": nsid,
        "summary": query.description or nsid,
        "tags": [nsid.rpartition(".")[0]],
        "parameters": [
            _parameter(name, definition, name in query.parameters.required)
            for name, definition in query.parameters.properties.items()
        ],
        "responses": {
            "200": _response("The answer.", _schema(output) if output else {}),
            **{status: _error_response(*error) for status, error in sorted(errors.items())},
        },
    }


def parameters_schema(catalog: Catalog, nsid: str) -> Json:
    """The parameters of a query as the JSON Schema of one object."""
    parameters = catalog.query(nsid).parameters
    return {
        "type": "object",
        "properties": {name: _schema(d) for name, d in parameters.properties.items()},
        "required": list(parameters.required),
    }


def _plain(name: str, summary: str) -> Json:
    body = {
        "type": "object",
        "required": ["version"],
        "properties": {"version": {"type": "string"}},
    }
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": _response("It does.", body),
            "429": _error_response(*COMMON_ERRORS["429"]),
            "503": _error_response("ServiceUnavailable", "The text index does not keep up."),
        },
    }


def _parameter(name: str, definition: types.Definition, required: bool) -> Json:
    schema = _schema(definition)
    description = schema.pop("description", None)
    found: Json = {"name": name, "in": "query", "required": required, "schema": schema}
    if description:
        found["description"] = description
    if schema.get("type") == "array":
        found |= {"style": "form", "explode": True}
    return found


def _response(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error_response(name: str, description: str) -> Json:
    found = _response(description, {"$ref": "#/components/schemas/Error"})
    found["content"]["application/json"]["example"] = {"error": name, "message": "…"}
    return found


def _error_schema() -> Json:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["error", "message"],
        "properties": {"error": text, "message": text},
    }


def _components(catalog: Catalog, asked: Set[str]) -> Json:
    """Every definition of an answer: those in ``defs`` documents, and those of the queries."""
    return {
        _component(ref): _schema(definition)
        for ref, definition in catalog.definitions.items()
        if isinstance(definition, types.Object)
        and ((home := ref.partition("#")[0]).endswith(".defs") or home in asked)
    }


def _component(ref: str) -> str:
    return ref.replace("#", ".")


def _schema(definition: types.Definition) -> Json:
    found = _bare_schema(definition)
    if definition.description and "$ref" not in found:
        found["description"] = definition.description
    return {name: value for name, value in found.items() if value is not None}


def _bare_schema(definition: types.Definition) -> Json:
    match definition:
        case types.String():
            # Lexicon lengths are bytes, JSON Schema's are characters: only the upper bound carries.
            return {
                "type": "string",
                "maxLength": definition.max_length,
                "minLength": 1 if definition.min_length else None,
                "enum": list(definition.enum) if definition.enum else None,
                "format": definition.format,
                "default": definition.default,
            }
        case types.Integer():
            return {
                "type": "integer",
                "minimum": definition.minimum,
                "maximum": definition.maximum,
                "default": definition.default,
            }
        case types.Boolean():
            return {"type": "boolean", "default": definition.default}
        case types.Array():
            return {
                "type": "array",
                "items": _schema(definition.items),
                "minItems": definition.min_length,
                "maxItems": definition.max_length,
            }
        case types.Object():
            return {
                "type": "object",
                "required": list(definition.required) or None,
                "properties": {name: _schema(d) for name, d in definition.properties.items()},
            }
        case types.Ref():
            return {"$ref": f"#/components/schemas/{_component(definition.ref)}"}
        case _:
            return {"type": "object"}

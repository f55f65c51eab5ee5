"""The queries of ``discovery``: one line each, from parameters to a view."""

from __future__ import annotations

from collections.abc import Iterable

from atdata.protocol.lexicon import Catalog
from atdata.protocol.namespaces import FOUNDATION
from atdata.protocol.syntax import AtUri, Did, Handle
from search_api import successor
from search_api.database import Database
from search_api.discovery import Discovery
from search_api.field_terms import FieldTerm
from search_api.lens_routes import Route
from search_api.methods import required_uri
from search_api.schema_search import SchemaQuestion
from search_api.xrpc import Method, Params, invalid


def all_methods(
    catalog: Catalog, database: Database, searching: tuple[Method, ...], discovery: Discovery
) -> tuple[Method, ...]:
    """``searching``, what else ``discovery`` answers, and the successor's names for all that."""
    own = (*searching, *_lenses(discovery), *_schemas(discovery), *_others(discovery))
    return (*own, *successor.methods(catalog, database, own))


def _lenses(discovery: Discovery) -> Iterable[Method]:
    yield Method(
        f"{FOUNDATION}.findLenses",
        lambda p: discovery.lenses(
            p.uri("source"),
            p.uri("target"),
            p.account("author"),
            p.integer("limit"),
            p.text("cursor"),
        ),
    )
    yield Method(f"{FOUNDATION}.getLens", lambda p: discovery.lens(required_uri(p)))
    yield Method(
        f"{FOUNDATION}.findLensPath",
        lambda p: discovery.lens_paths(
            (p.uri("source"), p.uri("dataset")), p.uri("target"), _terms(p, "needs"), _route(p)
        ),
    )


def _route(params: Params) -> Route:
    return Route(
        limit=params.integer("limit"),
        hops=params.integer("hops"),
        puts=bool(params.values["putters"]),
        verified=bool(params.values["verified"]),
        reachable=params.integer("reachable"),
    )


def _terms(params: Params, name: str) -> tuple[FieldTerm, ...]:
    return tuple(FieldTerm.parse(text) for text in params.texts(name))


def _schemas(discovery: Discovery) -> Iterable[Method]:
    yield Method(
        f"{FOUNDATION}.searchSchemas",
        lambda p: discovery.search_schemas(
            SchemaQuestion(p.text("q") or "", fields=_terms(p, "fields"), needs=_terms(p, "needs")),
            p.account("author"),
            p.uri("compatible"),
            p.integer("limit"),
            p.text("cursor"),
        ),
        not_found="SchemaNotFound",
    )
    yield Method(
        f"{FOUNDATION}.getLatestSchema",
        lambda p: discovery.latest_schema(
            p.text("schemaId") or "", prereleases=bool(p.values["prereleases"])
        ),
        not_found="SchemaNotFound",
    )
    yield Method(
        f"{FOUNDATION}.listSchemaVersions",
        lambda p: discovery.schema_versions(p.text("schemaId"), p.uri("uri")),
        not_found="SchemaNotFound",
    )


def _others(discovery: Discovery) -> Iterable[Method]:
    yield Method(
        f"{FOUNDATION}.getDatasets",
        lambda p: discovery.datasets([AtUri.parse(text) for text in p.texts("uris")]),
    )
    yield Method(
        f"{FOUNDATION}.getSimilarDatasets",
        lambda p: discovery.similar_datasets(required_uri(p), p.integer("limit")),
    )
    yield Method(
        f"{FOUNDATION}.resolveLabel",
        lambda p: discovery.label(
            required_account(p, "author"), p.text("name") or "", p.text("version")
        ),
        not_found="LabelNotFound",
    )
    yield Method(
        f"{FOUNDATION}.getProfile",
        lambda p: discovery.profile(required_account(p, "actor"), p.integer("limit")),
        not_found="ProfileNotFound",
    )
    yield Method(
        f"{FOUNDATION}.listTags",
        lambda p: discovery.tags(
            p.text("prefix") or "", p.texts("with"), p.integer("limit"), p.text("cursor")
        ),
    )
    yield Method(
        f"{FOUNDATION}.listLicenses",
        lambda p: discovery.licenses(
            p.text("prefix") or "", p.texts("with"), p.integer("limit"), p.text("cursor")
        ),
    )


def required_account(params: Params, name: str) -> Did | Handle:
    """An account that the lexicon requires."""
    account = params.account(name)
    if account is None:
        raise invalid(f"{name}: is missing")
    return account

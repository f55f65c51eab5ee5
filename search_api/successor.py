"""The same index under the query names of the successor namespace, in the shapes of its clients.

Rule: an answer here is made from the answer of our own query, so that the two never disagree; what
the successor shows of a record beyond that (storage, schema body, code) is as the author wrote it.
Source: the query table of the successor's service, and lexicons ``science.alt.dataset.resolve*``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from atdata.protocol.discovery_views import ResolvedLabel
from atdata.protocol.errors import NotFound
from atdata.protocol.keys import key_of
from atdata.protocol.lexicon import Catalog
from atdata.protocol.namespaces import FOUNDATION, SUCCESSOR
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import (
    DatasetPage,
    DatasetView,
    LensPage,
    LensView,
    SchemaPage,
    SchemaView,
    SizeView,
)
from search_api import queries, schema_search
from search_api.database import Database, Session, marks
from search_api.xrpc import Method, Params, invalid, parse_params

Page = TypeVar("Page")
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EntryView:
    uri: str
    cid: str
    did: str
    name: str
    schema_ref: str
    storage: Record
    created_at: str
    description: str | None = None
    tags: tuple[str, ...] | None = None
    license: str | None = None
    size: SizeView | None = None


@dataclass(frozen=True, slots=True)
class TypeView:
    """A schema."""

    uri: str
    cid: str
    did: str
    name: str
    version: str
    created_at: str
    description: str | None = None
    schema_type: str | None = None
    schema: Record | None = None


@dataclass(frozen=True, slots=True)
class TransformView:
    """A lens."""

    uri: str
    cid: str
    did: str
    name: str
    source_schema: str
    target_schema: str
    created_at: str
    description: str | None = None
    language: str | None = None
    getter_code: Record | None = None
    putter_code: Record | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    entry: EntryView


@dataclass(frozen=True, slots=True)
class Entries:
    entries: tuple[EntryView, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class OneType:
    schema: TypeView


@dataclass(frozen=True, slots=True)
class Types:
    schemas: tuple[TypeView, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Transforms:
    lenses: tuple[TransformView, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedEntry:
    uri: str
    cid: str
    label: Record


@dataclass(frozen=True, slots=True)
class ResolvedType:
    uri: str
    cid: str
    record: Record


def methods(catalog: Catalog, database: Database, own: Sequence[Method]) -> tuple[Method, ...]:
    """The successor's queries, over ``own``."""
    return tuple(_Successor(catalog, database, own).methods())


class _Successor:
    def __init__(self, catalog: Catalog, database: Database, own: Sequence[Method]) -> None:
        self._catalog, self._database = catalog, database
        self._own = {method.nsid: method for method in own}

    def methods(self) -> Iterator[Method]:
        answers: tuple[tuple[str, Callable[[Params], object], str], ...] = (
            ("searchDatasets", self.search, "RecordNotFound"),
            ("listEntries", self.search, "RecordNotFound"),
            ("getEntry", self.entry, "RecordNotFound"),
            ("getEntries", self.entries, "RecordNotFound"),
            ("listSchemas", self.schemas, "SchemaNotFound"),
            ("getSchema", self.schema, "SchemaNotFound"),
            ("listLenses", self.lenses, "RecordNotFound"),
            ("searchLenses", self.lenses, "RecordNotFound"),
            ("resolveSchema", self.resolve_schema, "SchemaNotFound"),
            ("resolveLabel", self.resolve_label, "LabelNotFound"),
        )
        for name, answer, not_found in answers:
            yield Method(f"{SUCCESSOR}.{name}", answer, not_found)

    def search(self, params: Params) -> Entries:
        names = {"q": "q", "tags": "tags", "schemaRef": "schema", "repo": "author"}
        page = self._ask(DatasetPage, "searchDatasets", params, names)
        return Entries(self._entries(page.datasets), page.cursor)

    def entry(self, params: Params) -> Entry:
        entries = self._found([params.text("uri") or ""])
        if not entries:
            raise NotFound("the index has no such entry")
        return Entry(entries[0])

    def entries(self, params: Params) -> Entries:
        return Entries(self._found(params.texts("uris")))

    def _found(self, uris: Sequence[str]) -> tuple[EntryView, ...]:
        with self._database.session() as session:
            keys = [queries.key_of_uri(session, AtUri.parse(uri)) for uri in uris]
            known = [key for key in dict.fromkeys(keys) if key is not None]
            views = queries.datasets(session, known)
        return self._entries(views)

    def schemas(self, params: Params) -> Types:
        page = self._ask(SchemaPage, "listSchemas", params, {"repo": "author"})
        return Types(self._types(page.schemas), page.cursor)

    def schema(self, params: Params) -> OneType:
        uri = params.uri("uri")
        with self._database.session() as session:
            doc = None if uri is None else queries.key_of_uri(session, uri)
            found = queries.schemas(session, [] if doc is None else [doc])
        types = self._types(found)
        if not types:
            raise NotFound("the index has no such schema")
        return OneType(types[0])

    def lenses(self, params: Params) -> Transforms:
        names = {"sourceSchema": "source", "targetSchema": "target", "repo": "author"}
        page = self._ask(LensPage, "findLenses", params, names)
        return Transforms(self._transforms(page.lenses), page.cursor)

    def resolve_schema(self, params: Params) -> ResolvedType:
        author = params.account("handle")
        with self._database.session() as session:
            did = None if author is None else queries.did_of(session, author)
            found = schema_search.of_author(session, did or "", params.text("schemaId") or "")
            version = params.text("version")
            for view in found:
                if version in {None, view.version}:
                    record = _records(session, [view.uri])[view.uri]
                    return ResolvedType(view.uri, view.cid, record)
        raise NotFound("the author has no such schema")

    def resolve_label(self, params: Params) -> ResolvedEntry:
        names = {"handle": "author", "name": "name", "version": "version"}
        found = self._ask(ResolvedLabel, "resolveLabel", params, names)
        if found.dataset is None:
            raise NotFound("the index does not have what the label names")
        return ResolvedEntry(found.dataset.uri, found.dataset.cid, found.record)

    # --- parts ------------------------------------------------------------------------------

    def _ask(self, kind: type[Page], name: str, params: Params, names: Mapping[str, str]) -> Page:
        """What our own query answers; ``names`` are its parameters for those of ``params``."""
        nsid = f"{FOUNDATION}.{name}"
        pairs: list[tuple[str, str]] = []
        for given, ours in {**names, "limit": "limit", "cursor": "cursor"}.items():
            value = params.values.get(given)
            if value is not None:
                values = value if isinstance(value, tuple) else (str(value),)
                pairs += ((ours, text) for text in values)
        found = self._own[nsid].answer(parse_params(self._catalog, nsid, pairs))
        if not isinstance(found, kind):
            raise invalid("this cannot be asked of this service")
        return found

    def _bodies(self, uris: Sequence[str]) -> dict[str, Record]:
        with self._database.session() as session:
            return _records(session, uris)

    def _entries(self, views: Sequence[DatasetView]) -> tuple[EntryView, ...]:
        bodies = self._bodies([view.uri for view in views])
        return tuple(_entry(view, bodies[view.uri]) for view in views if view.uri in bodies)

    def _types(self, views: Sequence[SchemaView]) -> tuple[TypeView, ...]:
        bodies = self._bodies([view.uri for view in views])
        return tuple(_type(view, bodies[view.uri]) for view in views if view.uri in bodies)

    def _transforms(self, views: Sequence[LensView]) -> tuple[TransformView, ...]:
        bodies = self._bodies([view.uri for view in views])
        return tuple(_transform(view, bodies[view.uri]) for view in views if view.uri in bodies)


def _records(session: Session, uris: Sequence[str]) -> dict[str, Record]:
    """The visible bodies of ``uris``, as published."""
    if not uris:
        return {}
    docs = [key_of(uri) for uri in uris]
    rows = session.rows(
        "SELECT r.uri, r.record FROM records r JOIN repos p ON p.repo = r.repo "  # noqa: S608
        f"AND p.active WHERE r.doc IN ({marks(docs)})",
        docs,
    )
    return {uri: json.loads(record) for uri, record in rows}


def _object(body: Record, name: str) -> Record | None:
    value = body.get(name)
    return value if isinstance(value, Mapping) else None


def _entry(view: DatasetView, body: Record) -> EntryView:
    return EntryView(
        uri=view.uri,
        cid=view.cid,
        did=view.did,
        name=view.name,
        schema_ref=view.schema_uri,
        storage=_object(body, "storage") or {},
        created_at=view.created_at,
        description=view.description,
        tags=view.tags or None,
        license=view.license,
        size=view.size if view.size != SizeView() else None,
    )


def _type(view: SchemaView, body: Record) -> TypeView:
    sort = body.get("schemaType")
    return TypeView(
        uri=view.uri,
        cid=view.cid,
        did=view.did,
        name=view.name,
        version=view.version,
        created_at=view.created_at,
        description=view.description,
        schema_type=sort if isinstance(sort, str) else None,
        schema=_object(body, "schema"),
    )


def _transform(view: LensView, body: Record) -> TransformView:
    return TransformView(
        uri=view.uri,
        cid=view.cid,
        did=view.did,
        name=view.name,
        source_schema=view.source_schema,
        target_schema=view.target_schema,
        created_at=view.created_at,
        description=view.description,
        language=view.language,
        getter_code=_object(body, "getterCode"),
        putter_code=_object(body, "putterCode"),
    )

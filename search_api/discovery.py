"""The queries beside search: schemas, lenses and their paths, labels, profiles, tags, look-alikes.

Rule: each question has one session, in which records of inactive accounts do not exist; where a
page ended is said by the sort keys of its last item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from atdata.protocol.discovery_views import (
    DatasetList,
    LabelView,
    LensDetail,
    LensPath,
    LensPaths,
    ProfileView,
    ResolvedLabel,
    SchemaVersions,
    SimilarDatasets,
)
from atdata.protocol.errors import InvalidSyntax, NotFound
from atdata.protocol.keys import key_of
from atdata.protocol.syntax import AtUri, Did, Handle
from atdata.protocol.views import (
    LatestSchema,
    LensPage,
    LicenseCount,
    LicensePage,
    SchemaPage,
    TagCount,
    TagPage,
)
from search_api import (
    corpus,
    labels,
    lens_graph,
    lens_reach,
    lens_routes,
    paging,
    profiles,
    queries,
    schema_search,
    similar,
)
from search_api.database import Database, Session
from search_api.field_terms import FieldTerm
from search_api.lens_graph import LensNetwork
from search_api.lens_reach import LensMap
from search_api.lens_routes import Ends, Route
from search_api.schema_search import SchemaQuestion
from search_api.text_index import TextIndex
from search_api.vocabulary import Place, Vocabulary
from search_api.xrpc import invalid

View = TypeVar("View")


class Discovery:
    """Answers questions. Any number of threads."""

    def __init__(self, database: Database, text_index: TextIndex) -> None:
        self._database, self._text = database, text_index
        self._network, self._vocabulary = LensNetwork(), Vocabulary()

    # --- lenses -----------------------------------------------------------------------------

    def lenses(
        self,
        source: AtUri | None,
        target: AtUri | None,
        author: Did | Handle | None,
        limit: int,
        cursor: str | None,
    ) -> LensPage:
        """One page, newest first. Raises ``InvalidCursor``."""
        asked = paging.fingerprint("lenses", source, target, author)
        after = paging.decode(cursor, asked, (int, int)) if cursor is not None else None
        with self._database.session() as session:
            did = None if author is None else queries.did_of(session, author)
            if author is not None and did is None:
                return LensPage(())
            start = lens_graph.keys_of_schema(session, source) if source else None
            end = lens_graph.keys_of_schema(session, target) if target else None
            position = None if after is None else (int(after[0]), int(after[1]))
            found = lens_graph.edges(session, start, end, limit + 1, position, did)
        return LensPage(*_page(found, limit, asked))

    def lens(self, uri: AtUri) -> LensDetail:
        """Raises ``NotFound``."""
        with self._database.session() as session:
            return lens_graph.lens(session, uri)

    def lens_paths(
        self,
        begin: tuple[AtUri | None, AtUri | None],
        target: AtUri | None,
        needs: Sequence[FieldTerm],
        route: Route,
    ) -> LensPaths:
        """``begin``: a schema, or a dataset. Raises ``NotFound`` for an unknown dataset."""
        source, dataset = begin
        if (target is None) == (not needs):
            raise invalid("one of target and needs is wanted")
        if source is not None and dataset is not None:
            raise invalid("only one of source and dataset may be given")
        if source is None and dataset is None and not route.reachable:
            raise invalid("one of source, dataset and reachable is wanted")
        with self._database.session() as session:
            names = dict[int, str]()
            if source is not None:
                names = _canonical(session, source)
            elif dataset is not None:
                written = queries.dataset(session, dataset).dataset.schema_uri
                names = _as_written(session, written)
            targets = _canonical(session, target) if target else {}
            if needs:
                targets = schema_search.fitting(session, needs)
            ends = Ends(frozenset(names), frozenset(targets), names)
            return lens_routes.find(session, self._network, ends, route)

    def readings(
        self, schema: AtUri, limit: int, *, verified: bool = False
    ) -> tuple[LensPath, ...]:
        """The shortest path to each of the nearest schemas as which samples of ``schema`` can be
        read; ``verified``: over verified lenses alone."""
        with self._database.session() as session:
            start = _canonical(session, schema)
            return lens_reach.readings(session, self._network, start, limit, verified=verified)

    def lens_map(self, schema: AtUri, hops: int) -> LensMap:
        """The lenses around a schema, be it indexed or not."""
        with self._database.session() as session:
            key = queries.key_of_uri(session, schema)
            middle = (key_of(str(schema)) if key is None else key, str(schema))
            return lens_reach.around(session, self._network, middle, hops)

    # --- schemas ----------------------------------------------------------------------------

    def search_schemas(
        self,
        question: SchemaQuestion,
        author: Did | Handle | None,
        compatible: AtUri | None,
        limit: int,
        cursor: str | None,
    ) -> SchemaPage:
        """One page, best first. Raises ``InvalidCursor``, and ``NotFound`` for ``compatible``."""
        asked = paging.fingerprint("searchSchemas", question, author, compatible)
        keys = paging.decode(cursor, asked, (int, int, int)) if cursor is not None else None
        with self._database.session() as session:
            did = None if author is None else queries.did_of(session, author)
            if author is not None and did is None:
                return SchemaPage(())
            needs = question.needs
            if compatible is not None:
                view = queries.schema(session, compatible).schema
                needs = (*needs, *schema_search.needs_of(view))
            found = schema_search.search(
                session,
                SchemaQuestion(question.q, did, question.fields, needs),
                limit + 1,
                None if keys is None else (int(keys[0]), int(keys[1]), int(keys[2])),
            )
        return SchemaPage(*_page(found, limit, asked))

    def latest_schema(self, schema_id: str, *, prereleases: bool) -> LatestSchema:
        """Raises ``NotFound``."""
        with self._database.session() as session:
            return schema_search.latest(session, schema_id, prereleases=prereleases)

    def schema_versions(self, schema_id: str | None, uri: AtUri | None) -> SchemaVersions:
        """Raises ``NotFound``."""
        if (schema_id is None) == (uri is None):
            raise invalid("one of schemaId and uri is wanted")
        with self._database.session() as session:
            return SchemaVersions(schema_search.versions(session, schema_id, uri))

    # --- datasets, accounts -----------------------------------------------------------------

    def datasets(self, uris: Sequence[AtUri]) -> DatasetList:
        """The visible ones, each once."""
        found = []
        with self._database.session() as session:
            for uri in dict.fromkeys(uris):
                try:
                    found.append(queries.dataset(session, uri))
                except NotFound:
                    continue
        return DatasetList(tuple(found))

    def similar_datasets(self, uri: AtUri, limit: int) -> SimilarDatasets:
        """Raises ``NotFound``."""
        with self._database.session() as session:
            return similar.similar(session, self._text.reader(), uri, limit)

    def label(self, author: Did | Handle, name: str, version: str | None) -> ResolvedLabel:
        """Raises ``NotFound``."""
        with self._database.session() as session:
            return labels.resolve(session, author, name, version)

    def labels_of(self, dataset: AtUri, limit: int) -> tuple[LabelView, ...]:
        """The newest labels that name a dataset."""
        with self._database.session() as session:
            return labels.of_dataset(session, dataset, limit)

    def profile(self, actor: Did | Handle, limit: int) -> ProfileView:
        """Raises ``NotFound``."""
        with self._database.session() as session:
            return profiles.profile(session, actor, limit)

    # --- tags and licences ------------------------------------------------------------------

    def tags(self, prefix: str, together: Sequence[str], limit: int, cursor: str | None) -> TagPage:
        """One page by (count, tag): a tag whose count changes in between may move across the cut.
        Raises ``InvalidCursor``."""
        asked = paging.fingerprint("tags", prefix, tuple(together))
        after = _count(cursor, asked)
        with self._database.session() as session:
            folded = [corpus.fold(session, tag) for tag in together]
            begin = corpus.fold(session, prefix)
        reader = self._text.reader()
        found = self._vocabulary.values(reader, "tags", begin, folded, limit + 1, after)
        page, last = paging.cut([TagCount(*one) for one in found], limit)
        return TagPage(page, paging.encode(asked, (last.count, last.tag)) if last else None)

    def licenses(
        self, prefix: str, together: Sequence[str], limit: int, cursor: str | None
    ) -> LicensePage:
        """One page by (count, licence), like ``tags``. Raises ``InvalidCursor``."""
        asked = paging.fingerprint("licenses", prefix, tuple(together))
        after = _count(cursor, asked)
        with self._database.session() as session:
            folded = [corpus.fold(session, tag) for tag in together]
            begin = corpus.fold(session, prefix)
        reader = self._text.reader()
        found = self._vocabulary.values(reader, "licenses", begin, folded, limit + 1, after)
        page, last = paging.cut([LicenseCount(*one) for one in found], limit)
        return LicensePage(page, paging.encode(asked, (last.count, last.license)) if last else None)


def _as_written(session: Session, uri: str) -> dict[int, str]:
    """The same for a URI that a dataset has; of no record's URI (a family's), itself."""
    try:
        return _canonical(session, AtUri.parse(uri))
    except InvalidSyntax:
        return {key_of(uri): uri}


def _canonical(session: Session, uri: AtUri) -> dict[int, str]:
    """The key by which the graph knows a schema, and its URI; nothing for an unknown handle."""
    key = queries.key_of_uri(session, uri)
    return {} if key is None else {key: str(uri)}


def _count(cursor: str | None, asked: str) -> Place | None:
    if cursor is None:
        return None
    count, text = paging.decode(cursor, asked, (int, str))
    return int(count), str(text)


def _page(
    found: Sequence[tuple[Sequence[int], View]], limit: int, asked: str
) -> tuple[tuple[View, ...], str | None]:
    page, last = paging.cut(found, limit)
    views = tuple(view for _, view in page)
    return views, paging.encode(asked, last[0]) if last else None

"""What programs and the pages ask: text index and database put together, with paging.

Rule: the text index only proposes; whatever is shown is read from the database in one session,
where records of inactive accounts do not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from atdata.protocol.keys import key_of
from atdata.protocol.syntax import AtUri, Did, Handle
from atdata.protocol.views import (
    DatasetDetail,
    DatasetPage,
    IndexStatus,
    LatestSchema,
    LensPage,
    LensView,
    LicensePage,
    SchemaDetail,
    SchemaPage,
    TagPage,
)
from search_api import corpus, facets, index_status, lens_graph, paging, queries, text_query
from search_api.database import Database, Session
from search_api.queries import Position
from search_api.text_index import TextIndex
from search_api.text_query import DatasetQuery, Rank

View = TypeVar("View")


@dataclass(frozen=True, slots=True)
class Question:
    """What datasets to find; every given condition must hold."""

    q: str = ""
    tags: tuple[str, ...] = ()
    license: str | None = None
    schema: AtUri | None = None
    author: Did | Handle | None = None
    storage: str | None = None


class Search:
    """Answers questions. Any number of threads."""

    def __init__(self, database: Database, text_index: TextIndex) -> None:
        self._database = database
        self._text = text_index

    def datasets(
        self,
        question: Question,
        limit: int,
        cursor: str | None,
        counted: Sequence[str] = (),
        facet_size: int = facets.FACET_SIZE,
    ) -> DatasetPage:
        """One page, best first; with the facets named in ``counted``. Raises ``InvalidCursor``."""
        asked = paging.fingerprint("datasets", text_query.VERSION, question)
        after = None
        if cursor is not None:
            after = Rank(*(int(key) for key in paging.decode(cursor, asked, (int, int, int))))
        with self._database.session() as session:
            query = _query(session, question)
            counts = (
                facets.count(session, self._text, query, counted, facet_size) if counted else None
            )
            if query is None:
                return DatasetPage((), 0, facets=counts)
            hits = self._text.search(query, limit + 1, after)
            page, last = paging.cut(hits.ranks, limit)
            found = queries.datasets(session, [rank.doc for rank in page])
        following = paging.encode(asked, (last.tier, last.order, last.doc)) if last else None
        return DatasetPage(found, hits.total, following, counts)

    def dataset(self, uri: AtUri) -> DatasetDetail:
        """Raises ``NotFound``."""
        with self._database.session() as session:
            return queries.dataset(session, uri)

    def schemas(
        self, q: str, author: Did | Handle | None, limit: int, cursor: str | None
    ) -> SchemaPage:
        """One page, newest first. Raises ``InvalidCursor``."""
        asked = paging.fingerprint("schemas", q, author)
        after = _position(cursor, asked)
        with self._database.session() as session:
            did = None if author is None else queries.did_of(session, author)
            if author is not None and did is None:
                return SchemaPage(())
            found = queries.list_schemas(session, q, did, limit + 1, after)
        return SchemaPage(*_page(found, limit, asked))

    def schema(self, uri: AtUri) -> SchemaDetail:
        """Raises ``NotFound``."""
        with self._database.session() as session:
            return queries.schema(session, uri)

    def latest_schema(self, schema_id: str) -> LatestSchema:
        """Raises ``NotFound``."""
        with self._database.session() as session:
            return queries.latest_schema(session, schema_id)

    def lenses(
        self, source: AtUri | None, target: AtUri | None, limit: int, cursor: str | None
    ) -> LensPage:
        """One page, newest first. Raises ``InvalidCursor``."""
        asked = paging.fingerprint("lenses", source, target)
        after = _position(cursor, asked)
        with self._database.session() as session:
            start = queries.key_of_uri(session, source) if source else None
            end = queries.key_of_uri(session, target) if target else None
            if (source and start is None) or (target and end is None):
                return LensPage(())
            found = lens_graph.edges(session, start, end, limit + 1, after)
        return LensPage(*_page(found, limit, asked))

    def lenses_of(self, schema_uri: str, limit: int) -> tuple[LensView, ...]:
        """The newest lenses that read this schema."""
        with self._database.session() as session:
            found = lens_graph.edges(session, key_of(schema_uri), None, limit, None)
        return tuple(view for _, view in found)

    def schema_names(self, uris: Iterable[str]) -> dict[str, str]:
        """``name version`` of those of ``uris`` that are visible schemas."""
        keys = {uri: key_of(uri) for uri in uris}
        with self._database.session() as session:
            found = queries.schema_names(session, keys.values())
        return {uri: " ".join(found[key]) for uri, key in keys.items() if key in found}

    def tags(self, prefix: str, limit: int, cursor: str | None) -> TagPage:
        """One page by (count, tag): a tag whose count changes in between may move across the cut.
        Raises ``InvalidCursor``."""
        asked = paging.fingerprint("tags", prefix)
        after = _count(cursor, asked)
        with self._database.session() as session:
            found = queries.tags(session, corpus.fold(session, prefix), limit + 1, after)
        page, last = paging.cut(found, limit)
        return TagPage(page, paging.encode(asked, (last.count, last.tag)) if last else None)

    def licenses(self, limit: int, cursor: str | None) -> LicensePage:
        """One page by (count, licence), like ``tags``. Raises ``InvalidCursor``."""
        asked = paging.fingerprint("licenses")
        after = _count(cursor, asked)
        with self._database.session() as session:
            found = queries.licenses(session, limit + 1, after)
        page, last = paging.cut(found, limit)
        return LicensePage(page, paging.encode(asked, (last.count, last.license)) if last else None)

    def status(self) -> IndexStatus:
        """Sources, counts, drops."""
        with self._database.session() as session:
            return index_status.status(session, self._text.seq)


def _query(session: Session, question: Question) -> DatasetQuery | None:
    """The question in keys; None if it names an account that the index does not know."""
    author, schema = None, None
    if question.author is not None:
        author = queries.repo_of(session, question.author)
    if question.schema is not None:
        schema = queries.key_of_uri(session, question.schema)
    if (question.author and author is None) or (question.schema and schema is None):
        return None
    return DatasetQuery(
        q=question.q,
        tags=tuple(corpus.fold(session, tag) for tag in question.tags),
        license=None if question.license is None else corpus.fold(session, question.license),
        schema=schema,
        repo=author,
        storage=question.storage,
    )


def _position(cursor: str | None, asked: str) -> Position | None:
    if cursor is None:
        return None
    moment, doc = paging.decode(cursor, asked, (int, int))
    return int(moment), int(doc)


def _count(cursor: str | None, asked: str) -> tuple[int, str] | None:
    if cursor is None:
        return None
    count, text = paging.decode(cursor, asked, (int, str))
    return int(count), str(text)


def _page(
    found: Sequence[tuple[Position, View]], limit: int, asked: str
) -> tuple[tuple[View, ...], str | None]:
    page, last = paging.cut(found, limit)
    views = tuple(view for _, view in page)
    return views, paging.encode(asked, last[0]) if last else None

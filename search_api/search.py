"""What programs and the pages ask: text index and database put together, with paging.

Rule: whatever is shown is read from the database in one session, where records of inactive accounts
do not exist; only hits of ``find_datasets`` come from the text index, where that is level with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from atdata.protocol.keys import key_of
from atdata.protocol.status_views import IndexStatus
from atdata.protocol.syntax import AtUri, Did, Handle
from atdata.protocol.views import (
    DatasetDetail,
    DatasetPage,
    SchemaDetail,
    SchemaPage,
)
from search_api import facets, index_status, paging, queries
from search_api.conditions import Question
from search_api.config import LEVEL_SECONDS
from search_api.database import Database
from search_api.find_datasets import DatasetFinder
from search_api.queries import Position
from search_api.text_index import TextIndex

View = TypeVar("View")


class Search:
    """Answers questions. Any number of threads."""

    def __init__(
        self, database: Database, text_index: TextIndex, level_seconds: float = LEVEL_SECONDS
    ) -> None:
        """``level_seconds``: how old the text index may be to be taken for the database."""
        self._database = database
        self._text = text_index
        self._finder = DatasetFinder(database, text_index, level_seconds)

    def datasets(
        self,
        question: Question,
        limit: int,
        cursor: str | None,
        counted: Sequence[str] = (),
        facet_size: int = facets.FACET_SIZE,
    ) -> DatasetPage:
        """One page, best first; with the facets named in ``counted``. Raises ``InvalidCursor``."""
        return self._finder.datasets(question, limit, cursor, counted, facet_size)

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

    def schema_names(self, uris: Iterable[str]) -> dict[str, str]:
        """``name version`` of those of ``uris`` that are visible schemas."""
        keys = {uri: key_of(uri) for uri in uris}
        with self._database.session() as session:
            found = queries.schema_names(session, keys.values())
        return {uri: " ".join(found[key]) for uri, key in keys.items() if key in found}

    def handles(self, dids: Iterable[str]) -> dict[str, str]:
        """The verified handles of those of ``dids`` that are active accounts and have one."""
        with self._database.session() as session:
            found = queries.accounts(session, [key_of(did) for did in dids])
        return {did: handle for did, handle in found.values() if handle is not None}

    def status(self) -> IndexStatus:
        """Sources, counts, drops."""
        with self._database.session() as session:
            return index_status.status(session, self._text.seq)


def _position(cursor: str | None, asked: str) -> Position | None:
    if cursor is None:
        return None
    moment, doc = paging.decode(cursor, asked, (int, int))
    return int(moment), int(doc)


def _page(
    found: Sequence[tuple[Position, View]], limit: int, asked: str
) -> tuple[tuple[View, ...], str | None]:
    page, last = paging.cut(found, limit)
    views = tuple(view for _, view in page)
    return views, paging.encode(asked, last[0]) if last else None

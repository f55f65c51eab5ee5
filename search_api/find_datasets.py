"""searchDatasets: from a question to a page of hits, their number, and their facets.

Rule: what is shown is as the database has it, or had it a moment ago (``level_seconds``). Where the
text index is not as new as that, records that have changed since are read from the database, where
those of inactive accounts do not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from atdata.protocol.keys import key_of
from atdata.protocol.views import DatasetPage, DatasetView, ParsedQueryView, QueryFilterView
from search_api import corpus, facets, paging, queries
from search_api.conditions import Conditions, Question
from search_api.database import Database, Session
from search_api.near_values import near_places, read_as, said
from search_api.paging import InvalidCursor
from search_api.stored_view import StoredView
from search_api.text_document import VERSION
from search_api.text_index import TextIndex
from search_api.text_query import SORTS, DatasetQuery, Rank
from search_api.text_reader import Reader
from search_api.widening import widened
from search_api.words import MAX_QUERY_WORDS, query_words


@dataclass(frozen=True, slots=True)
class _Plan:
    """The query that is asked, with the number of its hits, and where the page begins."""

    query: DatasetQuery
    total: int
    after: Rank | None = None


class DatasetFinder:
    """Answers ``searchDatasets``. Any number of threads."""

    def __init__(self, database: Database, text_index: TextIndex, level_seconds: float) -> None:
        """``level_seconds``: how old the text index may be to be taken for the database."""
        self._database, self._text, self._level_seconds = database, text_index, level_seconds
        self._conditions = Conditions(database)

    def datasets(
        self,
        question: Question,
        limit: int,
        cursor: str | None,
        counted: Sequence[str],
        facet_size: int,
    ) -> DatasetPage:
        """One page, best first; with the facets named in ``counted``. Raises ``InvalidCursor``."""
        query, is_level = self._conditions.query(question), self._text.age <= self._level_seconds
        reader = self._text.reader()
        asked = paging.fingerprint("datasets", VERSION, question)
        if query.parsed.phrases:  # which take long: their number comes with the counts
            facets.count(reader, query, counted, facet_size)
        if cursor is None:
            plan = _Plan(*widened(reader, query, question.fuzzy))
        else:
            plan = _continued(reader, query, cursor, asked)
        found, last = paging.cut(reader.page(plan.query, limit + 1, plan.after), limit)
        views = {rank.doc: _as_held(reader, stored.view) for rank, stored in found}
        if not is_level:
            with self._database.session() as session:
                views = _as_changed(session, reader, found, views)
        counts = facets.count(reader, plan.query, counted, facet_size)
        return DatasetPage(
            datasets=tuple(views[rank.doc] for rank, _ in found if rank.doc in views),
            hits_total=plan.total,
            cursor=_cursor(asked, plan.query, last[0]) if last else None,
            facets=counts if counted else None,
            query=_query_view(question.q),
            showing_results_for=said(plan.query) or None,
            relaxed=bool(plan.query.relaxed) or None,
        )


def _as_held(reader: Reader, view: DatasetView) -> DatasetView:
    """``view`` with what the reader knows of its repo by now."""
    state = "stale" if key_of(view.did) in reader.stale else "verified"
    return view if view.verification == state else replace(view, verification=state)


def _as_changed(
    session: Session,
    reader: Reader,
    found: Sequence[tuple[Rank, StoredView]],
    held: Mapping[int, DatasetView],
) -> dict[int, DatasetView]:
    """``held`` with what has changed since the reader's state: other versions, and hits that are
    gone. A change of an account is one of each of its records."""
    changed = corpus.changed_after(session, reader.seq)
    stale = [
        rank.doc
        for rank, stored in found
        if changed is None or rank.doc in changed or stored.schema in changed
    ]
    gone = set(stale)
    kept = {doc: view for doc, view in held.items() if doc not in gone}
    return kept | {key_of(view.uri): view for view in queries.datasets(session, stale)}


def _continued(reader: Reader, query: DatasetQuery, cursor: str, asked: str) -> _Plan:
    """The query of the first page, whatever it would find by now."""
    keys = SORTS[query.sort]
    kinds: list[type[int] | type[str]] = [str] * 4 + [int] * (3 + len(keys))
    corrected, made, said_as, values, *numbers = paging.decode(cursor, asked, kinds)
    forms, relaxed, tier, *rest = numbers
    words, instead = (tuple(query_words(str(text))) for text in (corrected, said_as))
    read = str(values).split("\n") if values else []
    most = max(len(words), len(instead))
    fits = most <= 2 * len(query.parsed.words) and len(read) in (0, near_places(query))
    if not (fits and 0 <= int(relaxed) <= MAX_QUERY_WORDS):
        raise InvalidCursor("the cursor belongs to another query; start again without it")
    query = read_as(query, read) if read else query
    query = replace(query, forms=bool(forms), corrected=words, relaxed=int(relaxed))
    query = replace(query, rooted=_at_places(query, str(made)), instead=instead)
    after = Rank(int(tier), tuple(int(value) for value in rest))
    return _Plan(query, reader.total(query), after)


def _cursor(asked: str, query: DatasetQuery, last: Rank) -> str:
    words = " ".join(query.corrected), _places(query), " ".join(query.instead)
    values, flags = "\n".join(query.read_as), (int(query.forms), query.relaxed)
    return paging.encode(asked, (*words, values, *flags, last.tier, *last.keys))


def _places(query: DatasetQuery) -> str:
    """Where the rooted words stand: much shorter than the words."""
    words = (*query.parsed.words, *query.corrected)
    return ",".join(str(words.index(word)) for word in query.rooted)


def _at_places(query: DatasetQuery, places: str) -> tuple[str, ...]:
    words, chosen = (*query.parsed.words, *query.corrected), places.split(",")
    return tuple(word for at, word in enumerate(words) if str(at) in chosen)


def _query_view(q: str) -> ParsedQueryView | None:
    if not q.strip():
        return None
    parsed = DatasetQuery(q).parsed
    return ParsedQueryView(
        words=parsed.words,
        phrases=tuple(map(" ".join, parsed.phrases)),
        excluded=tuple(map(" ".join, parsed.excluded)),
        filters=tuple(QueryFilterView(c.name, c.value, c.excluded) for c in parsed.conditions),
    )

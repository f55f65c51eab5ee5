"""Facets: how many of a query's hits have which tag, licence, storage, schema or author.

Rule: values are given as the parameters of ``searchDatasets`` take them, so that every value can
be asked for; accounts that are not active are nobody's label.
"""

from __future__ import annotations

from collections.abc import Sequence

from atdata.protocol.views import FacetsView, FacetValue
from search_api import queries
from search_api.database import Session
from search_api.text_index import TextIndex
from search_api.text_query import DatasetQuery

FACET_SIZE = 50  # values of each
FIELDS = {
    "tags": "tag_label",
    "licenses": "license_label",
    "storage": "storage",
    "schemas": "schema",
    "authors": "repo",
}

Counts = Sequence[tuple[str | int, int]]


def count(
    session: Session,
    text_index: TextIndex,
    query: DatasetQuery | None,
    names: Sequence[str],
    size: int = FACET_SIZE,
) -> FacetsView:
    """The ``size`` most frequent values of each facet in ``names`` over all hits of ``query``; no
    values where ``query`` is None."""
    if query is None:
        return FacetsView(**dict.fromkeys(names, ()))
    found = text_index.counts(query, [FIELDS[name] for name in names], size)
    return FacetsView(**{name: _values(session, name, found[FIELDS[name]]) for name in names})


def _values(session: Session, name: str, counts: Counts) -> tuple[FacetValue, ...]:
    match name:
        case "schemas":
            values = _schemas(session, counts)
        case "authors":
            values = _authors(session, counts)
        case _:
            values = [FacetValue(str(value), hits) for value, hits in counts]
    return tuple(sorted(values, key=lambda found: (-found.count, found.value)))


def _schemas(session: Session, counts: Counts) -> list[FacetValue]:
    docs = [int(doc) for doc, _ in counts]
    uris = queries.schema_uris(session, docs)
    names = queries.schema_names(session, docs)
    return [
        FacetValue(uris[int(doc)], hits, " ".join(names[int(doc)]) if doc in names else None)
        for doc, hits in counts
        if doc in uris
    ]


def _authors(session: Session, counts: Counts) -> list[FacetValue]:
    accounts = queries.accounts(session, [int(repo) for repo, _ in counts])
    return [
        FacetValue(accounts[int(repo)][0], hits, accounts[int(repo)][1])
        for repo, hits in counts
        if repo in accounts
    ]

"""Finding datasets and lenses in the index: lazy lists of hits, each of which can be loaded.

Rule: nothing is fetched before it is looked at, and a page that was fetched is kept, so that a
result list may be walked, sliced and counted again without asking twice.
"""

from __future__ import annotations

import builtins
import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, overload

from atdata import api as search_api
from atdata.api import find_lenses, get_dataset
from atdata.atmosphere.entries import read_as
from atdata.atmosphere.index_entry import AtmosphereIndexEntry
from atdata.dataset import Dataset, OnError
from atdata.download import pull
from atdata.find import find_dataset
from atdata.lens_path import find_lens_path
from atdata.load import Lenses, load_dataset
from atdata.protocol.errors import TypeMismatch
from atdata.protocol.records import SchemaRecord, StorageKind
from atdata.protocol.views import (
    DatasetPage,
    DatasetView,
    FacetsView,
    FacetValue,
    SchemaView,
)
from atdata.schema import fits

__all__ = [
    "DatasetHit",
    "SearchResults",
    "find_lens_path",
    "find_lenses",
    "get_dataset",
    "search",
]

MAX_SCHEMAS = 200  # looked at for a type that is asked for

Params = Mapping[str, search_api.Param]


@dataclass(frozen=True, slots=True)
class DatasetHit(DatasetView):
    """A dataset that a search found: what the index knows of it, and the way to its samples.

    Source: lexicon ``ac.foundation.dataset.defs`` (datasetView).
    """

    api: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, view: DatasetView, api: str | None) -> DatasetHit:
        """``view``, together with the API that gave it."""
        return cls(**{f.name: getattr(view, f.name) for f in dataclasses.fields(view)}, api=api)

    @property
    def view(self) -> DatasetView:
        """The bare view, as the API gave it."""
        names = (f.name for f in dataclasses.fields(DatasetView))
        return DatasetView(**{name: getattr(self, name) for name in names})

    @property
    def entry(self) -> AtmosphereIndexEntry:
        """The published entry: shard URLs, metadata, the whole record. Fetched anew each time."""
        return AtmosphereIndexEntry.of(find_dataset(self, api=self.api).entry)

    @property
    def type(self) -> builtins.type:
        """The Python type of its samples, decoded from its schema. Fetched anew each time."""
        return find_dataset(self, api=self.api).sample_type()

    def load(
        self,
        sample_type: builtins.type | None = None,
        *,
        lens: Lenses | None = None,
        on_error: OnError = "raise",
        writable: bool = False,
    ) -> Dataset[Any]:
        """Its samples: see ``atdata.load_dataset``."""
        return load_dataset(
            self, sample_type, lens=lens, api=self.api, on_error=on_error, writable=writable
        )

    def pull(self, library: str | os.PathLike[str] | None = None) -> list[Path]:
        """Download it: see ``atdata.pull``."""
        return pull(self, library, api=self.api)


MAX_EMPTY_PAGES = 20  # in a row


class _Pages:
    """One query's pages, each fetched once."""

    def __init__(self, params: Params, api: str) -> None:
        self._params, self._api = params, api
        self._ahead: DatasetPage | None = None  # fetched for its total, not yet given out
        self._cursor: str | None = None
        self._total: int | None = None
        self._empty = 0
        self.done = False

    def total(self) -> int:
        if self._total is None:
            self._ahead = self._fetch()
        return self._total or 0

    @property
    def counted(self) -> int | None:
        """The total, if it has been asked for already."""
        return self._total

    def next_hits(self) -> list[DatasetHit]:
        page, self._ahead = self._ahead or self._fetch(), None
        # A page may be empty: its hits were hidden meanwhile. A cursor that does not move, or moves
        # on and on without giving anything, would never end.
        self._empty = 0 if page.datasets else self._empty + 1
        self.done = page.cursor in (None, self._cursor) or self._empty > MAX_EMPTY_PAGES
        self._cursor = page.cursor
        return [DatasetHit.of(view, self._api) for view in page.datasets]

    def _fetch(self) -> DatasetPage:
        page = search_api.search_datasets(self._params, cursor=self._cursor, api=self._api)
        if self._total is None:
            self._total = page.hits_total
        return page


class SearchResults(Sequence[DatasetHit]):
    """Everything that matches, best first, fetched page by page as it is looked at.

    ``len()`` and ``total`` are the number of all matches as the index counted them on the first
    page; iteration goes to the end of the pages. Looking raises ``NetworkError``, ``XrpcError`` and
    ``InvalidRecord``.

    Source: lexicon ``ac.foundation.dataset.searchDatasets``.
    """

    def __init__(self, queries: Sequence[Params], api: str) -> None:
        """``queries``: parameters of ``searchDatasets``; the hits of each follow one another."""
        self._queries, self._api = queries, api
        self._facets: FacetsView | None = None
        self._pages = [_Pages(params, api) for params in queries]
        self._hits: list[DatasetHit] = []

    @property
    def total(self) -> int:
        """How many datasets match."""
        return sum(pages.total() for pages in self._pages)

    @property
    def facets(self) -> FacetsView:
        """How many of all hits have which ``tags``, ``licenses``, ``storage``, ``schemas`` and
        ``authors``: the most frequent values of each (50, where the index is ours) as
        ``FacetValue(value, count, label)``. Asked for on first use, and once.

        >>> [(tag.value, tag.count) for tag in atdata.search("digits").facets.tags]
        """
        if self._facets is None:
            pages = [search_api.count_facets(query, api=self._api) for query in self._queries]
            self._facets = _added_up([page.facets or FacetsView() for page in pages])
        return self._facets

    def __len__(self) -> int:
        return self.total

    def __repr__(self) -> str:
        given = [(name, value) for name, value in self._queries[0].items() if value]
        asked = ", ".join(f"{name}={value!r}" for name, value in given)
        counts = [pages.counted for pages in self._pages]
        known = [count for count in counts if count is not None]
        # Only to be shown, nothing is fetched: an API that is away is no error here.
        found = f": {sum(known)} datasets" if len(known) == len(counts) else ""
        return f"<SearchResults {asked or 'everything'}{found}>"

    def __iter__(self) -> Iterator[DatasetHit]:
        position = 0
        while self._reach(position):
            yield self._hits[position]
            position += 1

    @overload
    def __getitem__(self, index: int) -> DatasetHit: ...
    @overload
    def __getitem__(self, index: slice) -> list[DatasetHit]: ...
    def __getitem__(self, index: int | slice) -> DatasetHit | list[DatasetHit]:
        if isinstance(index, slice):
            forward = all(edge is None or edge >= 0 for edge in (index.start, index.stop))
            ends = forward and index.stop is not None and (index.step is None or index.step > 0)
            if not ends:
                self._reach(None)
            elif index.stop:
                self._reach(index.stop - 1)
            return self._hits[index]
        if not self._reach(index if index >= 0 else None):
            raise IndexError(f"hit {index} of {len(self._hits)}")
        return self._hits[index]

    def _reach(self, position: int | None) -> bool:
        """Fetch until there is a hit at ``position``, or to the end for None; is it there?"""
        for pages in self._pages:
            while not pages.done and (position is None or position >= len(self._hits)):
                self._hits += pages.next_hits()
        return position is None or position < len(self._hits)


def _added_up(counted: Sequence[FacetsView]) -> FacetsView:
    """Facets of queries that differ in their schema alone, as one; None becomes empty. Schemas are
    counted as if none were asked for, and so alike by all of them."""
    return FacetsView(
        **{
            name: _sum(
                [
                    value
                    for facets in (counted[:1] if name == "schemas" else counted)
                    for value in getattr(facets, name) or ()
                ]
            )
            for name in search_api.FACETS
        }
    )


def _sum(values: Sequence[FacetValue]) -> tuple[FacetValue, ...]:
    labels = {value.value: value.label for value in values}
    counts: Counter[str] = Counter()
    for value in values:
        counts[value.value] += value.count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(FacetValue(value, count, labels[value]) for value, count in ordered)


def search(
    q: str = "",
    *,
    tags: str | Sequence[str] = (),
    license: str | None = None,  # noqa: A002 - the record's own name for it
    schema: str | type | None = None,
    author: str | None = None,
    storage: StorageKind | None = None,
    api: str | None = None,
) -> SearchResults:
    """Find datasets in the index. Without arguments, all of them.

    ``q``: words, looked for in names, descriptions, tags and authors. ``tags``: one, or several
    that must all be there. ``license``: an SPDX identifier, or as published. ``schema``: the AT URI
    of a schema, or a type: every published schema of its name that it fits. ``author``: a DID or
    handle. ``storage``: ``external``, ``blobs`` or ``s3``. ``api``: another search API than the
    configured one.

    Hits are fetched page by page as they are looked at; ``total`` and ``facets`` count all of
    them. Raises ``NotConfigured``, ``TypeMismatch`` (no published schema is like the type); looking
    raises ``NetworkError``, ``XrpcError`` and ``InvalidRecord``.

    >>> for hit in atdata.search("digits", tags=["images"]):
    ...     print(hit.name, hit.handle)

    Source: lexicon ``ac.foundation.dataset.searchDatasets``.
    """
    params: dict[str, search_api.Param] = {
        "q": q,
        "tags": [tags] if isinstance(tags, str) else list(tags),
        "license": license,
        "author": author.removeprefix("@") if author else None,
        "storage": storage,
    }
    chosen = search_api.api_url(api)
    schemas = _published_as(schema, chosen) if isinstance(schema, type) else [schema]
    return SearchResults([{**params, "schema": uri} for uri in schemas], chosen)


def _published_as(sample_type: type, api: str) -> list[str]:
    """Every schema in the index under the type's name whose samples are of that type."""
    named = islice(search_api.list_schemas(sample_type.__name__, api=api), MAX_SCHEMAS)
    uris = [view.uri for view in named if _is_schema_of(view, sample_type, api)]
    if not uris:
        raise TypeMismatch(
            f"the index knows no schema called {sample_type.__name__} with the same fields; give "
            "the schema's AT URI, or leave it out"
        )
    return uris


def _is_schema_of(view: SchemaView, sample_type: type, api: str) -> bool:
    if view.name != sample_type.__name__:
        return False
    schema = read_as(SchemaRecord, search_api.schema_record(view.uri, api=api))
    return not fits(sample_type, schema)

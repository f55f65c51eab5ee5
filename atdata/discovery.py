"""Finding datasets and lenses in the index: lazy lists of hits, each of which can be loaded.

Rule: nothing is fetched before it is looked at, and a page that was fetched is kept, so that a
result list may be walked, sliced and counted again without asking twice.
"""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from atdata import api as search_api
from atdata.api import find_lenses, get_dataset
from atdata.atmosphere.entries import AtmosphereIndexEntry
from atdata.dataset import Dataset
from atdata.load import find_dataset, load_dataset
from atdata.protocol.errors import TypeMismatch
from atdata.protocol.records import StorageKind
from atdata.protocol.views import DatasetPage, DatasetView

__all__ = ["DatasetHit", "SearchResults", "find_lenses", "get_dataset", "search"]


@dataclass(frozen=True, slots=True)
class DatasetHit(DatasetView):
    """A dataset that a search found: what the index knows of it, and the way to its samples."""

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
        return find_dataset(self.uri, api=self.api).entry

    @property
    def type(self) -> builtins.type:
        """The Python type of its samples, decoded from its schema. Fetched anew each time."""
        return find_dataset(self.uri, api=self.api).sample_type()

    def load(self, sample_type: builtins.type | None = None) -> Dataset[Any]:
        """Its samples: see ``atdata.load_dataset``."""
        return load_dataset(self.uri, sample_type, api=self.api)


class SearchResults(Sequence[DatasetHit]):
    """Everything that matches, best first, fetched page by page as it is looked at.

    ``len()`` and ``total`` are the number of all matches as the index counted them on the first
    page; iteration goes to the end of the pages.
    """

    def __init__(self, params: dict[str, search_api.Param], api: str | None) -> None:
        self._params, self._api = params, api
        self._hits: list[DatasetHit] = []
        self._first: DatasetPage | None = None
        self._cursor: str | None = None
        self._done = False

    @property
    def total(self) -> int:
        """How many datasets match."""
        if self._first is None:
            self._fetch()
        return self._first.hits_total if self._first else 0

    def __len__(self) -> int:
        return self.total

    def __repr__(self) -> str:
        asked = ", ".join(f"{name}={value!r}" for name, value in self._params.items() if value)
        return f"<SearchResults {asked or 'everything'}: {self.total} datasets>"

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
        while not self._done and (position is None or position >= len(self._hits)):
            self._fetch()
        return position is None or position < len(self._hits)

    def _fetch(self) -> None:
        page = search_api.search_datasets(self._params, cursor=self._cursor, api=self._api)
        self._first = self._first or page
        self._hits += [DatasetHit.of(view, self._api) for view in page.datasets]
        # A cursor that does not move, or moves without giving anything, would go on for ever.
        self._done = page.cursor in (None, self._cursor) or not page.datasets
        self._cursor = page.cursor


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
    of a schema, or a type that was decoded from one. ``author``: a DID or handle. ``storage``:
    ``external``, ``blobs`` or ``s3``. ``api``: another search API than the configured one.

    >>> for hit in atdata.search("digits", tags=["images"]):
    ...     print(hit.name, hit.author)
    """
    params: dict[str, search_api.Param] = {
        "q": q,
        "tags": [tags] if isinstance(tags, str) else list(tags),
        "license": license,
        "schema": _schema_uri(schema) if isinstance(schema, type) else schema,
        "author": author.removeprefix("@") if author else None,
        "storage": storage,
    }
    return SearchResults(params, search_api.api_url(api))


def _schema_uri(sample_type: type) -> str:
    uri = getattr(sample_type, "__schema_uri__", None)
    if not isinstance(uri, str):
        raise TypeMismatch(
            f"{sample_type.__name__} was not decoded from a published schema: give the schema's URI"
        )
    return uri

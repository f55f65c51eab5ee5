"""The ends of a lens path by name: what somebody typed, as the records that may be meant.

Rule: a record is taken by itself only if it alone is called exactly so; between several, or among
those that only fit, whoever asked chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atdata.protocol.errors import InvalidSyntax
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import DatasetView, SchemaView
from search_api.conditions import Question
from search_api.discovery import Discovery
from search_api.schema_search import SchemaQuestion
from search_api.search import Search
from search_api.xrpc import invalid

MAX_TEXT = 500  # characters
SCHEMAS = 12  # to choose from
DATASETS = 6


@dataclass(frozen=True, slots=True)
class Named:
    """What ``typed`` may mean: the record at ``uri``, or one of ``schemas`` or ``datasets``."""

    typed: str
    uri: AtUri | None = None
    schemas: tuple[SchemaView, ...] = ()
    datasets: tuple[DatasetView, ...] = ()


class EndNames:
    """Finds the records that a name may mean."""

    def __init__(self, search: Search, discovery: Discovery) -> None:
        self._search, self._discovery = search, discovery

    def find(self, typed: str, *, datasets: bool) -> Named:
        """``typed``: a name, a schema's with or without its version, or an AT URI. ``datasets``:
        whether they count, too."""
        text = typed.strip()
        if len(text) > MAX_TEXT:
            raise invalid(f"a name: at most {MAX_TEXT} characters")
        if text.startswith("at://"):
            return Named(text, _uri(text))
        schemas = self._schemas(text)
        found = self._datasets(text) if datasets else ()
        same_schemas = tuple(view for view in schemas if _is_called(view, text))
        same_datasets = tuple(view for view in found if view.name.lower() == text.lower())
        exact = [view.uri for view in same_schemas] + [view.uri for view in same_datasets]
        if len(exact) == 1:
            return Named(text, AtUri.parse(exact[0]))
        if exact:
            return Named(text, None, same_schemas, same_datasets)
        return Named(text, None, schemas, found)

    def _schemas(self, text: str) -> tuple[SchemaView, ...]:
        """Those of the name and version first."""
        name, _, version = text.rpartition(" ")
        versions = [view for view in self._page(name) if view.version == version] if name else []
        found = {view.uri: view for view in (*versions, *self._page(text))}
        return tuple(found.values())[:SCHEMAS]

    def _page(self, q: str) -> Sequence[SchemaView]:
        asked = SchemaQuestion(q)
        return self._discovery.search_schemas(asked, None, None, SCHEMAS, None).schemas

    def _datasets(self, text: str) -> tuple[DatasetView, ...]:
        return self._search.datasets(Question(q=text), DATASETS, None).datasets


def _is_called(view: SchemaView, text: str) -> bool:
    """Whether ``text`` is its name, or its name and version."""
    return text.lower() in {view.name.lower(), f"{view.name} {view.version}".lower()}


def _uri(text: str) -> AtUri:
    try:
        return AtUri.parse(text)
    except InvalidSyntax as error:
        raise invalid(str(error)) from error

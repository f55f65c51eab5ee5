"""The search page: one box, facets, results; every state of it is a URL.

Rule: it asks the same question as ``searchDatasets``, read by the same lexicon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import Request
from starlette.responses import Response

from search_api.conditions import Question
from search_api.methods import SEARCH_DATASETS, question
from search_api.search import Search
from search_api.views import timestamp
from search_api.web import text
from search_api.web.rendering import Renderer

FACET_SIZE = 20
_NARROWING = {
    "tags": "tag",
    "tagsAny": "tag",
    "license": "licence",
    "schema": "schema",
    "fields": "field",
    "author": "author",
    "storage": "in",
    "namespace": "namespace",
    "minSamples": "samples from",
    "maxSamples": "samples to",
    "minBytes": "bytes from",
    "maxBytes": "bytes to",
    "createdAfter": "from",
    "createdBefore": "before",
}


class SearchPages:
    """One method per page, from the request to the whole answer."""

    def __init__(self, renderer: Renderer, search: Search) -> None:
        self._renderer, self._search = renderer, search

    def home(self, request: Request) -> Response:
        params = self._renderer.params(request, SEARCH_DATASETS)
        asked = question(params)
        found = self._search.datasets(
            asked, params.integer("limit"), params.text("cursor"), ("tags", "licenses"), FACET_SIZE
        )
        return self._renderer.page(
            request,
            "home.html",
            asked=asked,
            found=found,
            facets=found.facets,
            filters=_filters(asked),
            cursor=params.text("cursor"),
            link=_linker(asked),
            hidden=_chosen_values(asked),
            chosen=_chosen,
            toggled=_toggled,
        )


def _values(asked: Question) -> dict[str, object]:
    """The question as the parameters of its URL."""
    return {
        "q": asked.q,
        "tags": asked.tags,
        "tagsAny": asked.tags_any,
        "license": asked.license,
        "schema": tuple(map(str, asked.schema)),
        "fields": asked.fields,
        "author": tuple(map(str, asked.author)),
        "storage": asked.storage,
        "namespace": asked.namespace,
        "minSamples": asked.samples[0],
        "maxSamples": asked.samples[1],
        "minBytes": asked.bytes[0],
        "maxBytes": asked.bytes[1],
        "createdAfter": _moment(asked.created[0]),
        "createdBefore": _moment(asked.created[1]),
        "sort": None if asked.sort == "relevance" else asked.sort,
        "fuzzy": None if asked.fuzzy else "off",
    }


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else timestamp(milliseconds * 1_000)


def _linker(asked: Question) -> Callable[..., str]:
    """Makes links to the same question with some parameters changed, from the first page on."""

    def link(**changes: object) -> str:
        return text.page_url("/", **{**_values(asked), **changes})

    return link


def _chosen_values(asked: Question) -> list[tuple[str, object]]:
    """Every parameter but the text, one by one."""
    pairs: list[tuple[str, object]] = []
    for name, value in _values(asked).items():
        values = value if isinstance(value, tuple) else (value,)
        pairs += [(name, each) for each in values if each is not None and name != "q"]
    return pairs


def _filters(asked: Question) -> list[tuple[str, str, str]]:
    """What narrows the question: name, value, and the URL without it."""
    pairs, link = _chosen_values(asked), _linker(asked)
    found = []
    for name, value in pairs:
        if name in _NARROWING:
            rest = tuple(other for key, other in pairs if key == name and other != value)
            found.append((_NARROWING[name], str(value), link(**{name: rest or None})))
    return found


def _chosen(values: Sequence[str], value: str) -> bool:
    return any(other.lower() == value.lower() for other in values)


def _toggled(values: Sequence[str], value: str) -> tuple[str, ...]:
    """``values`` with ``value`` if it is not among them, otherwise without."""
    rest = tuple(other for other in values if other.lower() != value.lower())
    return rest if len(rest) < len(values) else (*values, value)

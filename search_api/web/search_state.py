"""What a search page is at: the question as a URL, what can be added to it, what taken back.

Rule: every state is a URL, and every link says the whole state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from atdata.protocol.views import DatasetPage, FacetsView, QueryFilterView
from search_api.conditions import Question
from search_api.views import timestamp
from search_api.web import text

STORAGE = {"blobs": "Blobs on a PDS", "external": "Files at URLs", "s3": "S3 bucket"}
SORTS = {
    "relevance": "Best match",
    "newest": "Newest",
    "updated": "Last changed",
    "name": "Name",
    "size": "Largest",
}
_NARROWING = {
    "tags": "tag",
    "tagsAny": "any of the tags",
    "license": "licence",
    "schema": "schema",
    "fields": "has field",
    "author": "by",
    "storage": "in",
    "namespace": "namespace",
    "minSamples": "samples from",
    "maxSamples": "samples to",
    "minBytes": "from",
    "maxBytes": "up to",
    "createdAfter": "created from",
    "createdBefore": "created before",
}
_WRITTEN = {"tag": "tag", "license": "licence", "author": "by", "did": "by", "field": "has field"}
_FIELDS = {  # of a question: those that are not called like the parameter
    "tagsAny": "tags_any",
    "minSamples": "samples",
    "maxSamples": "samples",
    "minBytes": "bytes",
    "maxBytes": "bytes",
    "createdAfter": "created",
    "createdBefore": "created",
}
_STEPS = (10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force. ``href`` is the search without it, ``without`` the question; None for what
    the query box says. ``leaves`` is how many hits that has, where it was asked."""

    what: str
    value: str
    href: str | None = None
    without: Question | None = None
    leaves: int | None = None


@dataclass(frozen=True, slots=True)
class Here:
    """Where somebody is: the question, and how many hits a page has if the URL says so."""

    asked: Question
    limit: int | None = None

    def link(self, **changes: object) -> str:
        """The same with some parameters changed, from the first page on."""
        return text.page_url("/", **{**parameters(self.asked), "limit": self.limit, **changes})

    def to(self, asked: Question) -> str:
        """Another question, from the first page on."""
        return replace(self, asked=asked).link()

    def pairs(self) -> list[tuple[str, object]]:
        """Every parameter that says something, one by one, as a form's hidden fields."""
        limit = [] if self.limit is None else [("limit", self.limit)]
        return [*pairs(self.asked), *limit]


def parameters(asked: Question) -> dict[str, object]:
    """The question as parameters of ``searchDatasets``; None or empty where they say nothing."""
    return {
        "q": asked.q,
        "tags": asked.tags,
        "tagsAny": asked.tags_any,
        "license": asked.license,
        "schema": asked.schema,
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


def pairs(asked: Question) -> list[tuple[str, object]]:
    """Every parameter that says something, one by one."""
    found: list[tuple[str, object]] = []
    for name, value in parameters(asked).items():
        values = value if isinstance(value, tuple) else (value,)
        found += [(name, v) for v in values if v not in (None, "")]
    return found


def without(asked: Question, name: str, value: object) -> Question:
    """``asked`` without ``value`` of the parameter ``name``, as in ``pairs``."""
    field = _FIELDS.get(name, name)
    held = getattr(asked, field)
    changes: dict[str, Any] = {}
    if name.startswith("min") or name == "createdAfter":
        changes[field] = None, held[1]
    elif name.startswith("max") or name == "createdBefore":
        changes[field] = held[0], None
    else:
        changes[field] = tuple(other for other in held if str(other) != value)
    return replace(asked, **changes)


def chips(here: Here, found: DatasetPage, names: Mapping[str, str]) -> list[Chip]:
    """What narrows the question: filters that can be taken back, then what the query box says.
    ``names`` say how schemas and authors are called."""
    made = []
    for name, value in pairs(here.asked):
        if name in _NARROWING:
            rest = without(here.asked, name, value)
            said = names.get(str(value)) or _said(name, value)
            made.append(Chip(_NARROWING[name], said, here.to(rest), rest))
    return made + _written(found)


def names(facets: FacetsView | None) -> dict[str, str]:
    """How schemas and authors are called that are counted."""
    if facets is None:
        return {}
    schemas = {v.value: v.label or text.record_key(v.value) for v in facets.schemas or ()}
    return schemas | {v.value: text.account(v.label, v.value) for v in facets.authors or ()}


def _said(name: str, value: object) -> str:
    match name, value:
        case (("minBytes" | "maxBytes"), int()):
            return text.bytes_text(value)
        case (("minSamples" | "maxSamples"), int()):
            return text.thousands(value)
        case (("createdAfter" | "createdBefore"), str()):
            return text.day(value)
        case "storage", str():
            return STORAGE.get(value, value)
        case _:
            return str(value)


def _written(found: DatasetPage) -> list[Chip]:
    if found.query is None:
        return []
    made = [Chip("exactly", f"“{phrase}”") for phrase in found.query.phrases]
    made += [Chip("without", words) for words in found.query.excluded]
    return made + [_of_filter(written) for written in found.query.filters]


def _of_filter(written: QueryFilterView) -> Chip:
    what = _WRITTEN.get(written.name, written.name)
    return Chip(f"not {what}" if written.excluded else what, written.value)


# --- order and bounds -----------------------------------------------------------------------------


def sorts(here: Here) -> list[tuple[str, str, bool]]:
    """The orders: what to say, the search in that order, whether it is the present one."""
    asked = here.asked
    orders = [name for name in SORTS if asked.q.strip() or name != "relevance"]
    now = asked.sort if asked.sort in orders else "newest"
    first = orders[0]
    return [
        (SORTS[n], here.link(sort=None if n in {"relevance", first} else n), n == now)
        for n in orders
    ]


def size_steps(now: int | None) -> list[tuple[int, str]]:
    """Sizes to choose from, with the present one."""
    steps = sorted({*_STEPS, *(() if now is None else (now,))})
    return [(step, text.bytes_text(step)) for step in steps]


def has_bounds(asked: Question) -> bool:
    """Whether size, samples or date is bounded."""
    return any(
        bound is not None for span in (asked.samples, asked.bytes, asked.created) for bound in span
    )

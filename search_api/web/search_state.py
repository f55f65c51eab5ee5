"""What a search page is at: the question as a URL, what can be added to it, what taken back.

Rule: every state is a URL, and the number beside a value is what it says: of a value that narrows
(a first one, a tag under "all of these") the hits that choosing it leaves, of a further alternative
the hits that have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from atdata.protocol.licenses import spdx_of
from atdata.protocol.views import DatasetPage, FacetsView, FacetValue, QueryFilterView
from search_api.conditions import Question
from search_api.views import timestamp
from search_api.web import text

SHOWN = 10  # values of a facet; more only if they are chosen
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
_STEPS = (10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force. ``href`` is the search without it; None for what the query box says."""

    what: str
    value: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """A value of a facet. ``href`` chooses it, or takes it back where it is ``chosen``."""

    label: str
    count: int
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class FacetBox:
    """One facet. ``name`` is that of the API."""

    name: str
    title: str
    options: tuple[Option, ...]


def parameters(asked: Question) -> dict[str, object]:
    """The question as parameters of ``searchDatasets``; None or empty where they say nothing."""
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


def linker(asked: Question, path: str = "/") -> Callable[..., str]:
    """Makes links to the same question with some parameters changed, from the first page on."""

    def link(**changes: object) -> str:
        return text.page_url(path, **{**parameters(asked), **changes})

    return link


def pairs(asked: Question, *without: str) -> list[tuple[str, object]]:
    """Every parameter that says something, one by one, as a form's hidden fields."""
    found: list[tuple[str, object]] = []
    for name, value in parameters(asked).items():
        values = value if isinstance(value, tuple) else (value,)
        found += [(name, v) for v in values if v not in (None, "") and name not in without]
    return found


def chips(asked: Question, found: DatasetPage, schemas: Mapping[str, str]) -> list[Chip]:
    """What narrows the question: filters that can be taken back, then what the query box says.
    ``schemas`` are names of those that are asked for."""
    given, link = pairs(asked, "q"), linker(asked)
    labels = {**_labels(found.facets), **schemas}
    made = []
    for name, value in given:
        if name in _NARROWING:
            rest = tuple(other for key, other in given if key == name and other != value)
            said = labels.get(str(value)) or _said(name, value)
            made.append(Chip(_NARROWING[name], said, link(**{name: rest or None})))
    return made + _written(found)


def _labels(facets: FacetsView | None) -> dict[str, str]:
    """How schemas and authors are called."""
    if facets is None:
        return {}
    schemas = {v.value: _schema_label(v) for v in facets.schemas or ()}
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


# --- facets ---------------------------------------------------------------------------------------


def facet_boxes(asked: Question, facets: FacetsView) -> tuple[FacetBox, ...]:
    """The facets that have values, in the order in which they are shown."""
    boxes = (
        FacetBox("tags", "Tags", _tag_options(asked, facets.tags or ())),
        FacetBox("schemas", "Schema", _options(asked, "schema", facets.schemas, _schema_label)),
        FacetBox("licenses", "Licence", _options(asked, "license", facets.licenses, _value)),
        FacetBox("storage", "Storage", _options(asked, "storage", facets.storage, _storage_label)),
        FacetBox("authors", "Author", _options(asked, "author", facets.authors, _author_label)),
    )
    return tuple(box for box in boxes if box.options)


def _tag_options(asked: Question, values: Sequence[FacetValue]) -> tuple[Option, ...]:
    link, mode = linker(asked), tag_mode(asked)
    held = {"tags": asked.tags, "tagsAny": asked.tags_any}

    def option(found: FacetValue) -> Option:
        inside = [name for name, tags in held.items() if _among(tags, found.value)]
        if inside:
            changes = {name: _without(held[name], found.value) for name in inside}
            return Option(found.value, found.count, link(**changes), chosen=True)
        changes = {mode: (*held[mode], found.value)}
        return Option(found.value, found.count, link(**changes), chosen=False)

    return _shown([option(found) for found in values])


def tag_mode(asked: Question) -> str:
    """The parameter that a tag is added to: ``tags`` (all of these) or ``tagsAny``."""
    return "tagsAny" if asked.tags_any and not asked.tags else "tags"


def tag_modes(asked: Question) -> list[tuple[str, str, bool]]:
    """The ways to take several tags: what to say, the search taken so, whether it is now."""
    chosen = (*asked.tags, *asked.tags_any)
    if not chosen:
        return []
    link, mixed = linker(asked), bool(asked.tags and asked.tags_any)
    every, either = link(tags=chosen, tagsAny=None), link(tags=None, tagsAny=chosen)
    now = tag_mode(asked)
    return [
        ("all of these", every, now == "tags" and not mixed),
        ("any of these", either, now == "tagsAny" and not mixed),
    ]


def _options(
    asked: Question,
    name: str,
    values: Sequence[FacetValue] | None,
    label: Callable[[FacetValue], str],
) -> tuple[Option, ...]:
    """Options of a parameter of whose values any one may hold."""
    given, link = parameters(asked)[name], linker(asked)
    chosen = given if isinstance(given, tuple) else ()

    def option(found: FacetValue) -> Option:
        named = [v for v in (found.value, found.label) if v is not None and _among(chosen, v)]
        rest: tuple[str, ...] = chosen
        for value in named:
            rest = _without(rest, value)
        href = link(**{name: rest if named else (*chosen, found.value)})
        return Option(label(found), found.count, href, chosen=bool(named))

    return _shown([option(found) for found in values or ()])


def _shown(options: Sequence[Option]) -> tuple[Option, ...]:
    return tuple(o for place, o in enumerate(options) if place < SHOWN or o.chosen)


def _folded(value: str) -> str:
    return (spdx_of(value) or value).strip().lower()


def _among(values: Sequence[str], value: str) -> bool:
    return any(_folded(other) == _folded(value) for other in values)


def _without(values: Sequence[str], value: str) -> tuple[str, ...]:
    return tuple(other for other in values if _folded(other) != _folded(value))


def _value(found: FacetValue) -> str:
    return found.value


def _storage_label(found: FacetValue) -> str:
    return STORAGE.get(found.value, found.value)


def _schema_label(found: FacetValue) -> str:
    return found.label or text.record_key(found.value)


def _author_label(found: FacetValue) -> str:
    return text.account(found.label, found.value)


# --- order and bounds -----------------------------------------------------------------------------


def sorts(asked: Question) -> list[tuple[str, str, bool]]:
    """The orders: what to say, the search in that order, whether it is the present one."""
    names = [name for name in SORTS if asked.q.strip() or name != "relevance"]
    now = asked.sort if asked.sort in names else "newest"
    link = linker(asked)
    first = names[0]
    return [
        (SORTS[n], link(sort=None if n in {"relevance", first} else n), n == now) for n in names
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

"""The facets beside the results: values to choose, and those that are chosen to take back.

Rule: the number beside a value is what it says: of a value that narrows (a first one, a tag under
"all of these") the hits that choosing it leaves, of a further alternative the hits that have it.
What is chosen is always there, also where nothing is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from atdata.protocol.licenses import spdx_of
from atdata.protocol.views import FacetsView, FacetValue
from search_api.web.search_state import STORAGE, Here, parameters

COUNTED = 30  # values of a facet, so that chosen ones that are not among the first are found
SHOWN = 10  # of them; more only if they are chosen


@dataclass(frozen=True, slots=True)
class Option:
    """A value of a facet. ``href`` chooses it, or takes it back where it is ``chosen``; ``count``
    is None where it is not known."""

    label: str
    count: int | None
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class FacetBox:
    """One facet. ``name`` is that of the API."""

    name: str
    title: str
    options: tuple[Option, ...]


def facet_boxes(here: Here, facets: FacetsView, names: Mapping[str, str]) -> tuple[FacetBox, ...]:
    """The facets that have values, in the order in which they are shown. ``names`` say how schemas
    and authors are called."""

    def label(value: str) -> str:
        return names.get(value) or STORAGE.get(value, value)

    boxes = (
        FacetBox("tags", "Tags", _tag_options(here, facets.tags or ())),
        FacetBox("schemas", "Schema", _options(here, "schema", facets.schemas or (), label)),
        FacetBox("licenses", "Licence", _options(here, "license", facets.licenses or (), label)),
        FacetBox("storage", "Storage", _options(here, "storage", facets.storage or (), label)),
        FacetBox("authors", "Author", _options(here, "author", facets.authors or (), label)),
    )
    return tuple(box for box in boxes if box.options)


def tag_mode(here: Here) -> str:
    """The parameter that a tag is added to: ``tags`` (all of these) or ``tagsAny``."""
    return "tagsAny" if here.asked.tags_any and not here.asked.tags else "tags"


def tag_modes(here: Here) -> list[tuple[str, str, bool]]:
    """The ways to take several tags: what to say, the search taken so, whether it is now."""
    asked = here.asked
    chosen = (*asked.tags, *asked.tags_any)
    if not chosen:
        return []
    mixed, now = bool(asked.tags and asked.tags_any), tag_mode(here)
    every, either = here.link(tags=chosen, tagsAny=None), here.link(tags=None, tagsAny=chosen)
    return [
        ("all of these", every, now == "tags" and not mixed),
        ("any of these", either, now == "tagsAny" and not mixed),
    ]


def _tag_options(here: Here, values: Sequence[FacetValue]) -> tuple[Option, ...]:
    mode = tag_mode(here)
    held = {"tags": here.asked.tags, "tagsAny": here.asked.tags_any}

    def option(value: str, count: int | None) -> Option:
        inside = [name for name, tags in held.items() if _among(tags, value)]
        if inside:
            changes = {name: _without(held[name], value) for name in inside}
            return Option(value, count, here.link(**changes), chosen=True)
        return Option(value, count, here.link(**{mode: (*held[mode], value)}), chosen=False)

    found = [option(v.value, v.count) for v in values]
    lost = _lost((*held["tags"], *held["tagsAny"]), values)
    return (*_shown(found), *(option(value, _count_of(values)) for value in lost))


def _options(
    here: Here, name: str, values: Sequence[FacetValue], label: Callable[[str], str]
) -> tuple[Option, ...]:
    """Options of a parameter of whose values any one may hold."""
    given = parameters(here.asked)[name]
    chosen = given if isinstance(given, tuple) else ()

    def option(found: FacetValue) -> Option:
        named = [v for v in (found.value, found.label) if v is not None and _among(chosen, v)]
        rest: tuple[str, ...] = chosen
        for value in named:
            rest = _without(rest, value)
        href = here.link(**{name: rest if named else (*chosen, found.value)})
        return Option(label(found.value), found.count, href, chosen=bool(named))

    def lost(value: str) -> Option:
        href = here.link(**{name: _without(chosen, value)})
        return Option(label(value), _count_of(values), href, chosen=True)

    missing = map(lost, _lost(chosen, values))
    return (*_shown([option(found) for found in values]), *missing)


def _lost(chosen: Sequence[str], values: Sequence[FacetValue]) -> list[str]:
    """Those of ``chosen`` that are not among ``values``."""
    there = [name for v in values for name in (v.value, v.label) if name is not None]
    unique = {_folded(value): value for value in reversed(chosen)}
    return [v for v in reversed(unique.values()) if not any(_means(v, name) for name in there)]


def _count_of(values: Sequence[FacetValue]) -> int | None:
    """Of a value that is not among ``values``: none has it, or not everything was counted."""
    return 0 if len(values) < COUNTED else None


def _shown(options: Sequence[Option]) -> tuple[Option, ...]:
    return tuple(o for place, o in enumerate(options) if place < SHOWN or o.chosen)


def _folded(value: str) -> str:
    return (spdx_of(value) or value).strip().lower()


def _means(asked: str, value: str) -> bool:
    """Whether ``asked`` is a way to say ``value``."""
    return _folded(asked) == _folded(value)


def _among(values: Sequence[str], value: str) -> bool:
    return any(_means(other, value) for other in values)


def _without(values: Sequence[str], value: str) -> tuple[str, ...]:
    return tuple(other for other in values if not _means(other, value))

"""A neighbourhood of lenses as a picture: boxes, arrows, links, ready for SVG. Pure.

Rule: what stands in the picture is made of numbers and of text that the template escapes; the same
schemas and lenses stand in a list beside it.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass

from search_api.lens_reach import LensMap, MapLens, MapSchema
from search_api.web.lens_map_layout import Pair, Place, places
from search_api.web.text import harmless, named, page_url, record_key

BOX_WIDTH, BOX_HEIGHT = 180, 50
COLUMN, ROW = 290, 74  # from one box to the next
EDGE = 24  # around everything
APART = 8  # between an arrow and the one back
NAME = 20  # letters of a name that fit
TITLE_NAMES = 8  # lenses named in an arrow's title


@dataclass(frozen=True, slots=True)
class Box:
    """A schema. ``x`` and ``y`` are its upper left corner; ``schema`` has its URI and name."""

    x: float
    y: float
    label: str
    version: str | None
    schema: MapSchema
    is_middle: bool


@dataclass(frozen=True, slots=True)
class Arrow:
    """All lenses from one schema to another: ``path`` for SVG, ``url`` of their page."""

    path: str
    title: str
    url: str
    verified: bool
    count: int


@dataclass(frozen=True, slots=True)
class Picture:
    """In pixels."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def picture(found: LensMap) -> Picture:
    """The neighbourhood with its middle marked."""
    between: defaultdict[Pair, list[MapLens]] = defaultdict(list)
    for lens in found.lenses:
        between[lens.source, lens.target].append(lens)
    at = places([schema.key for schema in found.schemas], between)
    boxes = tuple(_box(schema, at[schema.key], not i) for i, schema in enumerate(found.schemas))
    names = {box.schema.key: full_name(box.schema) for box in boxes}
    arrows = tuple(
        _arrow(lenses, (at[source], at[target]), (names[source], names[target]))
        for (source, target), lenses in between.items()
    )
    return Picture(
        max((box.x for box in boxes), default=0) + BOX_WIDTH + EDGE,
        max((box.y for box in boxes), default=0) + BOX_HEIGHT + EDGE,
        boxes,
        arrows,
    )


def full_name(schema: MapSchema) -> str:
    """Name and version, or what the URI ends in."""
    if schema.name is None:
        return record_key(schema.uri)
    return f"{named(schema.name, schema.uri)} {schema.version or ''}".strip()


def _box(schema: MapSchema, place: Place, is_middle: bool) -> Box:
    name = record_key(schema.uri)
    if schema.name is not None:
        name = named(schema.name, schema.uri)
    x, y = EDGE + place.column * COLUMN, EDGE + place.row * ROW
    return Box(x, y, fitted(name, NAME), schema.version, schema, is_middle)


def fitted(name: str, letters: int) -> str:
    """A name in the room of so many letters; those of East Asia take that of two."""
    shown, room = "", letters
    for char in harmless(name):
        room -= 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if room < 0:
            return shown[:-1] + "…"
        shown += char
    return shown


def _arrow(lenses: list[MapLens], ends: tuple[Place, Place], names: tuple[str, str]) -> Arrow:
    verified = any(lens.verified for lens in lenses)
    called = ", ".join(named(lens.lens.name, lens.lens.uri) for lens in lenses[:TITLE_NAMES])
    more = f" and {len(lenses) - TITLE_NAMES} more" if len(lenses) > TITLE_NAMES else ""
    title = f"{called}{more}: {names[0]} → {names[1]}{' (verified)' if verified else ''}"
    first = lenses[0].lens
    url = page_url("/lens", uri=first.uri)
    if len(lenses) > 1:
        url = page_url("/lenses", source=first.source_schema, target=first.target_schema)
    return Arrow(_path(*ends), title, url, verified, len(lenses))


def _path(start: Place, end: Place) -> str:
    """A curve from the side of one box to the side of another; the way back lies below it."""
    back = end.column < start.column or (end.column == start.column and end.row < start.row)
    shift = APART if back else -APART
    y1, y2 = (EDGE + place.row * ROW + BOX_HEIGHT / 2 + shift for place in (start, end))
    x1, x2 = (EDGE + place.column * COLUMN for place in (start, end))
    if start.column == end.column:
        x1, x2 = x1 + BOX_WIDTH, x2 + BOX_WIDTH
        bow = 40 + 6 * abs(end.row - start.row)
        return _curve((x1, y1), (x1 + bow, y1), (x2 + bow, y2), (x2 + 3, y2))
    if end.column > start.column:
        x1, x2 = x1 + BOX_WIDTH, x2 - 3
    else:
        x2 += BOX_WIDTH + 3
    bow = (x2 - x1) * 0.45
    return _curve((x1, y1), (x1 + bow, y1), (x2 - bow, y2), (x2, y2))


def _curve(*points: tuple[float, float]) -> str:
    first, *others = (f"{x:.0f} {y:.0f}" for x, y in points)
    return f"M{first}C{', '.join(others)}"

"""Which lenses lead from a dataset's schema to the type that is asked for.

Rule: a lens that is known here is applied; one that is only published is named and nothing more,
since using it means running its author's code (see ``atdata.lens_code``).
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

from atdata import api as search_api
from atdata.atmosphere.entries import read_as
from atdata.lens import NETWORK
from atdata.protocol.errors import (
    NetworkError,
    NotFound,
    ProtocolError,
    UnsupportedType,
    XrpcError,
)
from atdata.protocol.records import SchemaRecord
from atdata.protocol.views import LensView
from atdata.schema import fits, type_of

MAX_HOPS = 4
MAX_ASKED = 40  # schemas whose lenses are looked up
MAX_LENSES = 100  # of one schema


def local_start(schema: SchemaRecord, target: type) -> type | None:
    """The type to read samples of ``schema`` as, so that the registered lenses lead from it to
    ``target``: of those that fit, the one with the fewest lenses, then the one of the same name.
    None if there is none."""
    reached = [
        (len(path), start.__name__ != schema.name, position, start)
        for position, start in enumerate(_readable(schema))
        if (path := NETWORK.path(start, target))
    ]
    return min(reached)[-1] if reached else None


def _readable(schema: SchemaRecord) -> list[type]:
    """The schema's own type, and every type with a lens that its samples can be read as."""
    found = []
    with suppress(UnsupportedType):  # then its samples may still fit a type written by hand
        found.append(type_of(schema))
    for start in NETWORK.sources():
        try:
            if not fits(start, schema):
                found.append(start)
        except UnsupportedType:
            continue
    return found


def find_lens_path(
    source: str, target: str | type, *, api: str | None = None
) -> tuple[LensView, ...]:
    """The fewest published lenses that lead from one schema to another, in order.

    ``source``: AT URI of a schema. ``target``: that of another, or a ``packable`` class, for any
    schema that it can read. At most ``MAX_HOPS`` lenses in a row are tried, over at most
    ``MAX_ASKED`` schemas. Empty if the index knows no path; raises what asking it raises.
    """
    level: list[tuple[str, tuple[LensView, ...]]] = [(source, ())]
    seen, asked = {source}, 0
    for _ in range(MAX_HOPS):
        following = []
        for schema, path in level:
            if (asked := asked + 1) > MAX_ASKED:
                return ()
            for lens in islice(search_api.find_lenses(source=schema, api=api), MAX_LENSES):
                if lens.target_schema not in seen:
                    seen.add(lens.target_schema)
                    following.append((lens.target_schema, (*path, lens)))
        for schema, path in following:
            if _is_target(schema, target, api):
                return path
        level = following
    return ()


def _is_target(schema: str, target: str | type, api: str | None) -> bool:
    if isinstance(target, str):
        return schema == target
    try:
        record = read_as(SchemaRecord, search_api.schema_record(schema, api=api))
        return not fits(target, record)
    except (NotFound, ProtocolError, NetworkError, XrpcError, UnsupportedType):
        return False  # a schema that nobody can show leads nowhere

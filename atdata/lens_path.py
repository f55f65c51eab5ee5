"""Which published lenses lead from a dataset's schema to the type that is asked for.

Rule: a lens that is only published is named and nothing more, since using it means running its
author's code (see ``atdata.lens_code``). Those that are known here are in ``atdata.local_lenses``.
"""

from __future__ import annotations

from itertools import islice

from atdata import api as search_api
from atdata.atmosphere.entries import read_as
from atdata.protocol.errors import (
    NetworkError,
    NotFound,
    ProtocolError,
    UnsupportedType,
    XrpcError,
)
from atdata.protocol.records import SchemaRecord
from atdata.protocol.views import LensView
from atdata.schema import fits

MAX_HOPS = 4
MAX_ASKED = 40  # schemas whose lenses are looked up
MAX_LENSES = 100  # of one schema


def find_lens_path(
    source: str, target: str | type, *, api: str | None = None
) -> tuple[LensView, ...]:
    """The fewest published lenses that lead from one schema to another, in order.

    ``source``: AT URI of a schema. ``target``: that of another, or a ``packable`` class, for any
    schema that it can read. At most ``MAX_HOPS`` lenses in a row are tried, over at most
    ``MAX_ASKED`` schemas. Empty if the index knows no path. Raises ``NotConfigured``,
    ``NetworkError`` and ``XrpcError``.

    Source: lexicon ``ac.foundation.dataset.findLenses``.
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

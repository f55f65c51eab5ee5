"""Where lenses lead from one schema: as what its samples can be read, and what lies around it.

Rule: as in ``lens_routes``: the graph only proposes; what is shown is read in the session of the
question, where lenses of inactive accounts do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from atdata.protocol.discovery_views import LensPath
from atdata.protocol.views import LensView
from search_api import lens_graph, queries
from search_api.database import Session
from search_api.lens_graph import LensNetwork
from search_api.lens_paths import MAX_HOPS, Edge, LensGraph, Path
from search_api.lens_routes import Ends, shown_paths

MAX_SCHEMAS = 80  # of a neighbourhood
MAX_LENSES = 200  # of the same


@dataclass(frozen=True, slots=True)
class MapSchema:
    """A schema in a neighbourhood. ``name`` and ``version`` are None for one that is not indexed;
    ``hops`` is how many lenses lie between it and the middle."""

    key: int
    uri: str
    hops: int
    name: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class MapLens:
    """A lens between two schemas of a neighbourhood, by their keys."""

    lens: LensView
    source: int
    target: int
    verified: bool


@dataclass(frozen=True, slots=True)
class LensMap:
    """The middle comes first, then its neighbours, nearest first. ``cut``: there are more."""

    schemas: tuple[MapSchema, ...]
    lenses: tuple[MapLens, ...]
    cut: bool


def readings(
    session: Session,
    network: LensNetwork,
    start: dict[int, str],
    limit: int,
    *,
    verified: bool = False,
) -> tuple[LensPath, ...]:
    """The shortest path to each of the nearest ``limit`` schemas as which samples of ``start``
    (keys and URIs) can be read; ``verified``: over verified lenses alone."""

    def ask(graph: LensGraph) -> list[tuple[int, Path]]:
        most = limit + len(start)
        near = graph.readable(start, limit=most, hops=MAX_HOPS, verified=verified)
        others = [schema for schema in near if schema not in start]
        return [
            path
            for schema in others
            for path in graph.paths(start, [schema], limit=1, verified=verified)
        ]

    return shown_paths(
        session, network.ask(session, ask), Ends(frozenset(start), frozenset(), start)
    )


def around(session: Session, network: LensNetwork, middle: tuple[int, str], hops: int) -> LensMap:
    """The neighbourhood of the schema ``middle`` (key and URI)."""
    key, uri = middle

    def ask(graph: LensGraph) -> tuple[dict[int, int], tuple[Edge, ...]]:
        return graph.around(key, schemas=MAX_SCHEMAS + 1, lenses=MAX_LENSES + 1, hops=hops)

    near, edges = network.ask(session, ask)
    cut = len(near) > MAX_SCHEMAS or len(edges) > MAX_LENSES
    kept = dict(list(near.items())[:MAX_SCHEMAS])
    views = lens_graph.lenses(session, [edge.lens for edge in edges])
    lenses = tuple(
        MapLens(views[edge.lens], edge.source, edge.target, edge.verified)
        for edge in edges[:MAX_LENSES]
        if edge.lens in views and edge.source in kept and edge.target in kept
    )
    return LensMap(_schemas(session, kept, {key: uri}, lenses), lenses, cut)


def _schemas(
    session: Session, near: dict[int, int], known: dict[int, str], lenses: tuple[MapLens, ...]
) -> tuple[MapSchema, ...]:
    """Those that a visible lens names, or that were asked for."""
    uris = dict(known)
    for edge in lenses:
        uris.setdefault(edge.source, edge.lens.source_schema)
        uris.setdefault(edge.target, edge.lens.target_schema)
    names = queries.schema_names(session, uris)
    return tuple(
        MapSchema(key, uris[key], hops, *names.get(key, (None, None)))
        for key, hops in near.items()
        if key in uris
    )

"""Which lenses lead from a schema, or from a dataset, to the schema that is wanted.

Rule: the graph only proposes. Lenses and datasets that are shown are read in the session of the
question, where those of inactive accounts do not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atdata.protocol.discovery_views import LensPath, LensPaths, LensStep, ReachableDataset
from atdata.protocol.views import LensView
from search_api import lens_graph, queries
from search_api.database import Session
from search_api.lens_graph import LensNetwork
from search_api.lens_paths import MAX_HOPS, LensGraph, Path

MAX_READERS = 2_000  # schemas whose datasets are counted as reachable


@dataclass(frozen=True, slots=True)
class Ends:
    """Where paths may begin and end, as keys of schemas; ``names`` has their URIs."""

    sources: frozenset[int]
    targets: frozenset[int]
    names: dict[int, str]


@dataclass(frozen=True, slots=True)
class Route:
    """What kind of paths are wanted, and how many; ``reachable`` datasets are listed, if any."""

    limit: int = 5
    hops: int = MAX_HOPS
    puts: bool = False
    verified: bool = False
    reachable: int = 0


def find(session: Session, network: LensNetwork, ends: Ends, route: Route) -> LensPaths:
    """Paths between ``ends``, and the datasets that can be read as one of the targets."""

    def ask(graph: LensGraph) -> tuple[tuple[tuple[int, Path], ...], dict[int, int]]:
        paths = graph.paths(
            ends.sources,
            ends.targets,
            limit=route.limit,
            hops=route.hops,
            puts=route.puts,
            verified=route.verified,
        )
        readers = {}
        if route.reachable:
            readers = graph.readers(
                ends.targets, limit=MAX_READERS, hops=route.hops, verified=route.verified
            )
        return paths, readers

    paths, readers = network.ask(session, ask)
    shown = shown_paths(session, paths, ends)
    if not route.reachable:
        return LensPaths(shown)
    total, reachable = _datasets(session, readers, route.reachable)
    return LensPaths(shown, reachable, total)


def shown_paths(
    session: Session, paths: Sequence[tuple[int, Path]], ends: Ends
) -> tuple[LensPath, ...]:
    """Paths with their lenses, without those that pass a lens which is not visible."""
    docs = sorted({step.lens for _, path in paths for step in path})
    views = lens_graph.lenses(session, docs)
    return tuple(
        _path(ends.names[start], path, views)
        for start, path in paths
        if all(step.lens in views for step in path)
    )


def _path(source: str, path: Path, views: dict[int, LensView]) -> LensPath:
    steps = tuple(
        LensStep(views[step.lens], "put" if step.puts else "get", not step.unverified)
        for step in path
    )
    target = source
    if steps:
        last = steps[-1]
        target = last.lens.source_schema if last.direction == "put" else last.lens.target_schema
    return LensPath(source, target, all(step.verified for step in steps), steps)


_REACHABLE = """
SELECT d.doc, s.hops, count(*) OVER () AS total
FROM (SELECT unnest($1::BIGINT[]) AS schema_doc, unnest($2::INTEGER[]) AS hops) s
JOIN datasets d USING (schema_doc) JOIN records r ON r.doc = d.doc
JOIN repos p ON p.repo = r.repo AND p.active
ORDER BY s.hops, r.sort_at DESC, d.doc LIMIT $3
"""


def _datasets(
    session: Session, readers: dict[int, int], limit: int
) -> tuple[int, tuple[ReachableDataset, ...]]:
    """Of the schemas that take lenses, not of the targets themselves."""
    far = {schema: hops for schema, hops in readers.items() if hops > 0}
    rows = session.rows(_REACHABLE, [list(far), list(far.values()), limit])
    hops = {int(doc): int(distance) for doc, distance, _ in rows}
    views = queries.datasets(session, list(hops))
    found = tuple(
        ReachableDataset(view, distance)
        for view, distance in zip(views, hops.values(), strict=True)
    )
    return (int(rows[0][2]) if rows else 0), found

"""Lenses as edges of a graph whose nodes are schemas.

Rule: an edge of an inactive account is not there. Ends are compared by key, so a lens is found
by its schemas whether or not the index knows those.
"""

from __future__ import annotations

from atdata.protocol.views import LensView
from search_api.database import Session
from search_api.queries import Position, newest
from search_api.views import IDENTITY, LENS, lens_view

_LENSES = (
    f"SELECT {IDENTITY}, {LENS} FROM lenses l JOIN records r ON r.doc = l.doc "  # noqa: S608
    "JOIN repos p ON p.repo = r.repo AND p.active"
)


def edges(
    session: Session,
    source: int | None,
    target: int | None,
    limit: int,
    after: Position | None,
) -> list[tuple[Position, LensView]]:
    """Lenses from ``source`` and to ``target`` (keys of schemas; None is any), newest first."""
    where, params = ["true"], list[object]()
    if source is not None:
        where.append("l.source_doc = ?")
        params.append(source)
    if target is not None:
        where.append("l.target_doc = ?")
        params.append(target)
    rows = newest(session, _LENSES, where, params, limit, after)
    return [((row[1], row[0]), lens_view(row)) for row in rows]

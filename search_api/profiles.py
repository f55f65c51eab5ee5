"""An account as the index knows it: how much it published, and its newest records.

Rule: an inactive account has no profile.
"""

from __future__ import annotations

from atdata.protocol.discovery_views import ProfileCounts, ProfileView
from atdata.protocol.errors import NotFound
from atdata.protocol.syntax import Did, Handle
from search_api import labels, lens_graph, queries
from search_api.database import Session
from search_api.views import verification


def profile(session: Session, actor: Did | Handle, limit: int) -> ProfileView:
    """``limit`` records of each kind. Raises ``NotFound``."""
    did = queries.did_of(session, actor)
    row = session.row(
        "SELECT did, CASE WHEN handle_verified THEN handle WHEN handle IS NOT NULL "
        "THEN 'handle.invalid' END, pds, sync_state FROM repos WHERE did = ? AND active",
        [did],
    )
    if did is None or row is None:
        raise NotFound(f"the index does not know {actor}")
    kinds: dict[str, int] = dict(
        session.rows("SELECT kind, count(*) FROM records WHERE did = ? GROUP BY 1", [did])
    )
    newest = session.rows(
        "SELECT doc FROM records WHERE did = ? AND kind = 'dataset' "
        "ORDER BY sort_at DESC, doc DESC LIMIT ?",
        [did, limit],
    )
    return ProfileView(
        did=did,
        handle=row[1],
        pds=row[2],
        verification=verification(row[3]),
        counts=ProfileCounts(*(kinds.get(k, 0) for k in ("dataset", "schema", "lens", "label"))),
        datasets=queries.datasets(session, [doc for (doc,) in newest]),
        schemas=tuple(v for _, v in queries.list_schemas(session, "", did, limit, None)),
        lenses=tuple(v for _, v in lens_graph.edges(session, None, None, limit, None, did)),
        labels=labels.of_author(session, did, limit),
    )

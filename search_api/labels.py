"""Labels: names that authors give to datasets, and what such a name means now.

Rule: a label speaks for its own author only. Of one name the asked version counts; without one the
highest semantic version, then the newest label.
"""

from __future__ import annotations

import json

from atdata.protocol.discovery_views import LabelView, ResolvedLabel
from atdata.protocol.errors import InvalidSyntax, NotFound, quote
from atdata.protocol.syntax import AtUri, Did, Handle
from atdata.protocol.versions import SemverKey, semver_key
from search_api import queries
from search_api.database import Row, Session
from search_api.views import IDENTITY, record_url, timestamp, verification

MAX_LABELS = 1_000  # of one name and author

_LABELS = (
    f"SELECT {IDENTITY}, b.name, b.dataset_uri, b.version, b.description "  # noqa: S608
    "FROM labels b JOIN records r ON r.doc = b.doc JOIN repos p ON p.repo = r.repo AND p.active"
)


def resolve(
    session: Session, author: Did | Handle, name: str, version: str | None
) -> ResolvedLabel:
    """Raises ``NotFound`` if the author has no such label."""
    did = queries.did_of(session, author)
    rows = session.rows(
        f"{_LABELS} WHERE r.did = ? AND b.name = ? AND (?::VARCHAR IS NULL OR b.version = ?) "
        "ORDER BY epoch_us(r.sort_at) DESC, r.doc DESC LIMIT ?",
        [did, name, version, version, MAX_LABELS],
    )
    if not rows:
        wanted = name if version is None else f"{name}@{version}"
        raise NotFound(f"{author} has no label {quote(wanted)}")
    # Sorting keeps the newest first among those of one version.
    best = max(enumerate(rows), key=lambda one: (_order(one[1]), -one[0]))[1]
    view = label_view(best)
    return ResolvedLabel(
        label=view,
        record=json.loads(session.value("SELECT record FROM records WHERE doc = ?", [best[0]])),
        dataset=next(iter(queries.datasets(session, _dataset(session, view.dataset_uri))), None),
    )


def _order(row: Row) -> tuple[bool, SemverKey | None]:
    try:
        return True, semver_key(row[-2] or "")
    except InvalidSyntax:
        return False, None


def _dataset(session: Session, uri: str) -> list[int]:
    """The key of what a label names, by DID or by handle; none if it is no record's URI."""
    try:
        doc = queries.key_of_uri(session, AtUri.parse(uri))
    except InvalidSyntax:
        return []
    return [] if doc is None else [doc]


def of_author(session: Session, did: str, limit: int) -> tuple[LabelView, ...]:
    """The newest labels of an account."""
    rows = queries.newest(session, _LABELS, ["r.did = ?"], [did], limit, None)
    return tuple(label_view(row) for row in rows)


def of_dataset(session: Session, uri: AtUri, limit: int) -> tuple[LabelView, ...]:
    """The newest labels that name the dataset ``uri``, whoever gave them."""
    doc = queries.key_of_uri(session, uri)
    if doc is None:
        return ()
    rows = queries.newest(session, _LABELS, ["b.dataset_doc = ?"], [doc], limit, None)
    return tuple(label_view(row) for row in rows)


def label_view(row: Row) -> LabelView:
    """``IDENTITY``, then name, dataset, version and description."""
    _, _, uri, cid, did, indexed_us, created_at, handle, pds, state, *rest = row
    name, dataset_uri, version, description = rest
    return LabelView(
        uri=uri,
        cid=cid,
        did=did,
        handle=handle,
        indexed_at=timestamp(indexed_us),
        created_at=created_at,
        name=name,
        dataset_uri=dataset_uri,
        version=version,
        description=description,
        verification=verification(state),
        record_url=record_url(pds, uri),
    )

"""Lenses in the database: lists of them, single ones, and the graph that ``lens_paths`` searches.

Rule: an edge of an inactive account is not there, and neither is what such an account verified.
Ends are compared by key, so a lens is found by its schemas whether or not the index knows those;
a schema may be named by its author's DID or verified handle.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from atdata.protocol.discovery_views import LensDetail, VerificationView
from atdata.protocol.errors import InvalidSyntax, NotFound, quote
from atdata.protocol.keys import key_of
from atdata.protocol.syntax import AtUri, Did, Handle
from atdata.protocol.views import LensView
from search_api import corpus, queries
from search_api.database import Row, Session, marks
from search_api.lens_paths import Edge, LensGraph
from search_api.queries import Position, newest
from search_api.views import IDENTITY, LENS, lens_view

BATCH = 5_000  # changes at a time; whoever is further behind reads all lenses anew
MAX_LENSES = 500_000  # in the graph, the newest; the others are found in lists only
MAX_VERIFICATIONS = 100  # shown of one lens

Answer = TypeVar("Answer")

_LENSES = (
    f"SELECT {IDENTITY}, {LENS} FROM lenses l JOIN records r ON r.doc = l.doc "  # noqa: S608
    "JOIN repos p ON p.repo = r.repo AND p.active"
)

# --- lists and single lenses ------------------------------------------------------------------


def keys_of_schema(session: Session, uri: AtUri) -> list[int]:
    """The keys under which lenses may refer to ``uri``: by DID, and by the verified handle."""
    did = queries.did_of(session, uri.authority)
    if did is None:
        return [key_of(str(uri))]
    named: list[Did | Handle] = [Did(did), *_handles(session, did)]
    return [key_of(str(replace(uri, authority=name))) for name in named]


def _handles(session: Session, did: str) -> list[Handle]:
    """The verified handle of an active account, or none."""
    found = queries.accounts(session, [key_of(did)]).get(key_of(did))
    return [Handle(found[1])] if found and found[1] else []


def edges(
    session: Session,
    sources: Sequence[int] | None,
    targets: Sequence[int] | None,
    limit: int,
    after: Position | None,
    author: str | None = None,
) -> list[tuple[Position, LensView]]:
    """Lenses from one of ``sources`` and to one of ``targets`` (keys of schemas; None is any) by
    ``author`` (a DID), newest first."""
    where, params = ["true"], list[object]()
    for column, keys in (("l.source_doc", sources), ("l.target_doc", targets)):
        if keys is not None:
            where.append(f"{column} IN ({marks(keys)})")
            params += keys
    if author is not None:
        where.append("r.did = ?")
        params.append(author)
    rows = newest(session, _LENSES, where, params, limit, after)
    return [((row[1], row[0]), lens_view(row)) for row in rows]


def lenses(session: Session, docs: Sequence[int]) -> dict[int, LensView]:
    """The visible ones of ``docs``, by key."""
    if not docs:
        return {}
    # Keys on both sides of the join: two lookups instead of a scan of all records.
    both = f"l.doc IN ({marks(docs)}) AND r.doc IN ({marks(docs)})"
    rows = session.rows(f"{_LENSES} WHERE {both}", [*docs, *docs])
    return {row[0]: lens_view(row) for row in rows}


def lens(session: Session, uri: AtUri) -> LensDetail:
    """One lens with its record and who verified this version. Raises ``NotFound``."""
    doc = queries.key_of_uri(session, uri)
    found = lenses(session, [] if doc is None else [doc])
    if doc is None or not found:
        raise NotFound(f"the index has no lens {quote(str(uri), 300)}")
    record = session.value("SELECT record FROM records WHERE doc = ?", [doc])
    return LensDetail(found[doc], json.loads(record), _verifications(session, doc))


def _verifications(session: Session, doc: int) -> tuple[VerificationView, ...]:
    rows = session.rows(
        "SELECT r.uri, r.did, v.verification_method, CASE WHEN p.handle_verified THEN p.handle END "
        "FROM lens_verifications v JOIN records r ON r.doc = v.doc "
        "JOIN repos p ON p.repo = r.repo AND p.active "
        "JOIN records l ON l.doc = v.lens_doc AND l.cid = v.lens_commit "
        "WHERE v.lens_doc = ? ORDER BY r.sort_at, r.doc LIMIT ?",
        [doc, MAX_VERIFICATIONS],
    )
    return tuple(VerificationView(*row) for row in rows)


# --- the graph ----------------------------------------------------------------------------------

_EDGES = """
SELECT l.doc, l.source_uri, l.target_uri, l.source_doc, l.target_doc,
       l.getter_code IS NOT NULL, l.putter_code IS NOT NULL, r.cid
FROM lenses l JOIN records r ON r.doc = l.doc JOIN repos p ON p.repo = r.repo AND p.active
"""
_VERIFIED = """
SELECT v.doc, v.lens_doc, v.lens_commit
FROM lens_verifications v JOIN records r ON r.doc = v.doc
JOIN repos p ON p.repo = r.repo AND p.active
"""


@dataclass(slots=True)
class _Verified:
    """Which statements there are: by their keys, and for each lens the versions they name."""

    lens_of: dict[int, tuple[int, str]]
    of_lens: dict[int, set[tuple[int, str]]]

    def put(self, doc: int, lens: int, commit: str) -> None:
        self.lens_of[doc] = (lens, commit)
        self.of_lens.setdefault(lens, set()).add((doc, commit))

    def remove(self, doc: int) -> int | None:
        """The lens of which the statement ``doc`` was."""
        known = self.lens_of.pop(doc, None)
        if known is None:
            return None
        lens, commit = known
        self.of_lens[lens].discard((doc, commit))
        if not self.of_lens[lens]:
            del self.of_lens[lens]
        return lens

    def vouch(self, lens: int, cid: str) -> bool:
        return any(commit == cid for _, commit in self.of_lens.get(lens, ()))


class LensNetwork:
    """The graph of all visible lenses, brought up to date from the changes log before each
    question. Any number of threads: they take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._graph, self._verified = LensGraph(), _Verified({}, {})
        self._seq, self._last = -1, 0

    def ask(self, session: Session, question: Callable[[LensGraph], Answer]) -> Answer:
        """What ``question`` answers on the graph as of ``session``, or a later one."""
        with self._lock:
            self._catch_up(session)
            return question(self._graph)

    def _catch_up(self, session: Session) -> None:
        # The last change that is known is read again: it shows that this is still the same log.
        changes = corpus.changes_after(session, self._seq - 1, BATCH + 1) if self._seq > 0 else []
        if self._seq > 0 and changes[:1] == [(self._seq, self._last)] and len(changes) <= BATCH:
            if len(changes) > 1:
                self._update(session, sorted({doc for _, doc in changes[1:]}))
                self._seq, self._last = changes[-1]
            return
        last = corpus.last_change(session)
        if last[0] < self._seq:
            return  # a session that began before that of another question
        self._forget()
        for row in session.rows(_VERIFIED):
            self._verified.put(*row)
        newest_first = f"{_EDGES} ORDER BY r.sort_at DESC, r.doc LIMIT ?"
        self._add(session, session.rows(newest_first, [MAX_LENSES]))
        self._seq, self._last = last

    def _update(self, session: Session, docs: list[int]) -> None:
        touched = set(docs)
        for doc in docs:
            lens_doc = self._verified.remove(doc)
            if lens_doc is not None:
                touched.add(lens_doc)
        for doc, lens_doc, commit in session.rows(f"{_VERIFIED} WHERE v.doc = ANY($1)", [docs]):
            self._verified.put(doc, lens_doc, commit)
            touched.add(lens_doc)
        for doc in touched:
            self._graph.remove(doc)
        self._add(session, session.rows(f"{_EDGES} WHERE l.doc = ANY($1)", [sorted(touched)]))

    def _add(self, session: Session, rows: Iterable[Row]) -> None:
        found = list(rows)
        ends = _ends(session, {uri for row in found for uri in row[1:3]})
        for doc, source_uri, target_uri, source, target, gets, puts, cid in found:
            if len(self._graph) < MAX_LENSES:
                self._graph.put(
                    Edge(
                        doc,
                        ends.get(source_uri) or source,
                        ends.get(target_uri) or target,
                        verified=self._verified.vouch(doc, cid),
                        # Old records name no code at all: both functions may be there.
                        gets=gets or not puts,
                        puts=puts or not gets,
                    )
                )


def _ends(session: Session, uris: Iterable[str]) -> dict[str, int]:
    """Keys by DID of those URIs that name their author by a verified handle."""
    named: dict[str, AtUri] = {}
    for uri in uris:
        if not uri.startswith("at://did:"):
            try:
                named[uri] = AtUri.parse(uri)
            except InvalidSyntax:
                continue  # no schema: an end that leads nowhere
    handles = sorted({str(parsed.authority) for parsed in named.values()})
    rows = session.rows(
        "SELECT handle, min(did) FROM repos WHERE handle_verified AND active AND handle = ANY($1) "
        "GROUP BY handle",
        [handles],
    )
    dids: dict[str, str] = dict(rows)
    return {
        uri: key_of(str(replace(parsed, authority=Did(dids[str(parsed.authority)]))))
        for uri, parsed in named.items()
        if str(parsed.authority) in dids
    }

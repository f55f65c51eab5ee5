"""Which repos a source knows: its own list, page by page.

Rules protected here: a list ends, whatever the source does (a cursor that comes again, pages
without anything new, pages without end); what it says is a hint where to look, and nothing more.
Source: ``com.atproto.sync.listReposByCollection`` (relays), ``com.atproto.sync.listRepos`` (PDSes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from atdata.network.http import HttpClient
from atdata.protocol.errors import FetchFailed, InvalidSyntax, NetworkError, XrpcError, quote
from atdata.protocol.namespaces import COLLECTIONS
from atdata.protocol.syntax import Did, Tid

BY_COLLECTION = "com.atproto.sync.listReposByCollection"
ALL = "com.atproto.sync.listRepos"

_LIMITS = {BY_COLLECTION: 2_000, ALL: 1_000}
_NOT_THERE = frozenset({400, 401, 403, 404, 405, 501})
_PAGE_BYTES = 5_000_000
_PAGE_SECONDS = 60.0
_MAX_CURSOR = 4_096  # characters
_MAX_BARREN = 10  # pages in a row without anything new


@dataclass(frozen=True, slots=True)
class Listed:
    """One repo. ``rev`` is None where the list does not say, and so is ``collections``: whether the
    repo is listed for having an indexed collection."""

    did: Did
    rev: Tid | None
    collections: bool


class Lister:
    """``max_repos`` bounds each list."""

    def __init__(self, http: HttpClient, max_repos: int) -> None:
        self._http, self._max_repos = http, max_repos

    def pages(self, source: str) -> Iterator[list[Listed]]:
        """The repos of ``source`` (``ws…`` base URL) that matter, or all if it can't tell. Each
        once per list. Raises ``NetworkError`` or ``XrpcError`` where a list breaks off."""
        origin = "http" + source.removeprefix("ws")
        try:
            for collection in COLLECTIONS:
                yield from self._list(origin, BY_COLLECTION, {"collection": collection})
        except (FetchFailed, XrpcError) as error:
            if not lists_nothing(error):
                raise
            yield from self._list(origin, ALL, {})

    def _list(self, origin: str, method: str, params: Mapping[str, str]) -> Iterator[list[Listed]]:
        seen: set[str] = set()
        cursors: set[str] = set()
        cursor: str | None = None
        barren = 0
        while barren < _MAX_BARREN and len(seen) < self._max_repos:
            asked = {**params, "limit": str(_LIMITS[method])}
            asked.update({} if cursor is None else {"cursor": cursor})
            answer = self._http.get_json(
                f"{origin}/xrpc/{method}",
                params=asked,
                max_bytes=_PAGE_BYTES,
                timeout=_PAGE_SECONDS,
            )
            page = [item for item in _repos(answer, method) if item.did not in seen]
            page = page[: self._max_repos - len(seen)]
            seen.update(item.did for item in page)
            barren = 0 if page else barren + 1
            yield page
            cursor = _cursor(answer)
            if cursor is None or cursor in cursors:
                return
            cursors.add(cursor)


def lists_nothing(error: NetworkError | XrpcError) -> bool:
    """Whether a source says by this that it has no such list at all."""
    return isinstance(error, FetchFailed | XrpcError) and error.status in _NOT_THERE


def _repos(answer: Any, method: str) -> Iterator[Listed]:
    """An entry that makes no sense is not there; a repo that is away has nothing to fetch."""
    repos = answer.get("repos") if isinstance(answer, dict) else None
    if not isinstance(repos, list):
        raise FetchFailed(f"{method} answered {quote(answer)}")
    for entry in repos[: _LIMITS[method]]:
        if isinstance(entry, dict) and entry.get("active") is not False:
            try:
                did = Did.parse(str(entry.get("did")))
                rev = Tid.parse(str(entry["rev"])) if "rev" in entry else None
            except InvalidSyntax:
                continue
            yield Listed(did, rev, method == BY_COLLECTION)


def _cursor(answer: Any) -> str | None:
    cursor = answer.get("cursor")
    return cursor if isinstance(cursor, str) and 0 < len(cursor) <= _MAX_CURSOR else None

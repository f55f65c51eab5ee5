"""The service's own queries, asked by its feeds and tools: the same parameters, the same answers.

Rule: whatever asks does so through the lexicon of the query, so that there is one reading of
parameters, and one place where hidden accounts are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import structlog
from starlette.requests import Request
from starlette.responses import Response

from atdata.protocol.errors import AtdataError
from atdata.protocol.lexicon import Catalog
from atdata.protocol.views import DatasetDetail, DatasetPage, DatasetView
from search_api.methods import GET_DATASET, SEARCH_DATASETS
from search_api.xrpc import (
    MAX_QUERY_STRING,
    Method,
    as_xrpc,
    error_response,
    invalid,
    parse_params,
)

PAGE = 100  # datasets asked for at a time, the most that the query gives
Pairs = Sequence[tuple[str, str]]

log = structlog.get_logger(__name__)


class Queries:
    """What the service answers, by the query's id."""

    def __init__(self, catalog: Catalog, answered: Iterable[Method]) -> None:
        self.catalog = catalog
        self._methods: Mapping[str, Method] = {method.nsid: method for method in answered}

    def __contains__(self, nsid: str) -> bool:
        return nsid in self._methods

    def method(self, nsid: str) -> Method:
        """How ``nsid`` is answered."""
        return self._methods[nsid]

    def ask(self, nsid: str, pairs: Iterable[tuple[str, str]]) -> object:
        """The view that answers ``nsid``. Raises ``AtdataError`` as the query does."""
        return self._methods[nsid].answer(parse_params(self.catalog, nsid, pairs))

    def datasets(self, pairs: Pairs) -> DatasetPage:
        """One page of a search, without its facets."""
        page = self.ask(SEARCH_DATASETS, [pair for pair in pairs if pair[0] != "facets"])
        assert isinstance(page, DatasetPage)
        return page

    def every_dataset(self, pairs: Pairs, limit: int) -> Iterator[DatasetView]:
        """All hits of a search up to ``limit``, page by page."""
        asked = [pair for pair in pairs if pair[0] not in {"limit", "cursor"}]
        cursor: list[tuple[str, str]] = []
        while limit > 0:
            size = min(PAGE, limit)
            page = self.datasets([*asked, ("limit", str(size)), *cursor])
            yield from page.datasets
            limit -= size
            if page.cursor is None:
                return
            cursor = [("cursor", page.cursor)]

    def dataset(self, pairs: Pairs) -> DatasetDetail:
        """One dataset. Raises ``NotFound``."""
        detail = self.ask(GET_DATASET, pairs)
        assert isinstance(detail, DatasetDetail)
        return detail


def asked_pairs(request: Request) -> Pairs:
    """The parameters of a request, without empty ones (a form's). Raises ``XrpcError``."""
    if len(request.scope["query_string"]) > MAX_QUERY_STRING:
        raise invalid("the query string is too long")
    return [(name, value) for name, value in request.query_params.multi_items() if value]


def guarded(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """``answer`` with errors as ``{error, message}`` under their status."""

    def endpoint(request: Request) -> Response:
        try:
            return answer(request)
        except AtdataError as error:
            shown = as_xrpc(error, "NotFound")
            if shown.status >= 500:
                log.error("feed.failed", path=request.url.path, why=str(error))
            response = error_response(shown)
            if shown.retry_after is not None:
                response.headers["Retry-After"] = str(math.ceil(shown.retry_after))
            return response

    return endpoint

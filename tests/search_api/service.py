"""Asks the search API, and holds every answer against its lexicon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient

from atdata.protocol import cbor
from atdata.protocol.lexicon import builtin_catalog
from search_api.app import create_app
from search_api.config import LEVEL_SECONDS, SearchConfig
from search_api.database import Database
from search_api.text_index import TextIndex
from tests.search_api.index_builder import IndexBuilder

FOUNDATION = "ac.foundation.dataset"


@dataclass(frozen=True)
class Service:
    client: TestClient
    text_index: TextIndex

    def raw(self, method: str, **params: Any) -> httpx.Response:
        """One request; the text index is up to date before it."""
        self.text_index.catch_up()
        response: httpx.Response = self.client.get(f"/xrpc/{FOUNDATION}.{method}", params=params)
        return response

    def get(self, method: str, **params: Any) -> Any:
        """The answer to a request that must succeed, valid under its lexicon."""
        response = self.raw(method, **params)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        body = json.loads(response.content)
        builtin_catalog().validate_output(f"{FOUNDATION}.{method}", cbor.from_json(body))
        return body

    def error(self, method: str, **params: Any) -> tuple[int, str, str]:
        """Status, name and message of a request that must fail."""
        response = self.raw(method, **params)
        body = response.json()
        assert set(body) == {"error", "message"}, body
        return response.status_code, body["error"], body["message"]

    def every(self, method: str, noun: str, **params: Any) -> list[Any]:
        """All items, page by page."""
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(method, **params, **cursor)
            items += page[noun]
            if "cursor" not in page:
                return items
            cursor = {"cursor": page["cursor"]}

    def names(self, **params: Any) -> list[str]:
        """Names of the datasets found, best first."""
        return [view["name"] for view in self.get("searchDatasets", **params)["datasets"]]


@contextmanager
def serving(
    index: IndexBuilder, folder: Path, level_seconds: float = LEVEL_SECONDS
) -> Iterator[Service]:
    """The API over ``index``. Without its background thread: the service catches up by itself."""
    database = Database(index.connection)
    text_index = TextIndex(folder / "text", database)
    config = SearchConfig(public_url="https://search.example.com", level_seconds=level_seconds)
    app = create_app(database, text_index, config)
    yield Service(TestClient(app, raise_server_exceptions=False), text_index)
    text_index.close()

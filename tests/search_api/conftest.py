"""A small index with a search API on it, for the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from search_api.app import create_app
from search_api.config import SearchConfig
from search_api.database import Database
from search_api.text_index import TextIndex
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service


@pytest.fixture
def index() -> Iterator[IndexBuilder]:
    builder = IndexBuilder.create()
    yield builder
    builder.connection.close()


@pytest.fixture
def text_index(index: IndexBuilder, tmp_path: Path) -> Iterator[TextIndex]:
    made = TextIndex(tmp_path / "text", Database(index.connection))
    yield made
    made.close()


@pytest.fixture
def service(index: IndexBuilder, text_index: TextIndex) -> Service:
    """The API over ``index``. Without its background thread: ``service`` catches up by itself."""
    config = SearchConfig(public_url="https://search.example.com")
    app = create_app(Database(index.connection), text_index, config)
    return Service(TestClient(app, raise_server_exceptions=False), text_index)

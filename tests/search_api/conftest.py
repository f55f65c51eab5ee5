"""A small index with a search API on it, for the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search_api.text_index import TextIndex
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service, serving


@pytest.fixture
def index() -> Iterator[IndexBuilder]:
    builder = IndexBuilder.create()
    yield builder
    builder.connection.close()


@pytest.fixture
def service(index: IndexBuilder, tmp_path: Path) -> Iterator[Service]:
    with serving(index, tmp_path) as made:
        yield made


@pytest.fixture
def text_index(service: Service) -> TextIndex:
    return service.text_index

"""Which place counts for more: the order of hits that have all words, place by place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service, serving


@pytest.fixture
def shelf(index: IndexBuilder, tmp_path: Path) -> Iterator[tuple[IndexBuilder, Service]]:
    with serving(index, tmp_path) as service:
        yield index, service


def test_the_place_of_the_words_decides_and_not_the_date(
    shelf: tuple[IndexBuilder, Service],
) -> None:
    """Best first is oldest first here, so that the date alone would turn it round."""
    index, service = shelf
    did = index.account("alice")
    plain = index.schema(did, "Plain", fields=[("x", "int")])
    fields = index.schema(did, "Fields", fields=[("speech", "str"), ("noise", "ndarray")])
    best_first = (
        ("speech noise", None, (), plain),
        ("noise of speech 2", None, (), plain),
        ("noise and speeches", None, (), plain),
        ("by its fields", None, (), fields),
        ("speech under tags", None, ("noise",), plain),
        ("noise described", "with much speech", (), plain),
        ("described", "speech in noise", (), plain),
        ("described with other forms", "speeches in noise", (), plain),
    )
    for name, description, tags, schema in best_first:
        index.dataset(did, name, schema, description=description, tags=tags)
    assert service.names(q="speech noise") == [name for name, *_ in best_first]


def test_words_written_in_one_piece_stand_together_in_the_first_hits(
    shelf: tuple[IndexBuilder, Service],
) -> None:
    index, service = shelf
    did = index.account("alice")
    schema = index.schema(did)
    for name in ("日本の画像", "A time-series", "series in time", "本日の画像"):
        index.dataset(did, name, schema)
    assert service.names(q="time-series") == ["A time-series", "series in time"]
    assert service.names(q="time series") == ["series in time", "A time-series"], "the newest"
    assert service.names(q="time-serise") == ["A time-series", "series in time"]
    assert service.names(q="日本 画像") == ["日本の画像", "本日の画像"]


def test_pages_follow_each_other_in_the_same_order_however_many_hits_there_are(
    shelf: tuple[IndexBuilder, Service],
) -> None:
    index, service = shelf
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(12):
        index.dataset(did, f"time-series of series {number}", schema, tags=["time"] * (number % 2))
        index.dataset(did, f"series {number}", schema, description="in time")
    whole = service.names(q="series time-series", limit=100)
    paged = service.every("searchDatasets", "datasets", q="series time-series", limit=5)
    assert [view["name"] for view in paged] == whole
    assert len(set(whole)) == 24


def test_a_name_with_the_same_signs_comes_before_one_with_others(
    shelf: tuple[IndexBuilder, Service],
) -> None:
    index, service = shelf
    did = index.account("alice")
    schema = index.schema(did)
    for name in ("C code", "C++ code", "C# Code", "C++ code, old"):
        index.dataset(did, name, schema, tags=["code"])
    assert service.names(q="C++ code") == ["C++ code", "C# Code", "C code", "C++ code, old"]
    assert service.names(q=' "c# code" ')[0] == "C# Code"
    assert service.names(q="C code", tags="code")[0] == "C code"
    page_by_page = service.every("searchDatasets", "datasets", q="C++ code", limit=1)
    assert [view["name"] for view in page_by_page] == service.names(q="C++ code")

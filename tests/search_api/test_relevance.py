"""How good the hits are: judged queries on the demo recording and on a made corpus, each kind with
thresholds of its own, a little below what was measured.

A threshold far below 1 stands for something that we do badly, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

import duckdb
import pytest

from search_api.conditions import Question
from search_api.database import Database
from search_api.search import Search
from search_api.text_index import TextIndex
from tests.bench.search_corpus import fill
from tests.flow.node import Node
from tests.search_api.judged import DEPTH, Find, Marks, marked, ndcg, shown
from tests.search_api.judged_demo import demo_queries
from tests.search_api.judged_made import made_queries, rows

DATASETS = 3_000

# nDCG@10 and success@1 that are wanted at least.
Wanted = Mapping[str, tuple[float, float]]
DEMO: Wanted = {
    "known item": (0.99, 1.0),
    "in another order": (0.99, 1.0),
    "one typo": (0.99, 1.0),
    "two typos": (0.99, 1.0),
    "begun": (0.99, 1.0),
    "topic": (0.99, 1.0),
    "people's words": (0.96, 0.93),
    "several tags": (0.99, 1.0),
    "tags misspelt": (0.99, 1.0),
    "fields": (0.99, 1.0),
    "licences": (0.98, 1.0),
    "author and topic": (0.99, 1.0),
}
MADE: Wanted = {
    "known item": (0.99, 1.0),
    "in another order": (0.99, 1.0),
    "one typo": (0.96, 1.0),
    "two typos": (0.96, 1.0),
    "half remembered": (0.9, 0.85),
    "begun": (0.99, 1.0),
    "singular and plural": (0.94, 1.0),
    "a word that nobody uses": (0.93, 0.95),
    "several tags": (0.99, 1.0),
    "tags misspelt": (0.96, 0.95),
    "tag values misspelt": (0.99, 1.0),
    "field and topic": (0.97, 1.0),
    "fields as words": (0.85, 0.65),  # names come before fields
    "author by label": (0.99, 1.0),
    "author and topic": (0.98, 1.0),
    "licence and topic": (0.94, 1.0),
}


@pytest.fixture(scope="module")
def corpus() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    fill(connection, DATASETS)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def find_made(
    corpus: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Find]:
    database = Database(corpus)
    text_index = TextIndex(tmp_path_factory.mktemp("relevance"), database)
    text_index.catch_up()
    search = Search(database, text_index)
    yield lambda q: [view.uri for view in search.datasets(Question(q), DEPTH, None).datasets]
    text_index.close()


def hold(marks: Mapping[str, Marks], wanted: Wanted) -> None:
    """Every kind has its thresholds, and reaches them."""
    assert set(marks) == set(wanted)
    assert not {
        kind: (of.mean, of.success)
        for kind, of in marks.items()
        if of.mean < wanted[kind][0] or of.success < wanted[kind][1]
    }


def test_judged_queries_of_the_demo(demo_node: Node) -> None:
    def find(q: str) -> list[str]:
        asked = urlencode({"q": q, "limit": DEPTH})
        page = demo_node.get(f"/xrpc/ac.foundation.dataset.searchDatasets?{asked}")
        return [hit["name"] for hit in page["datasets"]]

    queries = list(demo_queries())
    assert len(queries) >= 60
    known = {
        hit["name"]
        for hit in demo_node.get("/xrpc/ac.foundation.dataset.searchDatasets?limit=100")["datasets"]
    }
    assert {name for query in queries for name in query.grades} <= known
    marks = marked(queries, find)
    print(shown("demo", marks))
    hold(marks, DEMO)


def test_judged_queries_of_the_made_corpus(
    corpus: duckdb.DuckDBPyConnection, find_made: Find
) -> None:
    marks = marked(made_queries(rows(corpus)), find_made)
    print(shown(f"{DATASETS:,} made datasets", marks))
    hold(marks, MADE)


def test_ndcg_is_as_in_the_books() -> None:
    grades = {"a": 3, "b": 2, "c": 3, "e": 1, "f": 2}
    assert ndcg(["a", "c", "b", "f", "e"], grades) == 1.0
    # The gains 7, 3, 7, 0, 1, 3 in the order in which they were found.
    assert ndcg(["a", "b", "c", "d", "e", "f"], grades) == pytest.approx(0.9488, abs=1e-4)
    assert ndcg(["d"], grades) == 0.0

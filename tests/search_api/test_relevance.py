"""How good the hits are: judged queries on a made corpus, each kind with a threshold of its own.

A judged query has one dataset that must come first (known item), or a set of datasets that are all
right and nothing else (tags, fields). nDCG@10 with gain 1 for what is right.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import duckdb
import pytest

from search_api.conditions import Question
from search_api.database import Database
from search_api.search import Search
from search_api.text_index import TextIndex
from tests.bench.search_corpus import SEED, fill

DATASETS = 3_000
EACH = 20  # judged queries of each kind

Row = tuple[str, str, list[str], list[str]]  # uri, name, tags, field names


@dataclass(frozen=True)
class Judged:
    question: Question
    right: frozenset[str]


@dataclass(frozen=True)
class Corpus:
    search: Search
    rows: list[Row]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    connection = duckdb.connect()
    fill(connection, DATASETS)
    database = Database(connection)
    text_index = TextIndex(tmp_path_factory.mktemp("relevance"), database)
    text_index.catch_up()
    rows = connection.execute(
        "SELECT r.uri, d.name, (SELECT list(tag) FROM dataset_tags t WHERE t.doc = d.doc), "
        "(SELECT list(f.name) FROM schema_fields f WHERE f.doc = d.schema_doc) "
        "FROM datasets d JOIN records r USING (doc) ORDER BY r.uri"
    ).fetchall()
    yield Corpus(Search(database, text_index), rows)
    text_index.close()
    connection.close()


def known_item(row: Row, rows: Sequence[Row], chance: random.Random) -> Judged:
    """By its whole name, in other letters."""
    same = frozenset(uri for uri, name, _, _ in rows if name == row[1])
    return Judged(Question(row[1].upper()), same)


def typo(row: Row, rows: Sequence[Row], chance: random.Random) -> Judged:
    """By its name with two letters of its longest word swapped."""
    longest = max(row[1].split(), key=len)
    at = len(longest) // 2
    wrong = longest[: at - 1] + longest[at] + longest[at - 1] + longest[at + 1 :]
    return Judged(Question(row[1].replace(longest, wrong)), frozenset([row[0]]))


def prefix(row: Row, rows: Sequence[Row], chance: random.Random) -> Judged:
    """By its name without the number, before the last word is complete."""
    words = row[1].split()[:-1]
    begun = " ".join([*words[:-1], words[-1][: max(3, len(words[-1]) - 2)]])
    right = frozenset(uri for uri, name, _, _ in rows if name.startswith(begun))
    return Judged(Question(begun), right)


def tags(row: Row, rows: Sequence[Row], chance: random.Random) -> Judged:
    """By two of its tags, in the query box."""
    two = sorted(set(row[2]))[:2]
    right = frozenset(uri for uri, _, theirs, _ in rows if set(two) <= set(theirs))
    return Judged(Question(" ".join(f"tag:{tag}" for tag in two)), right)


def fields(row: Row, rows: Sequence[Row], chance: random.Random) -> Judged:
    """By two fields of its schema."""
    two = chance.sample(sorted(set(row[3])), 2) if len(set(row[3])) > 1 else row[3]
    right = frozenset(uri for uri, _, _, theirs in rows if set(two) <= set(theirs))
    return Judged(Question(" ".join(f"field:{name}" for name in two)), right)


def ndcg(found: Sequence[str], right: frozenset[str]) -> float:
    """nDCG@10."""
    gained = sum(1 / math.log2(i + 2) for i, uri in enumerate(found[:10]) if uri in right)
    return gained / sum(1 / math.log2(i + 2) for i in range(min(10, len(right))))


@pytest.mark.parametrize(
    ("kind", "least_ndcg", "least_success"),
    [
        (known_item, 0.99, 1.0),
        (typo, 0.85, 0.85),
        (prefix, 0.9, 0.9),
        (tags, 0.99, 1.0),
        (fields, 0.99, 1.0),
    ],
)
def test_judged_queries(
    corpus: Corpus,
    kind: Callable[[Row, Sequence[Row], random.Random], Judged],
    least_ndcg: float,
    least_success: float,
) -> None:
    chance = random.Random(SEED)
    judged = [kind(row, corpus.rows, chance) for row in chance.sample(corpus.rows, EACH)]
    gains, first = [], 0
    for query in judged:
        hits = [view.uri for view in corpus.search.datasets(query.question, 10, None).datasets]
        gains.append(ndcg(hits, query.right))
        first += bool(hits) and hits[0] in query.right
    mean, success = sum(gains) / EACH, first / EACH
    print(f"{kind.__name__}: nDCG@10 {mean:.3f}, success@1 {success:.2f}")
    assert mean >= least_ndcg
    assert success >= least_success

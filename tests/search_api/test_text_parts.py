"""The two parts of the text index – on disk, and in memory what has changed since – against an
index that was built anew: whatever was put, changed, hidden or taken away, they say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_api import facets
from search_api.database import Database
from search_api.text_counts import together
from search_api.text_index import TextIndex
from search_api.text_query import Condition, DatasetQuery, Rank
from search_api.text_reader import Reader
from tests.search_api.index_builder import IndexBuilder

NAMES = ("coral", "coral reef", "Corals of the sea", "sea", "a reef", "musical", "music")
TAGS = ("a", "b", "c", "d", "e")
NO_FOLD = 1_000_000
QUERIES = tuple(
    DatasetQuery(q, conditions, sort=sort, forms=forms)
    for q in ("", "coral", "reef", "musicals", "cor", '"coral reef"', "sea -reef")
    for conditions in ((), (Condition("tag", ("a", "b"), facet="tags"),))
    for sort in ("relevance", "name", "updated")
    for forms in (False, True)
)
# What happens: a dataset of that name and tag comes, one is taken away, an account is hidden or
# shown, the index catches up, what is in memory goes to disk.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(NAMES), st.sampled_from(TAGS)),
        st.tuples(st.just("delete"), st.integers(0, 50), st.just("")),
        st.tuples(st.just("account"), st.booleans(), st.just("")),
        st.tuples(st.just("catch up"), st.just(0), st.just("")),
        st.tuples(st.just("fold"), st.just(0), st.just("")),
    ),
    max_size=40,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(steps=steps)
def test_two_parts_say_what_one_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object, str]]
) -> None:
    index, folder = IndexBuilder.create(), tmp_path_factory.mktemp("parts")
    database = Database(index.connection)
    text_index = TextIndex(folder / "two", database, fold=NO_FOLD)
    accounts = [index.account(name) for name in ("alice", "bob")]
    schema = index.schema(accounts[0])
    there = [index.dataset(accounts[n % 2], name, schema) for n, name in enumerate(NAMES)]
    text_index.catch_up()
    for number, (what, which, tag) in enumerate(steps):
        if what == "put":
            uri = index.dataset(accounts[number % 2], str(which), schema, tags=[tag, "all"])
            there.append(uri)
        elif what == "delete" and there:
            index.delete(there.pop(int(str(which)) % len(there)))
        elif what == "account":
            index.set_active(accounts[1], bool(which))
        elif what == "catch up":
            text_index.catch_up()
        elif what == "fold":
            text_index._fold()
    text_index.catch_up()
    anew = TextIndex(folder / "one", database)
    anew.catch_up()
    for query in QUERIES:
        assert told(text_index.reader(), query) == told(anew.reader(), query), query
    text_index.close()
    anew.close()
    index.connection.close()


def told(reader: Reader, query: DatasetQuery) -> object:
    """Everything that ``reader`` says of ``query``: all pages, the number, and the facets."""
    ranks: list[Rank] = []
    while page := reader.page(query, 3, ranks[-1] if ranks else None):
        ranks += [rank for rank, _ in page]
    whole = [rank for rank, _ in reader.page(query, 100)]
    assert ranks == whole, "pages put together are the whole"
    names = [stored.view.name for _, stored in reader.page(query, 100)]
    examples = reader.examples(reader._asked(query).inside, 4)
    return (
        *(whole, names, reader.total(query), [stored.view.uri for stored in examples]),
        facets.count(reader, query, ["tags", "authors", "schemas"]),
    )


def test_a_dataset_that_changes_is_there_once(index: IndexBuilder, tmp_path: Path) -> None:
    text_index = TextIndex(tmp_path / "text", Database(index.connection))
    did = index.account("alice")
    schema = index.schema(did)
    uri = index.dataset(did, "before", schema, tags=["old"])
    text_index.catch_up()
    for version in range(3):
        index.delete(uri)
        index.minute -= 1  # the same rkey again
        assert index.dataset(did, f"after {version}", schema, tags=["new"]) == uri
        text_index.catch_up()
        reader = text_index.reader()
        assert [stored.view.name for _, stored in reader.page(DatasetQuery(), 5)] == [
            f"after {version}"
        ]
        assert reader.total(DatasetQuery()) == 1
        counted = facets.count(reader, DatasetQuery(), ["tags"]).tags
        assert [(value.value, value.count) for value in counted or ()] == [("new", 1)]
        assert reader.total(DatasetQuery("before")) == 0
    text_index.close()


def test_what_is_in_memory_is_on_disk_after_a_close_and_caught_up_with_after_a_crash(
    index: IndexBuilder, tmp_path: Path
) -> None:
    database = Database(index.connection)
    did = index.account("alice")
    schema = index.schema(did)
    index.dataset(did, "One", schema)
    first = TextIndex(tmp_path / "text", database)
    first.catch_up()
    index.dataset(did, "Two", schema)
    assert first.catch_up() == 1
    first._settled.close()  # as a process that ends without a word: nothing goes to disk
    second = TextIndex(tmp_path / "text", database)
    assert second.seq == index.seq - 1
    assert second.catch_up() == 1
    assert second.search(DatasetQuery(), 5).total == 2
    second.close()
    third = TextIndex(tmp_path / "text", database)
    assert third.seq == index.seq
    assert third.catch_up() == 0
    assert third.search(DatasetQuery(), 5).total == 2
    third.close()


def test_much_that_changes_goes_to_disk(index: IndexBuilder, tmp_path: Path) -> None:
    text_index = TextIndex(tmp_path / "text", Database(index.connection), fold=3)
    did = index.account("alice")
    schema = index.schema(did)
    text_index.catch_up()
    for number in range(4):
        index.dataset(did, f"n{number}", schema)
        text_index.catch_up()
    assert text_index._settled.held.seq == index.seq - 1, "three went to disk, one is in memory"
    assert text_index.search(DatasetQuery(), 9).total == 4
    text_index.close()


counts = st.dictionaries(st.integers(0, 40), st.integers(1, 6), max_size=30)


@given(settled=counts, fresh=counts, share=st.floats(0, 1), size=st.integers(1, 6))
def test_the_most_frequent_values_are_exact(
    settled: dict[int, int], fresh: dict[int, int], share: float, size: int
) -> None:
    gone = {key: int(hits * share) for key, hits in settled.items() if int(hits * share)}
    true = Counter(settled)
    true.subtract(gone)
    true.update(fresh)
    best = sorted((hits for hits in true.values() if hits > 0), reverse=True)[:size]

    def most(asked: int) -> list[tuple[int, int]]:
        return Counter(settled).most_common(asked)

    def exactly(keys: Sequence[int]) -> dict[int, int]:
        return {key: settled[key] for key in keys if key in settled}

    found = together(most, exactly, fresh.items(), gone.items(), size)
    assert [hits for _, hits in found] == best
    assert all(true[key] == hits for key, hits in found)


def test_more_is_asked_for_only_where_the_most_frequent_can_not_decide() -> None:
    asked: list[object] = []

    def most(size: int) -> list[tuple[int, int]]:
        asked.append(size)
        return [(key, 100 - key) for key in range(50)][:size]

    def exactly(keys: Sequence[int]) -> dict[int, int]:
        asked.append(tuple(keys))
        return {key: 100 - key for key in keys}

    def of(fresh: list[tuple[int, int]], gone: list[tuple[int, int]]) -> list[tuple[int, int]]:
        asked.clear()
        return together(most, exactly, fresh, gone, 2)

    assert of([(45, 2)], []) == [(0, 100), (1, 99)]
    assert asked == [4]
    assert of([(45, 50), (44, 1)], []) == [(45, 105), (0, 100)]
    assert asked == [4, (45,)], "what has 55 of the settled part is not among its first four"
    assert of([], [(0, 50), (1, 50), (2, 50)]) == [(3, 97), (4, 96)]
    assert asked == [4, 65_000], "too much is gone of the first four"

"""The text index: what it finds, in which order, and that it is never the truth."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atdata.protocol.errors import StoreError
from atdata.protocol.keys import key_of
from search_api.database import Database
from search_api.text_index import TextIndex
from search_api.text_query import DatasetQuery
from tests.search_api.index_builder import IndexBuilder

EVERYTHING = DatasetQuery()


def found(text_index: TextIndex, query: DatasetQuery = EVERYTHING) -> set[int]:
    return {rank.doc for rank in text_index.search(query, 1000).ranks}


def test_it_follows_what_is_put_changed_and_deleted(
    index: IndexBuilder, text_index: TextIndex
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    first = index.dataset(did, "One", schema)
    assert text_index.catch_up() == 1  # built anew: one dataset
    second = index.dataset(did, "Two", schema)
    assert text_index.catch_up() == 1  # one change
    assert found(text_index) == {key_of(first), key_of(second)}
    index.delete(first)
    text_index.catch_up()
    assert found(text_index) == {key_of(second)}
    assert text_index.catch_up() == 0


def test_a_dataset_is_found_by_the_fields_of_a_schema_that_comes_later(
    index: IndexBuilder, text_index: TextIndex
) -> None:
    did = index.account("alice")
    schema = index.schema(did, "Reef", fields=[("bleaching", "float")])
    dataset = index.dataset(did, "Red Sea", schema)
    index.delete(schema)
    text_index.catch_up()
    assert found(text_index, DatasetQuery(q="bleaching")) == set()
    index.minute -= 2  # the same rkey and minute again
    index.schema(did, "Reef", fields=[("bleaching", "float")])
    text_index.catch_up()
    assert found(text_index, DatasetQuery(q="bleaching")) == {key_of(dataset)}
    assert found(text_index, DatasetQuery(q="reef")) == {key_of(dataset)}


def test_it_goes_on_where_it_was_after_a_restart(index: IndexBuilder, tmp_path: Path) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    index.dataset(did, "One", schema)
    database = Database(index.connection)
    before = TextIndex(tmp_path / "text", database)
    before.catch_up()
    before.close()
    index.dataset(did, "Two", schema)
    after = TextIndex(tmp_path / "text", database)
    assert after.seq == index.seq - 1
    assert after.catch_up() == 1
    assert len(found(after)) == 2
    after.close()


def test_it_is_built_anew_for_another_database(index: IndexBuilder, tmp_path: Path) -> None:
    did = index.account("alice")
    index.dataset(did, "One", index.schema(did))
    before = TextIndex(tmp_path / "text", Database(index.connection))
    before.catch_up()
    before.close()
    other = IndexBuilder.create()
    bob = other.account("bob")
    uri = other.dataset(bob, "Other", other.schema(bob))
    after = TextIndex(tmp_path / "text", Database(other.connection))
    after.catch_up()
    assert found(after) == {key_of(uri)}
    after.close()


def test_it_is_built_anew_when_the_database_was_set_back(
    index: IndexBuilder, text_index: TextIndex
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    first = index.dataset(did, "One", schema)
    index.dataset(did, "Two", schema)
    text_index.catch_up()
    index.connection.execute("DELETE FROM changes WHERE seq = ?", [index.seq])
    index.connection.execute("DELETE FROM datasets WHERE name = 'Two'")
    text_index.catch_up()
    assert found(text_index) == {key_of(first)}


def test_two_processes_cannot_write_one_index(index: IndexBuilder, tmp_path: Path) -> None:
    database = Database(index.connection)
    first = TextIndex(tmp_path / "text", database)
    with pytest.raises(StoreError, match="in use"):
        TextIndex(tmp_path / "text", database)
    first.close()


def test_more_prominent_places_rank_first_and_then_newer_ones(
    index: IndexBuilder, text_index: TextIndex
) -> None:
    alice = index.account("alice")
    plain = index.schema(alice, "Plain", fields=[("x", "int")])
    reef = index.schema(alice, "Reef", fields=[("x", "int")])
    exact = index.dataset(alice, "Reef!", plain)
    in_name_old = index.dataset(alice, "A reef survey", plain)
    in_name_new = index.dataset(alice, "Another reef survey", plain)
    begun_in_name = index.dataset(alice, "Reefs of the world", plain)
    tagged = index.dataset(alice, "Corals", plain, tags=["reef"])
    by_schema = index.dataset(alice, "Fish", reef)
    described = index.dataset(alice, "Water", plain, description="taken at a reef")
    index.dataset(alice, "Unrelated", plain)
    text_index.catch_up()
    ranks = text_index.search(DatasetQuery(q="reef"), 100).ranks
    wanted = [exact, in_name_new, in_name_old, begun_in_name, tagged, by_schema, described]
    assert [rank.doc for rank in ranks] == [key_of(uri) for uri in wanted]


def test_all_words_are_needed_and_the_last_may_be_begun(
    index: IndexBuilder, text_index: TextIndex
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    uri = index.dataset(did, "Street signs of Lisbon", schema, tags=["photos"])
    text_index.catch_up()
    for q in ("lisbon", "signs street", "photos lisb", "street si"):
        assert found(text_index, DatasetQuery(q=q)) == {key_of(uri)}, q
    for q in ("lisb street", "lisbon porto"):
        assert found(text_index, DatasetQuery(q=q)) == set(), q


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(q=st.text(max_size=80))
def test_no_query_text_breaks_it(index: IndexBuilder, text_index: TextIndex, q: str) -> None:
    if text_index.seq < 1:
        did = index.account("alice")
        index.dataset(did, "One", index.schema(did))
        text_index.catch_up()
    assert 0 <= text_index.search(DatasetQuery(q=q), 10).total <= 1


def test_hits_of_one_moment_are_paged_without_loss(
    index: IndexBuilder, text_index: TextIndex
) -> None:
    """Hundreds of datasets whose sort key is the same: the cut falls among ties."""
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(40):
        index.dataset(did, f"Part {number}", schema)
    index.connection.execute("UPDATE records SET sort_at = make_timestamptz(1760000000000000)")
    text_index.catch_up()
    text_index._rebuild()
    seen: list[int] = []
    after = None
    while ranks := text_index.search(DatasetQuery(q="part"), 7, after).ranks:
        seen += [rank.doc for rank in ranks]
        after = ranks[-1]
    assert len(seen) == len(set(seen)) == 40


def test_files_that_are_lost_while_it_runs_are_made_anew(
    index: IndexBuilder, tmp_path: Path
) -> None:
    """A writer of the library that failed once never writes again."""
    did = index.account("alice")
    schema = index.schema(did)
    index.dataset(did, "Corals", schema)
    text_index = TextIndex(tmp_path / "lost", Database(index.connection), fold=1)
    text_index.catch_up()
    shutil.rmtree(tmp_path / "lost")
    index.dataset(did, "Sponges", schema)
    with pytest.raises((ValueError, OSError)):
        text_index.catch_up()
    assert text_index.search(DatasetQuery("corals"), 5).total == 1, "what it held can be searched"
    text_index.catch_up()
    assert text_index.search(DatasetQuery("sponges"), 5).total == 1
    assert text_index.search(DatasetQuery("corals"), 5).total == 1
    index.dataset(did, "Urchins", schema)
    assert text_index.catch_up() == 1
    text_index.close()

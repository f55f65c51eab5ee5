"""Lists of tags and licences: made once of each state of the text index, cut wherever asked."""

from __future__ import annotations

from search_api.text_index import TextIndex
from search_api.vocabulary import REMEMBERED, Vocabulary
from tests.search_api.index_builder import IndexBuilder


def test_a_list_is_made_once_until_something_changes(
    index: IndexBuilder, text_index: TextIndex
) -> None:
    did = index.account("alice")
    index.dataset(did, "One", "at://x/y/z", tags=["reef", "rest"])
    text_index.catch_up()
    vocabulary, reader = Vocabulary(), text_index.reader()
    first = vocabulary._listed(reader, "tags", frozenset())
    assert vocabulary.values(reader, "tags", "ree", (), 10, None) == [("reef", 1)]
    assert vocabulary._listed(reader, "tags", frozenset()) is first
    index.dataset(did, "Two", "at://x/y/z", tags=["reef"])
    text_index.catch_up()
    assert vocabulary.values(text_index.reader(), "tags", "", (), 10, None) == [
        ("reef", 2),
        ("rest", 1),
    ]


def test_it_goes_on_behind_any_place_and_is_bounded(
    index: IndexBuilder, text_index: TextIndex
) -> None:
    did = index.account("alice")
    for number in range(40):
        index.dataset(did, f"Set {number}", "at://x/y/z", tags=["all", f"tag{number:02}"])
    text_index.catch_up()
    vocabulary, reader = Vocabulary(), text_index.reader()
    whole = vocabulary.values(reader, "tags", "", (), 100, None)
    assert whole == [("all", 40), *((f"tag{number:02}", 1) for number in range(40))]
    for at in range(0, 41, 7):
        value, count = whole[at]
        assert vocabulary.values(reader, "tags", "", (), 3, (count, value)) == whole[at + 1 :][:3]
    assert vocabulary.values(reader, "tags", "tag1", ("all",), 2, (1, "tag11")) == [
        ("tag12", 1),
        ("tag13", 1),
    ]
    for number in range(40):
        assert vocabulary.values(reader, "tags", "", (f"tag{number:02}",), 9, None) == [("all", 1)]
        assert len(vocabulary._lists) <= REMEMBERED

"""What a search does where little is found: other forms, values and compounds put right, words left
out; and whose datasets a handle among the words means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search_api.tiers import steps
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service, serving

FIELDS = [("sample_rate", "int"), ("waveform", "ndarray")]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Oldest first; the last one is the newest and comes first among equals."""
    index = IndexBuilder.create()
    alice, lab = index.account("alice"), index.account("sound-lab")
    image, sound = index.schema(alice), index.schema(lab, "Clip", fields=FIELDS)
    for author, name, description, tags, schema in (
        (alice, "Reef picture", "Of one reef", ["time-series", "images"], image),
        (alice, "Reef pictures", "A height map of the sea floor", ["time-series", "fish"], image),
        (lab, "Whale song", "A musical recording of alice.test", ["audio", "New York"], sound),
        (lab, "Singing dunes", "Sand", ["audio"], sound),
        (alice, "Notes about sound-lab.test", "Sand and song", ["text"], image),
    ):
        index.dataset(author, name, schema, description=description, tags=tags)
    with serving(index, tmp_path_factory.mktemp("wide")) as service:
        yield service
    index.connection.close()


# --- other forms --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("pictures", ["Reef pictures", "Reef picture"]),
        ("picture", ["Reef picture", "Reef pictures"]),
        ("recordings", ["Whale song"]),
        ("songs", ["Whale song", "Notes about sound-lab.test"]),
        ("pictures reefs", ["Reef pictures", "Reef picture"]),
    ],
)
def test_another_form_of_a_word_ranks_behind_it_in_the_same_place(
    shelf: Service, q: str, names: list[str]
) -> None:
    assert shelf.names(q=q) == names


@pytest.mark.parametrize(
    ("q", "instead"),
    [
        ("recordings", "recording"),
        ("the dune of recordings", "the dunes of recording"),
        ("musical recording", "music recording"),
        ("tag:audoi recordings", "tag:audio recording"),
        ("recording", None),
        ("recordi", None),  # is only begun
    ],
)
def test_a_form_is_said_where_the_words_as_they_are_written_find_nothing(
    tmp_path: Path, q: str, instead: str | None
) -> None:
    """Three hits, so that nothing is taken for a typo."""
    index = IndexBuilder.create()
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(3):
        index.dataset(did, f"A recording of dunes: music {number}", schema, tags=["audio"])
    with serving(index, tmp_path) as service:
        assert "showingResultsFor" not in service.get("searchDatasets", q=q, fuzzy="off")
        cursor: dict[str, str] = {}
        for page in range(3):
            answer = service.get("searchDatasets", q=q, limit=1, **cursor)
            assert (answer["hitsTotal"], answer.get("showingResultsFor")) == (3, instead)
            cursor = {} if page == 2 else {"cursor": answer["cursor"]}
    index.connection.close()


def test_other_forms_are_not_looked_for_where_that_is_off(shelf: Service) -> None:
    assert shelf.names(q="pictures", fuzzy="off") == ["Reef pictures"]
    assert shelf.names(q="recordings", fuzzy="off") == []


def test_a_word_about_data_as_such_decides_nothing_beside_others(shelf: Service) -> None:
    assert shelf.names(q="dataset of whale data", fuzzy="off") == ["Whale song"]
    assert shelf.names(q="dataset", fuzzy="off") == []


# --- values that nobody has ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "names", "instead"),
    [
        ("tag:imgaes", ["Reef picture"], "tag:images"),
        ("tag:image", ["Reef picture"], "tag:images"),
        ("tag:timeseries", ["Reef pictures", "Reef picture"], "tag:time-series"),
        ("tag:Time_Series reef", ["Reef pictures", "Reef picture"], "tag:time-series reef"),
        ('tag:"time serie" tag:fisch', ["Reef pictures"], "tag:time-series tag:fish"),
        ("tag:audo whale", ["Whale song"], "tag:audio whale"),
        ("tag:new-york", ["Whale song"], 'tag:"new york"'),
        ("tag:txt", ["Notes about sound-lab.test"], "tag:text"),
        ("field:samplerate", ["Singing dunes", "Whale song"], "field:sample_rate"),
        ("field:wavefrom whael", ["Whale song"], "field:waveform whale"),
    ],
)
def test_a_value_that_nobody_has_is_read_as_the_nearest_and_said(
    shelf: Service, q: str, names: list[str], instead: str
) -> None:
    answer = shelf.get("searchDatasets", q=q)
    assert [view["name"] for view in answer["datasets"]] == names
    assert answer["showingResultsFor"] == instead
    assert shelf.names(q=q, fuzzy="off") == []


@pytest.mark.parametrize(
    "q",
    [
        "tag:xy",  # two letters may be anything
        "tag:nothing-like-it",
        "tag:imgaes tag:nothing-like-it",
        "tag:fisch tag:images",  # no dataset has fish and images
        "tag:imgaes author:sound-lab",
    ],
)
def test_what_would_find_nothing_is_not_put_right(shelf: Service, q: str) -> None:
    answer = shelf.get("searchDatasets", q=q)
    assert (answer["datasets"], answer.get("showingResultsFor")) == ([], None)


def test_parameters_and_exclusions_mean_what_they_say(shelf: Service) -> None:
    assert shelf.names(tags="imgaes") == []
    assert len(shelf.names(q="-tag:imgaes")) == 5
    assert "showingResultsFor" not in shelf.get("searchDatasets", q="-tag:imgaes")


def test_the_next_page_goes_on_with_the_values_of_the_first(shelf: Service) -> None:
    params = {"q": "tag:timeseries picturs", "limit": "1"}
    first = shelf.get("searchDatasets", **params)
    second = shelf.get("searchDatasets", **params, cursor=first["cursor"])
    for page, name in ((first, "Reef picture"), (second, "Reef pictures")):
        assert [view["name"] for view in page["datasets"]] == [name]
        assert page["hitsTotal"] == 2
        assert page["showingResultsFor"] == "tag:time-series picture"


# --- compounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "names", "instead"),
    [
        ("heightmap", ["Reef pictures"], "height map"),
        ("heightmaps sea", ["Reef pictures"], "height maps sea"),
        ("wave form", ["Singing dunes", "Whale song"], "waveform"),
    ],
)
def test_what_is_written_as_one_word_or_as_two(
    shelf: Service, q: str, names: list[str], instead: str
) -> None:
    answer = shelf.get("searchDatasets", q=q)
    assert [view["name"] for view in answer["datasets"]][: len(names)] == names
    assert answer["showingResultsFor"] == instead
    assert "showingResultsFor" not in shelf.get("searchDatasets", q=q, fuzzy="off")


# --- handles ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("sound-lab.test", ["Singing dunes", "Whale song", "Notes about sound-lab.test"]),
        ("sound-lab.test song", ["Whale song", "Notes about sound-lab.test"]),
        ("song @sound-lab", ["Whale song", "Notes about sound-lab.test"]),
        ("the @sound-lab.test", ["Singing dunes", "Whale song", "Notes about sound-lab.test"]),
        # Here the name is asked for.
        ("Notes about sound-lab.test", ["Notes about sound-lab.test"]),
    ],
)
def test_who_writes_a_handle_means_that_authors_datasets_first(
    shelf: Service, q: str, names: list[str]
) -> None:
    assert shelf.names(q=q, fuzzy="off")[: len(names)] == names


# --- fewer words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "least"), [(0, []), (1, []), (2, [1]), (3, [2, 1]), (4, [3, 2]), (7, [5, 3])]
)
def test_a_third_of_the_words_less_each_time(words: int, least: list[int]) -> None:
    assert steps(words) == least


def test_who_lacks_a_word_comes_after_who_has_all_and_better_places_first(shelf: Service) -> None:
    answer = shelf.get("searchDatasets", q="song sand whale")
    assert [view["name"] for view in answer["datasets"]] == [
        "Whale song",  # two of three in the name
        "Notes about sound-lab.test",  # two of three in the description, newer
        "Singing dunes",  # one, since there were no three hits
    ]
    assert answer["relaxed"] is True


def test_more_words_may_be_missing_until_there_is_something(shelf: Service) -> None:
    assert shelf.names(q="desert wind dunes", fuzzy="off") == ["Singing dunes"]
    assert shelf.names(q="desert wind singing dunes", fuzzy="off") == ["Singing dunes"]
    assert shelf.names(q="desert morning wind dunes", fuzzy="off") == []
    assert shelf.names(q="desert wind", fuzzy="off") == []


def test_of_two_words_one_may_be_missing_behind_the_few_that_have_both(shelf: Service) -> None:
    assert shelf.names(q="singing sand") == ["Singing dunes", "Notes about sound-lab.test"]
    assert shelf.names(q="singing sand", fuzzy="off") == ["Singing dunes"]


def test_where_that_would_be_a_flood_it_is_left_out(tmp_path: Path) -> None:
    index = IndexBuilder.create()
    did = index.account("alice")
    schema = index.schema(did)
    index.dataset(did, "zebra fish", schema)
    for number in range(110):
        index.dataset(did, f"fish {number}", schema)
    with serving(index, tmp_path) as service:
        assert service.get("searchDatasets", q="zebra fish")["hitsTotal"] == 1
        assert service.get("searchDatasets", q="yellow fish")["hitsTotal"] == 111
    index.connection.close()

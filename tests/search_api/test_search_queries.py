"""searchDatasets: the query box, every filter and order, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atdata.protocol.keys import key_of
from tests.search_api.index_builder import FOUNDATION, IndexBuilder
from tests.search_api.service import Service, serving


@dataclass(frozen=True)
class Shelf:
    service: Service
    uris: dict[str, str]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    index = IndexBuilder.create()
    uris = filled(index)
    with serving(index, tmp_path_factory.mktemp("shelf")) as service:
        yield Shelf(service, uris)
    index.connection.close()


def filled(index: IndexBuilder) -> dict[str, str]:
    """Oldest first. Sizes are 10, 20, … samples and 1000, 2000, … bytes; the last has none."""
    alice, bob = index.account("alice"), index.account("bob")
    image = index.schema(alice, "ImageSample")
    sound = index.schema(bob, "Utterance", fields=[("waveform", "ndarray"), ("speaker", "str")])
    made = {
        "Coral Reef Images": index.dataset(
            alice,
            "Coral Reef Images",
            image,
            tags=["marine", "images"],
            license_as_written="CC BY 4.0",
            spdx="CC-BY-4.0",
            storage="blobs",
            description="Photographs of the Red Sea.",
        ),
        "Red Foxes": index.dataset(
            alice,
            "Red Foxes",
            image,
            tags=["images", "New York"],
            license_as_written="mit",
            spdx="MIT",
            description="Foxes seen at the sea.",
            body={"storage": {"urls": ["https://example.com/a/foxes-000.tar.gz?x=1.y"]}},
        ),
        "The Whale Recordings": index.dataset(
            bob, "The Whale Recordings", sound, tags=["marine", "audio"], description="Sea sounds"
        ),
        "coral calls": index.dataset(
            bob, "coral calls", sound, tags=["audio"], license_as_written="my terms"
        ),
    }
    for number, uri in enumerate(made.values(), 1):
        size = [number * 10, number * 1000] if number < 4 else [None, None]
        index.connection.execute(
            "UPDATE datasets SET samples = ?, bytes = ? FROM records "
            "WHERE records.doc = datasets.doc AND uri = ?",
            [*size, uri],
        )
    return {**made, "image": image, "sound": sound, "alice": alice, "bob": bob}


REEF, FOXES, WHALES, CALLS = "Coral Reef Images", "Red Foxes", "The Whale Recordings", "coral calls"


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ('"red sea"', [REEF]),
        ('"sea red"', []),
        ('"images new"', []),  # of two tags, which make no phrase
        ("coral -calls", [REEF]),
        ('sea -"red sea"', [WHALES, FOXES]),
        ("-marine", [CALLS, FOXES]),
        ("tag:marine", [WHALES, REEF]),
        ("TAG:Marine tag:audio", [WHALES]),
        ('tag:"new york"', [FOXES]),
        ("sea -tag:marine", [FOXES]),
        ("license:cc-by", []),
        ('license:"Creative Commons Attribution 4.0"', [REEF]),
        ("license:MIT license:CC-BY-4.0", [FOXES, REEF]),
        ("-license:MIT tag:images", [REEF]),
        ("schema:ImageSample", [FOXES, REEF]),
        ("schema:utterance whale", [WHALES]),
        ("schema:image-sample", [FOXES, REEF]),
        ('schema:"utterance sample"', []),
        ("author:alice.test", [FOXES, REEF]),
        ("author:@BOB.test coral", [CALLS]),
        ("author:bob", [CALLS, WHALES]),
        ("-author:bob", [FOXES, REEF]),
        ("field:waveform", [CALLS, WHALES]),
        ("field:Speaker whale", [WHALES]),
        ("format:blobs", [REEF]),
        ("format:tar", [REEF]),
        ("format:tar.gz", [FOXES]),
        ("type:ndarray sea", [WHALES, FOXES, REEF]),
        ("type:float32 tag:audio", [CALLS, WHALES]),
        ("whale", [WHALES]),
        ("the whale", [WHALES]),
        ("recordings of the whale", [WHALES]),
        ("coral", [CALLS, REEF]),
        ("CORAL CALLS!", [CALLS]),
        ("reef ima", [REEF]),
        ("wavef", [CALLS, WHALES]),
        ("wavef tag:marine", [WHALES]),
        ("wavef -whale", [CALLS]),
        ("!?", [CALLS, WHALES, FOXES, REEF]),
        ("whale author:@", [WHALES]),  # most of the words
    ],
)
def test_the_query_box(shelf: Shelf, q: str, names: list[str]) -> None:
    answer = shelf.service.get("searchDatasets", q=q, fuzzy="off")
    assert [view["name"] for view in answer["datasets"]] == names
    assert answer["hitsTotal"] == len(names)


def test_did_and_schema_in_the_query_box_may_be_whole_identifiers(shelf: Shelf) -> None:
    assert shelf.service.names(q=f"did:{shelf.uris['bob']}") == [CALLS, WHALES]
    assert shelf.service.names(q=shelf.uris["bob"]) == [CALLS, WHALES]
    assert shelf.service.names(q=f"schema:{shelf.uris['image']}") == [FOXES, REEF]


def test_the_answer_says_how_the_query_was_read(shelf: Shelf) -> None:
    asked = 'Whale "Red Sea" -blue -"x y" -tag:Marine author:@bob.test colour:red'
    assert shelf.service.get("searchDatasets", q=asked)["query"] == {
        "words": ["whale", "red", "sea", "colour", "red"],
        "phrases": ["red sea"],
        "excluded": ["blue", "x y"],
        "filters": [
            {"name": "tag", "value": "Marine", "excluded": True},
            {"name": "author", "value": "@bob.test", "excluded": False},
        ],
    }
    assert "query" not in shelf.service.get("searchDatasets", tags="marine")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(q=st.text(max_size=100) | st.text(alphabet='-" :tagdidfieldlicenseschema@./', max_size=60))
def test_any_text_gives_an_answer(shelf: Shelf, q: str) -> None:
    answer = shelf.service.get("searchDatasets", q=q[:120], facets=["tags"])
    assert 0 <= answer["hitsTotal"] <= 4
    assert ("query" in answer) == bool(q.strip())


# --- little is found ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "names", "instead"),
    [
        ("whael", [WHALES], "whale"),
        ("recrodings", [WHALES], "recordings"),
        ("coral reff", [REEF], "coral reef"),
        ("photografs", [REEF], "photographs"),
        ("red foxs", [FOXES], "red foxes"),
    ],
)
def test_a_typo_is_put_right_and_said(shelf: Shelf, q: str, names: list[str], instead: str) -> None:
    answer = shelf.service.get("searchDatasets", q=q)
    assert [view["name"] for view in answer["datasets"]][: len(names)] == names
    assert answer["showingResultsFor"] == instead
    assert answer["query"]["words"] == q.split()


def test_a_typo_is_not_put_right_where_that_is_off_or_enough_is_found(shelf: Shelf) -> None:
    answer = shelf.service.get("searchDatasets", q="whael", fuzzy="off")
    assert (answer["datasets"], answer["hitsTotal"]) == ([], 0)
    assert "showingResultsFor" not in answer
    assert "showingResultsFor" not in shelf.service.get("searchDatasets", q="sea")
    assert "showingResultsFor" not in shelf.service.get("searchDatasets", q="xyzzyx")
    assert "showingResultsFor" not in shelf.service.get("searchDatasets", q="whal")


def test_all_words_first_and_then_most(shelf: Shelf) -> None:
    answer = shelf.service.get("searchDatasets", q="coral reef photographs sea")
    assert [view["name"] for view in answer["datasets"]] == [REEF]
    answer = shelf.service.get("searchDatasets", q="coral audio marine", fuzzy="off")
    assert {view["name"] for view in answer["datasets"]} == {CALLS, REEF, WHALES}
    assert answer["relaxed"] is True
    answer = shelf.service.get("searchDatasets", q="coral zebra", fuzzy="off")
    assert [view["name"] for view in answer["datasets"]] == [CALLS, REEF]


# --- filters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"tagsAny": ["marine", "New York"]}, [WHALES, FOXES, REEF]),
        ({"tagsAny": ["images", "audio"], "tags": "marine"}, [WHALES, REEF]),
        ({"license": "CC BY 4.0"}, [REEF]),
        ({"license": "https://creativecommons.org/licenses/by/4.0/"}, [REEF]),
        ({"license": "The MIT License"}, [FOXES]),
        ({"license": ["MIT", "My Terms"]}, [CALLS, FOXES]),
        ({"storage": ["blobs", "s3"]}, [REEF]),
        ({"fields": ["waveform", "speaker"]}, [CALLS, WHALES]),
        ({"fields": ["waveform", "image"]}, []),
        ({"author": ["alice.test", "bob.test"]}, [CALLS, WHALES, FOXES, REEF]),
        ({"author": ["alice.test", "nobody.test"]}, [FOXES, REEF]),
        ({"namespace": FOUNDATION}, [CALLS, WHALES, FOXES, REEF]),
        ({"namespace": "science.alt.dataset"}, []),
        ({"minSamples": "20"}, [WHALES, FOXES]),
        ({"maxSamples": "20"}, [FOXES, REEF]),
        ({"minBytes": "2000", "maxBytes": "2000"}, [FOXES]),
        ({"minBytes": "0"}, [WHALES, FOXES, REEF]),  # not the one that does not say
        ({"createdAfter": "2025-10-09T08:57:20Z"}, [CALLS, WHALES, FOXES]),
        ({"createdBefore": "2025-10-09T08:57:20Z"}, [REEF]),
        ({"createdBefore": "2025-10-09T08:57:20Z", "createdAfter": "2026-01-01T00:00:00Z"}, []),
    ],
)
def test_filters(shelf: Shelf, params: dict[str, Any], names: list[str]) -> None:
    answer = shelf.service.get("searchDatasets", **params)
    assert [view["name"] for view in answer["datasets"]] == names
    assert answer["hitsTotal"] == len(names)


@pytest.mark.parametrize(
    "params",
    [
        {"sort": "random"},
        {"fuzzy": "on"},
        {"minSamples": "-1"},
        {"createdAfter": "yesterday"},
        {"namespace": "no nsid"},
        {"storage": ["blobs", "tape"]},
    ],
)
def test_a_wrong_filter_is_a_400(shelf: Shelf, params: dict[str, Any]) -> None:
    status, error, message = shelf.service.error("searchDatasets", **params)
    assert (status, error) == (400, "InvalidRequest")
    assert next(iter(params)) in message


# --- orders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("relevance", [CALLS, WHALES, FOXES, REEF]),
        ("newest", [CALLS, WHALES, FOXES, REEF]),
        ("updated", [CALLS, WHALES, FOXES, REEF]),
        ("name", [CALLS, REEF, FOXES, WHALES]),
        ("size", [WHALES, FOXES, REEF, CALLS]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_orders(shelf: Shelf, sort: str, names: list[str], limit: int) -> None:
    found = shelf.service.every("searchDatasets", "datasets", sort=sort, limit=limit)
    assert [view["name"] for view in found] == names


def test_an_order_holds_for_words_too(shelf: Shelf) -> None:
    assert shelf.service.names(q="sea", sort="size") == [WHALES, FOXES, REEF]
    assert shelf.service.names(q="coral", sort="name") == [CALLS, REEF]


def test_dates_before_1970_are_dates(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    for year in ("2020", "1965", "1900", "1700"):
        uri = index.dataset(did, year, schema)
        index.connection.execute(
            "UPDATE records SET sort_at = ?::TIMESTAMPTZ WHERE uri = ?",
            [f"{year}-05-01 00:00:00+00", uri],
        )

    def found(**bounds: str) -> list[str]:
        return service.names(**{name: f"{year}-01-01T00:00:00Z" for name, year in bounds.items()})

    assert found() == ["2020", "1965", "1900", "1700"]
    assert found(createdBefore="1960") == ["1900", "1700"]
    assert found(createdBefore="1960", createdAfter="1850") == ["1900"]
    assert found(createdAfter="1960", createdBefore="1970") == ["1965"]
    assert found(createdAfter="1950") == ["2020", "1965"]
    assert found(createdBefore="1700") == []
    oldest = service.every("searchDatasets", "datasets", limit=1, sort="newest")
    assert [view["name"] for view in oldest] == ["2020", "1965", "1900", "1700"]
    page = service.client.get("/", params={"createdBefore": "1960-01-01T00:00:00Z"})
    assert (page.status_code, "1965" in page.text) == (200, False)


# --- facets -------------------------------------------------------------------------------------


def test_a_filter_does_not_shrink_its_own_facet(shelf: Shelf) -> None:
    def facets(**params: Any) -> dict[str, dict[str, int]]:
        found = shelf.service.get("searchDatasets", facets=["licenses", "tags"], **params)
        return {
            name: {value["value"]: value["count"] for value in values}
            for name, values in found["facets"].items()
        }

    everything = facets()
    assert everything["licenses"] == {"CC-BY-4.0": 1, "MIT": 1, "my terms": 1}
    for params in ({"license": "MIT"}, {"q": "license:MIT"}):
        chosen = facets(**params)
        assert chosen["licenses"] == everything["licenses"]
        assert chosen["tags"] == {"images": 1, "new york": 1}
    both = facets(license="MIT", tagsAny="marine")
    assert both["licenses"] == {"CC-BY-4.0": 1}
    assert both["tags"] == {"images": 1, "new york": 1}
    assert facets(q="-license:MIT")["licenses"] == {"CC-BY-4.0": 1, "my terms": 1}


# --- staying in step ----------------------------------------------------------------------------


def test_what_the_text_index_has_not_seen_yet_is_read_from_the_database(
    index: IndexBuilder, tmp_path: Path
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    uri = index.dataset(did, "Corals", schema)
    with serving(index, tmp_path, level_seconds=0) as service:
        service.text_index.catch_up()
        index.connection.execute("UPDATE datasets SET description = 'new'")
        url = f"/xrpc/{FOUNDATION}.searchDatasets?q=corals&facets=authors&facets=schemas"
        assert (
            "description" not in service.client.get(url).json()["datasets"][0]
        )  # no change told of
        index._change(key_of(uri), "put")
        assert service.client.get(url).json()["datasets"][0]["description"] == "new"
        index.connection.execute("UPDATE repos SET handle = 'other.test', sync_state = 'new'")
        index._change(key_of(uri), "visibility")
        (shown,) = service.client.get(url).json()["datasets"]
        assert (shown["handle"], shown["verification"]) == ("other.test", "stale")
        index.delete(uri)
        assert service.client.get(url).json()["datasets"] == []

"""Lenses and their paths as programs ask for them: up to date, in their direction, none hidden."""

from __future__ import annotations

from typing import Any

import pytest

from tests.search_api.index_builder import IndexBuilder, cid_of
from tests.search_api.service import Service

PLC = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"


class Shelf:
    """Three schemas in a row with a lens between each two, and a dataset of the first."""

    def __init__(self, index: IndexBuilder) -> None:
        self.did = index.account("alice")
        self.other = index.account("bob")
        self.a, self.b, self.c = (
            index.schema(self.did, name, fields=[(field, "ndarray"), ("label", "str")])
            for name, field in (("Raw", "pixels"), ("Photo", "image"), ("Thumb", "small"))
        )
        self.ab = index.lens(self.did, "raw to photo", self.a, self.b)
        self.bc = index.lens(self.other, "photo to thumb", self.b, self.c)
        self.dataset = index.dataset(self.did, "Corals", self.a)


@pytest.fixture
def shelf(index: IndexBuilder) -> Shelf:
    return Shelf(index)


def steps(answer: Any) -> list[list[str]]:
    return [[step["lens"]["name"] for step in path["steps"]] for path in answer["paths"]]


def test_find_lenses_by_ends_and_author(index: IndexBuilder, service: Service) -> None:
    shelf = Shelf(index)

    def names(**params: str) -> list[str]:
        return [lens["name"] for lens in service.get("findLenses", **params)["lenses"]]

    assert names() == ["photo to thumb", "raw to photo"]
    assert names(source=shelf.b) == ["photo to thumb"]
    assert names(target=shelf.b) == ["raw to photo"]
    assert names(source=shelf.a, target=shelf.c) == []
    assert names(author="bob.test") == ["photo to thumb"]
    assert names(author="nobody.test") == []
    assert names(source=shelf.b.replace(shelf.did, "alice.test")) == ["photo to thumb"]


def test_pages_of_lenses_lead_to_the_last(index: IndexBuilder, service: Service) -> None:
    shelf = Shelf(index)
    for number in range(20):
        index.lens(shelf.did, f"lens {number}", shelf.a, shelf.c)
    found = service.every("findLenses", "lenses", source=shelf.a, limit=3)
    assert len({lens["uri"] for lens in found}) == len(found) == 21


def test_a_lens_that_names_its_schema_by_handle_is_found_and_joins_paths(
    index: IndexBuilder, service: Service
) -> None:
    shelf = Shelf(index)
    by_handle = shelf.c.replace(shelf.did, "alice.test")
    d = index.schema(shelf.did, "Tiny")
    index.lens(shelf.other, "thumb to tiny", by_handle, d)
    found = service.get("findLenses", source=shelf.c)["lenses"]
    assert [lens["name"] for lens in found] == ["thumb to tiny"]
    whole = [["raw to photo", "photo to thumb", "thumb to tiny"]]
    assert steps(service.get("findLensPath", source=shelf.a, target=d)) == whole


def test_a_path_from_a_schema_or_a_dataset(shelf: Shelf, service: Service) -> None:
    answer = service.get("findLensPath", source=shelf.a, target=shelf.c)
    assert steps(answer) == [["raw to photo", "photo to thumb"]]
    (path,) = answer["paths"]
    assert (path["source"], path["target"], path["verified"]) == (shelf.a, shelf.c, False)
    assert [step["direction"] for step in path["steps"]] == ["get", "get"]
    assert service.get("findLensPath", dataset=shelf.dataset, target=shelf.c) == answer
    assert service.get("findLensPath", source=shelf.a, target=shelf.c, hops=1)["paths"] == []


def test_a_path_from_a_dataset_of_a_schema_family(index: IndexBuilder, service: Service) -> None:
    """Its schema reference is of no record; a lens from it may name it in the same words."""
    shelf = Shelf(index)
    family = f"at://{shelf.did}/ac.foundation.dataset.sampleSchema/test.raw@1.0.0"
    dataset = index.dataset(shelf.did, "Family", family)
    assert service.get("findLensPath", dataset=dataset, target=shelf.b)["paths"] == []
    index.lens(shelf.other, "family to photo", family, shelf.b)
    answer = service.get("findLensPath", dataset=dataset, target=shelf.b)
    assert steps(answer) == [["family to photo"]]
    assert answer["paths"][0]["source"] == family


def test_the_way_back_takes_putters(index: IndexBuilder, service: Service) -> None:
    shelf = Shelf(index)
    index.connection.execute("UPDATE lenses SET putter_code = getter_code")
    back: dict[str, Any] = {"source": shelf.c, "target": shelf.a}
    assert service.get("findLensPath", **back)["paths"] == []
    (path,) = service.get("findLensPath", **back, putters="true")["paths"]
    assert [step["direction"] for step in path["steps"]] == ["put", "put"]
    assert (path["source"], path["target"]) == (shelf.c, shelf.a)


def test_my_type_by_the_fields_that_it_needs(shelf: Shelf, service: Service) -> None:
    answer = service.get("findLensPath", dataset=shelf.dataset, needs=["small:ndarray", "label"])
    assert steps(answer) == [["raw to photo", "photo to thumb"]]
    answer = service.get("findLensPath", dataset=shelf.dataset, needs=["label:str"])
    assert steps(answer) == [[]]
    assert answer["paths"][0]["target"] == shelf.a
    assert service.get("findLensPath", source=shelf.a, needs=["nothing"])["paths"] == []


def test_datasets_that_become_reachable(index: IndexBuilder, service: Service) -> None:
    shelf = Shelf(index)
    index.dataset(shelf.did, "Birds", shelf.b)
    index.dataset(shelf.did, "Fish", shelf.b)
    index.dataset(shelf.did, "Ready", shelf.c)
    answer = service.get("findLensPath", target=shelf.c, reachable=2)
    assert answer["paths"] == []
    assert answer["reachableTotal"] == 3
    found = [(one["dataset"]["name"], one["hops"]) for one in answer["reachable"]]
    assert found == [("Fish", 1), ("Birds", 1)]


def test_a_verification_counts_for_the_version_that_it_names(
    index: IndexBuilder, service: Service
) -> None:
    shelf = Shelf(index)
    twin = index.lens(shelf.did, "twin", shelf.a, shelf.b)
    asked = {"source": shelf.a, "target": shelf.b}
    index.lens_verification(shelf.other, shelf.ab, cid_of("another version"))
    assert service.get("findLensPath", **asked, verified="true")["paths"] == []
    assert service.get("getLens", uri=shelf.ab)["verifications"] == []
    statement = index.lens_verification(shelf.other, twin)
    assert steps(service.get("findLensPath", **asked)) == [["twin"], ["raw to photo"]]
    assert steps(service.get("findLensPath", **asked, verified="true")) == [["twin"]]
    assert service.get("getLens", uri=twin)["verifications"] == [
        {"uri": statement, "did": shelf.other, "handle": "bob.test", "method": "codeReview"}
    ]
    index.delete(statement)
    assert service.get("findLensPath", **asked, verified="true")["paths"] == []
    index.lens_verification(shelf.other, twin)
    index.set_active(shelf.other, False)
    assert service.get("findLensPath", **asked, verified="true")["paths"] == []


def test_paths_follow_what_is_published_deleted_and_hidden(
    index: IndexBuilder, service: Service
) -> None:
    shelf = Shelf(index)
    asked = {"source": shelf.a, "target": shelf.c}
    assert len(service.get("findLensPath", **asked)["paths"]) == 1
    direct = index.lens(shelf.other, "direct", shelf.a, shelf.c)
    assert steps(service.get("findLensPath", **asked))[0] == ["direct"]
    index.delete(direct)
    assert len(service.get("findLensPath", **asked)["paths"]) == 1
    index.set_active(shelf.other, False)
    assert service.get("findLensPath", **asked)["paths"] == []
    assert service.error("getLens", uri=shelf.bc)[:2] == (404, "RecordNotFound")
    index.set_active(shelf.other, True)
    assert len(service.get("findLensPath", **asked)["paths"]) == 1


def test_get_lens_has_the_record(shelf: Shelf, service: Service) -> None:
    answer = service.get("getLens", uri=shelf.ab)
    assert answer["record"]["name"] == "raw to photo"
    assert answer["lens"]["handle"] == "alice.test"
    assert answer["lens"]["recordUrl"].startswith("https://pds.example.com/xrpc/")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"source": f"at://{PLC}/ac.foundation.dataset.schema/x"},
        {"target": f"at://{PLC}/ac.foundation.dataset.schema/x"},
        {"needs": "a:nonsense", "reachable": "1"},
        {"needs": "a:str:float32", "reachable": "1"},
        {"needs": ":", "reachable": "1"},
    ],
)
def test_a_question_without_ends_is_refused(
    index: IndexBuilder, service: Service, params: dict[str, str]
) -> None:
    assert service.error("findLensPath", **params)[:2] == (400, "InvalidRequest")


def test_unknown_ends(shelf: Shelf, service: Service) -> None:
    missing = f"at://{PLC}/ac.foundation.dataset.record/x"
    nobody = "at://nobody.test/ac.foundation.dataset.schema/x"
    assert service.error("findLensPath", dataset=missing, target=shelf.a)[0] == 404
    assert service.get("findLensPath", source=nobody, target=shelf.a)["paths"] == []
    assert service.get("findLensPath", source=shelf.a, target=nobody)["paths"] == []

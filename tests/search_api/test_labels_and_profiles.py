"""Labels, profiles, several datasets at once; which tags and licences go together."""

from __future__ import annotations

import pytest

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service


def test_a_label_leads_to_its_dataset(index: IndexBuilder, service: Service) -> None:
    alice, bob = index.account("alice"), index.account("bob")
    schema = index.schema(alice)
    old, new = (index.dataset(alice, name, schema) for name in ("Old", "New"))
    index.label(alice, "reefs", new.replace(alice, "alice.test"), "1.10.0")
    index.label(alice, "reefs", old, "1.9.0")
    index.label(alice, "reefs", old)
    index.label(bob, "reefs", old, "7.0.0")

    def named(**params: str) -> str:
        return str(service.get("resolveLabel", name="reefs", **params)["dataset"]["name"])

    assert named(author="alice.test") == "New"
    assert named(author=alice, version="1.9.0") == "Old"
    answer = service.get("resolveLabel", author="alice.test", name="reefs")
    assert answer["label"]["version"] == "1.10.0"
    assert answer["label"]["verification"] == "verified"
    assert answer["record"]["name"] == "reefs"
    missing = {"author": alice, "name": "reefs", "version": "3.0.0"}
    assert service.error("resolveLabel", **missing)[:2] == (404, "LabelNotFound")
    index.set_active(alice, False)
    assert service.error("resolveLabel", author=alice, name="reefs")[0] == 404
    assert "dataset" not in service.get("resolveLabel", author=bob, name="reefs")


def test_labels_without_versions_the_newest_counts(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    old, new = (index.dataset(did, name, schema) for name in ("Old", "New"))
    index.label(did, "reefs", old, "first")
    index.label(did, "reefs", new)
    assert service.get("resolveLabel", author=did, name="reefs")["dataset"]["name"] == "New"
    index.label(did, "odd", "nonsense")
    assert "dataset" not in service.get("resolveLabel", author=did, name="odd")


def test_a_profile_counts_all_and_shows_the_newest(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(5):
        uri = index.dataset(did, f"Part {number}", schema)
    index.lens(did, "self", schema, schema)
    index.label(did, "last", uri)
    profile = service.get("getProfile", actor="alice.test", limit=2)
    assert profile["counts"] == {"datasets": 5, "schemas": 1, "lenses": 1, "labels": 1}
    assert [view["name"] for view in profile["datasets"]] == ["Part 4", "Part 3"]
    assert [view["name"] for view in profile["lenses"]] == ["self"]
    assert [view["datasetUri"] for view in profile["labels"]] == [uri]
    assert (profile["did"], profile["handle"]) == (did, "alice.test")
    assert profile["verification"] == "verified"
    index.set_active(did, False)
    for actor in (did, "alice.test", "nobody.test"):
        assert service.error("getProfile", actor=actor)[:2] == (404, "ProfileNotFound")


def test_several_datasets_at_once(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    one, other = (index.dataset(did, name, schema) for name in ("One", "Other"))
    uris = [other, schema, one.replace(did, "alice.test"), f"{one}x", other]
    found = service.get("getDatasets", uris=uris)["datasets"]
    assert [detail["dataset"]["name"] for detail in found] == ["Other", "One"]
    assert found[0] == service.get("getDataset", uri=other)
    assert service.error("getDatasets", uris=[one] * 26)[:2] == (400, "InvalidRequest")


@pytest.fixture
def tagged(index: IndexBuilder) -> IndexBuilder:
    did, hidden = index.account("alice"), index.account("mallory")
    schema = index.schema(did)
    for name, tags, license_ in (
        ("A", ["Reef", "fish", "sea"], "MIT"),
        ("B", ["reef", "fish"], "MIT"),
        ("C", ["reef", "rock"], "CC0-1.0"),
        ("D", ["forest"], "CC-BY-4.0"),
    ):
        index.dataset(did, name, schema, tags=tags, spdx=license_)
    index.dataset(hidden, "E", schema, tags=["reef", "hidden"], spdx="MIT")
    index.set_active(hidden, False)
    return index


def test_tags_that_go_together(tagged: IndexBuilder, service: Service) -> None:
    def tags(**params: object) -> list[tuple[str, int]]:
        return [(t["tag"], t["count"]) for t in service.get("listTags", **params)["tags"]]

    assert tags()[:2] == [("reef", 3), ("fish", 2)]
    assert tags(**{"with": "REEF "}) == [("fish", 2), ("rock", 1), ("sea", 1)]
    assert tags(**{"with": ["reef", "fish"]}) == [("sea", 1)]
    assert tags(**{"with": "reef", "prefix": "r"}) == [("rock", 1)]
    assert tags(**{"with": ["reef", "forest"]}) == []
    paged = service.every("listTags", "tags", limit=1, **{"with": "reef"})
    assert [t["tag"] for t in paged] == ["fish", "rock", "sea"]


def test_licences_of_datasets_with_a_tag(tagged: IndexBuilder, service: Service) -> None:
    def licenses(**params: object) -> list[tuple[str, int]]:
        found = service.get("listLicenses", **params)["licenses"]
        return [(one["license"], one["count"]) for one in found]

    assert licenses() == [("MIT", 2), ("CC-BY-4.0", 1), ("CC0-1.0", 1)]
    assert licenses(prefix="cc") == [("CC-BY-4.0", 1), ("CC0-1.0", 1)]
    assert licenses(**{"with": "reef"}) == [("MIT", 2), ("CC0-1.0", 1)]

"""searchDatasets: facets, counted over all hits and not only those of the page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

ALL = ["tags", "licenses", "storage", "schemas", "authors"]


def filled(index: IndexBuilder) -> tuple[str, str]:
    """30 datasets of alice and 10 of bob; bob's schema is not indexed. Returns the schemas."""
    alice, bob = index.account("alice"), index.account("bob", verified=False)
    image = index.schema(alice, "ImageSample")
    elsewhere = f"at://{bob}/ac.foundation.dataset.sampleSchema/gone"
    for number in range(30):
        index.dataset(
            alice,
            f"Image {number}",
            image,
            tags=["Images", "even" if number % 2 == 0 else "odd"],
            license_as_written="MIT" if number < 20 else "my own terms",
            spdx="MIT" if number < 20 else None,
            storage="blobs",
        )
    for number in range(10):
        index.dataset(bob, f"Sound {number}", elsewhere, tags=["audio", "even"])
    return image, elsewhere


def counts(values: list[dict[str, Any]]) -> dict[str, int]:
    return {value["value"]: value["count"] for value in values}


def test_every_facet_counts_all_hits(index: IndexBuilder, service: Service) -> None:
    image, elsewhere = filled(index)
    page = service.get("searchDatasets", facets=ALL, limit=1)
    assert len(page["datasets"]) == 1
    facets = page["facets"]
    assert [value["value"] for value in facets["tags"]] == ["images", "even", "odd", "audio"]
    assert counts(facets["tags"]) == {"images": 30, "even": 25, "odd": 15, "audio": 10}
    assert counts(facets["licenses"]) == {"MIT": 20, "my own terms": 10}
    assert counts(facets["storage"]) == {"blobs": 30, "external": 10}
    assert facets["schemas"] == [
        {"value": image, "count": 30, "label": "ImageSample 1.0.0"},
        {"value": elsewhere, "count": 10},
    ]
    alice, bob = image.split("/")[2], elsewhere.split("/")[2]
    assert facets["authors"] == [
        {"value": alice, "count": 30, "label": "alice.test"},
        {"value": bob, "count": 10},
    ]


def test_each_value_asked_for_finds_as_many_as_it_says(
    index: IndexBuilder, service: Service
) -> None:
    filled(index)
    facets = service.get("searchDatasets", q="e", facets=ALL)["facets"]
    parameters = dict(zip(ALL, ["tags", "license", "storage", "schema", "author"], strict=True))
    for name, values in facets.items():
        for value in values:
            asked = {parameters[name]: value["value"]}
            found = service.get("searchDatasets", q="e", limit=1, **asked)
            assert found["hitsTotal"] == value["count"], (name, value)


def test_only_what_is_asked_for_is_counted(index: IndexBuilder, service: Service) -> None:
    filled(index)
    assert "facets" not in service.get("searchDatasets")
    assert set(service.get("searchDatasets", facets=["storage"])["facets"]) == {"storage"}
    assert service.get("searchDatasets", facets=["tags"], author="nobody.test") == {
        "datasets": [],
        "hitsTotal": 0,
        "facets": {"tags": []},
    }
    status, error, message = service.error("searchDatasets", facets=["colours"])
    assert (status, error) == (400, "InvalidRequest")
    assert "facets" in message


@pytest.mark.parametrize("limit", [7])
def test_a_cursor_goes_with_and_without_facets(
    index: IndexBuilder, service: Service, limit: int
) -> None:
    filled(index)
    first = service.get("searchDatasets", facets=["tags"], limit=limit)
    second = service.get("searchDatasets", limit=limit, cursor=first["cursor"])
    assert not {view["uri"] for view in first["datasets"]} & {
        view["uri"] for view in second["datasets"]
    }


def test_every_value_can_be_chosen_and_finds_as_many_as_were_counted(
    index: IndexBuilder, service: Service
) -> None:
    """Also what looks like nothing of the sort: a schema family's URI, a licence in words."""
    alice = index.account("alice")
    image = index.schema(alice)
    family = f"at://{alice}/ac.foundation.dataset.sampleSchema/test.image@1.0.0"
    for schema, written, spdx in (
        (image, "Custom Terms", None),
        (family, "custom terms ", None),
        (family, "ÉTÉ", None),
        (image, "été", None),
        (image, "Public Domain", None),
        (image, "CC0", "CC0-1.0"),
        (image, "unlicense", "Unlicense"),
        (image, None, None),
    ):
        index.dataset(alice, "x", schema, license_as_written=written, spdx=spdx)
    facets = service.get("searchDatasets", facets=["schemas", "licenses"])["facets"]
    assert counts(facets["schemas"]) == {image: 6, family: 2}
    licenses = {"custom terms": 2, "été": 2, "public domain": 1, "CC0-1.0": 1, "Unlicense": 1}
    assert counts(facets["licenses"]) == licenses
    for parameter, facet in (("schema", "schemas"), ("license", "licenses")):
        for value, count in counts(facets[facet]).items():
            found = service.get("searchDatasets", **{parameter: value})
            assert found["hitsTotal"] == count, value
    listed = service.get("listLicenses")["licenses"]
    assert {found["license"]: found["count"] for found in listed} == licenses
    assert service.get("searchDatasets", q=f"schema:{family}")["hitsTotal"] == 2


def test_a_schema_by_handle_is_what_it_leads_to_and_who_names_it_so(
    index: IndexBuilder, service: Service
) -> None:
    alice = index.account("alice")
    image = index.schema(alice)
    by_handle = image.replace(alice, "alice.test")
    index.dataset(alice, "by DID", image)
    index.dataset(alice, "by handle", by_handle)
    assert service.names(schema=by_handle) == ["by handle", "by DID"]
    assert service.names(schema=image) == ["by DID"]


def test_counts_are_exact_over_many_segments_and_values(
    index: IndexBuilder, service: Service
) -> None:
    """Each commit is a segment. What is rare in each of them may be frequent in all together."""
    alice = index.account("alice")
    schema = index.schema(alice)
    for segment in range(3):
        for number in range(240):
            tags = ["shared"] if number == 0 else [f"own-{segment}-{number}"] * 2
            index.dataset(alice, f"{segment} {number}", schema, tags=tags)
        index.dataset(alice, f"last of {segment}", schema, tags=[f"own-{segment}-1"])
        service.text_index.catch_up()
    found = service.get("searchDatasets", facets=["tags"])["facets"]["tags"]
    assert found[0] == {"value": "shared", "count": 3}
    assert [value["value"] for value in found[1:4]] == ["own-0-1", "own-1-1", "own-2-1"]
    assert all(value["count"] == 1 for value in found[4:])


def test_what_nobody_may_see_is_not_counted(index: IndexBuilder, service: Service) -> None:
    image, _ = filled(index)
    index.set_active(image.split("/")[2], False)
    facets = service.get("searchDatasets", facets=ALL)["facets"]
    assert counts(facets["storage"]) == {"external": 10}
    assert len(facets["authors"]) == 1
    assert image not in counts(facets["schemas"])

"""Look-alikes, with the reasons."""

from __future__ import annotations

from typing import Any

from search_api.similar import CANDIDATES, Features, compare, explain
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service


def features(schema: int, tags: str = "", fields: str = "", words: str = "") -> Features:
    return Features(
        schema, frozenset(tags.split()), frozenset(fields.split()), frozenset(words.split())
    )


def test_what_is_shared_counts_by_how_much_both_have() -> None:
    one = features(1, "reef fish", "image label")
    near, near_reasons = compare(one, features(2, "reef fish", "image"))
    far, _ = compare(one, features(2, "reef fish rock sand", "image mask depth"))
    assert near > far > 0
    assert explain(near_reasons) == "shares tags fish, reef; schema field image"
    assert compare(one, features(2, "other")) == (0, ())


def test_similar_datasets_say_why(index: IndexBuilder, service: Service) -> None:
    did, hidden = index.account("alice"), index.account("mallory")
    image = index.schema(did, "Image")
    photo = index.schema(did, "Photo", fields=[("image", "ndarray"), ("year", "int")])
    sound = index.schema(did, "Sound", fields=[("wave", "ndarray")])
    corals = index.dataset(did, "Coral reefs", image, tags=["Reef", "fish"])
    index.dataset(did, "Twin", image, tags=["reef", "fish"])
    index.dataset(did, "Cousin", photo, tags=["reef"])
    index.dataset(did, "Namesake of coral", sound)
    index.dataset(did, "Stranger", sound, tags=["noise"])
    index.dataset(hidden, "Hidden twin", image, tags=["reef", "fish"])
    index.set_active(hidden, False)

    def found(**params: Any) -> list[tuple[str, str]]:
        answer = service.get("getSimilarDatasets", uri=corals, **params)
        return [(one["dataset"]["name"], one["explanation"]) for one in answer["datasets"]]

    assert found() == [
        ("Twin", "shares the same schema; tags fish, reef"),
        ("Cousin", "shares tag reef; schema field image"),
        ("Namesake of coral", "shares word coral"),
    ]
    assert found(limit=1) == found()[:1]
    index.set_active(did, False)
    assert service.error("getSimilarDatasets", uri=corals)[:2] == (404, "RecordNotFound")


def test_among_very_many_those_that_share_most_are_found(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    schema, other = index.schema(did, "Image"), index.schema(did, "Sound", fields=[("wave", "str")])
    one = index.dataset(did, "Corals", schema, tags=["reef", "fish", "common"])
    index.dataset(did, "Oldest", other, tags=["reef", "fish", "common"])
    for number in range(2 * CANDIDATES):
        index.dataset(did, f"Other {number}", other, tags=["common", f"tag{number}"])
    first, second = service.get("getSimilarDatasets", uri=one, limit=2)["datasets"]
    assert first["dataset"]["name"] == "Oldest"
    assert first["explanation"] == "shares tags common, fish, reef"
    assert second["explanation"] == "shares tag common"


def test_what_is_hidden_or_gone_since_is_like_nothing(
    index: IndexBuilder, service: Service
) -> None:
    alice, bob = index.account("alice"), index.account("bob")
    schema = index.schema(alice, "Image")
    one, gone = (index.dataset(alice, name, schema, tags=["reef"]) for name in ("One", "Gone"))
    index.dataset(bob, "Hidden", schema, tags=["reef"])
    assert len(service.get("getSimilarDatasets", uri=one)["datasets"]) == 2
    index.set_active(bob, False)
    index.delete(gone)
    url = f"/xrpc/ac.foundation.dataset.getSimilarDatasets?uri={one}"
    assert service.client.get(url).json() == {"datasets": []}  # before the text index knows
    assert service.get("getSimilarDatasets", uri=one) == {"datasets": []}
    index.dataset(alice, "New", schema)
    new = index.dataset(alice, "Newer", schema)
    unknown = service.client.get(url.replace(one, new))
    assert (unknown.status_code, unknown.json()) == (200, {"datasets": []})
    assert len(service.get("getSimilarDatasets", uri=new)["datasets"]) == 2

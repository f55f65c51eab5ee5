"""The other queries: one record, lists, counts and the state of the index."""

from __future__ import annotations

import pytest

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service

PLC = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"


def test_get_dataset_has_the_record_its_schema_and_the_host(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice", pds="https://pds.example.com")
    schema = index.schema(did)
    body = {"name": "Corals", "size": {"samples": 3}, "cover": {"$bytes": "AAEC"}, "odd": None}
    uri = index.dataset(did, "Corals", schema, body=body)
    answer = service.get("getDataset", uri=uri)
    assert answer["dataset"]["uri"] == uri
    assert answer["record"] == {"$type": "ac.foundation.dataset.record", **body}
    assert answer["pds"] == "https://pds.example.com"
    assert answer["schema"]["uri"] == schema
    assert answer["schemaRecord"]["name"] == "ImageSample"
    by_handle = service.get("getDataset", uri=uri.replace(did, "alice.test"))
    assert by_handle == answer


def test_get_dataset_without_a_known_schema(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    missing = f"at://{PLC}/ac.foundation.dataset.sampleSchema/x"
    uri = index.dataset(did, "Corals", missing)
    answer = service.get("getDataset", uri=uri)
    assert answer["dataset"]["schemaUri"] == missing
    assert {"schema", "schemaRecord"} & set(answer) == set()


def test_get_schema_keeps_the_order_of_fields(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    fields = [("zebra", "int"), ("image", "ndarray"), ("apple", "str")]
    uri = index.schema(did, fields=fields)
    answer = service.get("getSchema", uri=uri)
    assert [(f["name"], f["kind"]) for f in answer["schema"]["fields"]] == fields
    assert answer["schema"]["fields"][1]["shape"] == [None, 3]
    assert answer["record"]["version"] == "1.0.0"


@pytest.mark.parametrize("method", ["getDataset", "getSchema"])
@pytest.mark.parametrize(
    "uri",
    [
        f"at://{PLC}/ac.foundation.dataset.record/nothing",
        "at://nobody.test/ac.foundation.dataset.record/nothing",
        f"at://{PLC}",
        f"at://{PLC}/ac.foundation.dataset.record",
    ],
)
def test_a_record_that_is_not_there_is_a_404(
    index: IndexBuilder, service: Service, method: str, uri: str
) -> None:
    assert service.error(method, uri=uri)[:2] == (404, "RecordNotFound")


def test_a_dataset_is_no_schema_and_a_schema_no_dataset(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    dataset = index.dataset(did, "Corals", schema)
    assert service.error("getDataset", uri=schema)[0] == 404
    assert service.error("getSchema", uri=dataset)[0] == 404


@pytest.mark.parametrize("method", ["getDataset", "getSchema", "getLatestSchema"])
def test_a_required_parameter_must_be_there(
    index: IndexBuilder, service: Service, method: str
) -> None:
    status, error, message = service.error(method)
    assert (status, error) == (400, "InvalidRequest")
    assert "is missing" in message


def test_the_latest_schema_is_by_version_and_not_by_text(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1", "0.99.0"):
        index.schema(did, "Image", version=version)
    index.schema(did, "Image", rkey="test.image:nonsense")
    index.schema(did, "Other", rkey="test.imageset:9.0.0")
    answer = service.get("getLatestSchema", schemaId="test.image")
    assert answer["version"] == "1.10.0"
    assert answer["record"]["version"] == "1.10.0"
    versions = [one["version"] for one in answer["allVersions"]]
    assert versions == ["1.10.0", "1.10.0-rc.1", "1.9.0", "0.99.0"]
    assert service.error("getLatestSchema", schemaId="test.imag")[:2] == (404, "SchemaNotFound")


def test_list_schemas_by_words_and_author(index: IndexBuilder, service: Service) -> None:
    alice, bob = index.account("alice"), index.account("bob")
    index.schema(alice, "Photo", fields=[("pixels", "ndarray")], description="A reef")
    index.schema(bob, "Sound", fields=[("wave_form", "ndarray")])
    index.schema(bob, "Reef")

    def names(**params: str) -> list[str]:
        return [view["name"] for view in service.get("listSchemas", **params)["schemas"]]

    assert names() == ["Reef", "Sound", "Photo"]
    assert names(q="REEF") == ["Reef", "Photo"]
    assert names(q="wave_") == ["Sound"]
    assert names(q="reef pixels") == ["Photo"]
    assert names(author="bob.test") == ["Reef", "Sound"]
    assert names(author="bob.test", q="photo") == []
    assert names(author="nobody.test") == []
    paged = service.every("listSchemas", "schemas", limit=1)
    assert [view["name"] for view in paged] == names()


def test_find_lenses_by_either_end(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    a, b, c = (index.schema(did, name) for name in ("A", "B", "C"))
    index.lens(did, "a-b", a, b)
    index.lens(did, "b-c", b, c)
    index.lens(did, "a-c", a, c)

    def names(**params: str) -> list[str]:
        return [view["name"] for view in service.get("findLenses", **params)["lenses"]]

    assert names() == ["a-c", "b-c", "a-b"]
    assert names(source=a) == ["a-c", "a-b"]
    assert names(target=c) == ["a-c", "b-c"]
    assert names(source=b, target=c) == ["b-c"]
    assert names(source=b.replace(did, "alice.test")) == ["b-c"]
    assert names(source=b.replace(did, "nobody.test")) == []
    assert names(source=c) == []
    (lens,) = service.get("findLenses", source=b)["lenses"]
    assert lens["sourceSchema"] == b
    assert lens["getterCode"]["path"] == "a.py:get"
    assert "putterCode" not in lens
    assert len(service.every("findLenses", "lenses", limit=2)) == 3


def test_tags_are_counted_without_case_most_used_first(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    index.dataset(did, "1", schema, tags=["Images", "images", " images ", "ocr"])
    index.dataset(did, "2", schema, tags=["IMAGES", "Été", " "])
    index.dataset(did, "3", schema, tags=["été", "oceans"])
    wanted = [("images", 2), ("été", 2), ("oceans", 1), ("ocr", 1)]
    pairs = [(one["tag"], one["count"]) for one in service.get("listTags")["tags"]]
    assert pairs == wanted
    paged = service.every("listTags", "tags", limit=1)
    assert [(one["tag"], one["count"]) for one in paged] == wanted
    assert [one["tag"] for one in service.get("listTags", prefix="OC")["tags"]] == ["oceans", "ocr"]
    assert [one["tag"] for one in service.get("listTags", prefix="É")["tags"]] == ["été"]
    assert service.get("listTags", prefix="%")["tags"] == []


def test_licences_are_counted_by_what_they_mean(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    index.dataset(did, "1", schema, license_as_written="CC BY 4.0", spdx="CC-BY-4.0")
    index.dataset(did, "2", schema, license_as_written="CC-BY-4.0", spdx="CC-BY-4.0")
    index.dataset(did, "3", schema, license_as_written="my terms")
    index.dataset(did, "4", schema, license_as_written=" ")
    index.dataset(did, "5", schema)
    wanted = [("CC-BY-4.0", 2), ("my terms", 1)]
    for items in (
        service.get("listLicenses")["licenses"],
        service.every("listLicenses", "licenses", limit=1),
    ):
        assert [(one["license"], one["count"]) for one in items] == wanted
    for name, count in wanted:
        assert service.get("searchDatasets", license=name)["hitsTotal"] == count


def test_status_says_sources_counts_drops_and_how_far_text_search_is(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    index.dataset(did, "Corals", schema)
    index.lens(did, "self", schema, schema)
    index.connection.execute(
        "INSERT INTO sources VALUES (1, 'wss://relay.example.com', 42, "
        "make_timestamptz(1760000000000000), make_timestamptz(1760000003500000), '[]', NULL), "
        "(2, 'wss://new.example.com', 0, NULL, NULL, '[]', NULL)"
    )
    index.connection.execute("INSERT INTO drops VALUES ('bad_signature', 2), ('too_big', 5)")
    assert service.get("getIndexStatus") == {
        "sources": [
            {"url": "wss://new.example.com", "cursor": 0, "gaps": 0, "unhealedGaps": 0},
            {
                "url": "wss://relay.example.com",
                "cursor": 42,
                "lastEventAt": "2025-10-09T08:53:20.000Z",
                "lastSeenAt": "2025-10-09T08:53:23.500Z",
                "lagSeconds": 3,
                "gaps": 0,
                "unhealedGaps": 0,
            },
        ],
        "counts": {"datasets": 1, "schemas": 1, "lenses": 1, "labels": 0, "repos": 1},
        "drops": [{"reason": "too_big", "count": 5}, {"reason": "bad_signature", "count": 2}],
        "quarantined": 0,
        "changes": 3,
        "textChanges": 3,
        "unsyncedRepos": 0,
        "failingRepos": 0,
    }
    index.dataset(did, "Later", schema)
    behind = service.client.get("/xrpc/ac.foundation.dataset.getIndexStatus").json()
    assert (behind["changes"], behind["textChanges"]) == (4, 3)


def test_an_empty_index_answers_everything(index: IndexBuilder, service: Service) -> None:
    assert service.get("searchDatasets") == {"datasets": [], "hitsTotal": 0}
    nothing = service.get("searchDatasets", q="x", tags="y")
    assert (nothing["datasets"], nothing["hitsTotal"]) == ([], 0)
    assert service.get("listSchemas") == {"schemas": []}
    assert service.get("findLenses") == {"lenses": []}
    assert service.get("listTags") == {"tags": []}
    assert service.get("listLicenses") == {"licenses": []}
    assert service.get("getIndexStatus")["changes"] == 0


def test_a_view_says_whether_the_index_is_in_step_and_where_the_record_is(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice", pds="https://pds.example.com/")
    uri = index.schema(did, rkey="test.image:1.0.0")
    view = service.get("getSchema", uri=uri)["schema"]
    assert view["verification"] == "verified"
    assert view["recordUrl"] == (
        "https://pds.example.com/xrpc/com.atproto.repo.getRecord?repo="
        f"{did.replace(':', '%3A')}&collection=ac.foundation.dataset.sampleSchema"
        "&rkey=test.image%3A1.0.0"
    )
    index.connection.execute("UPDATE repos SET sync_state = 'desynchronized', pds = 'ftp://x'")
    view = service.get("listSchemas")["schemas"][0]
    assert view["verification"] == "stale"
    assert "recordUrl" not in view

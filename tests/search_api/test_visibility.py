"""Invariant 5: what belongs to an inactive account is invisible everywhere, counts included."""

from __future__ import annotations

import time
from pathlib import Path

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service, serving

SEARCH = "/xrpc/ac.foundation.dataset.searchDatasets"
PAGES = ("/", "/?q=secret", "/?tags=shared", "/schemas", "/lenses")


def everything(service: Service) -> str:
    """All that the service says about anything, as one text."""
    service.text_index.catch_up()
    answers = [
        service.raw(method, **params).text
        for method, params in (
            ("searchDatasets", {}),
            ("searchDatasets", {"q": "hidden"}),
            ("searchDatasets", {"q": "SecretSample"}),
            ("listSchemas", {}),
            ("findLenses", {}),
            ("listTags", {}),
            ("listLicenses", {}),
            ("getLatestSchema", {"schemaId": "test.secretSample"}),
        )
    ]
    return "\n".join(answers + [service.client.get(page).text for page in PAGES])


def test_a_hidden_account_disappears_everywhere_and_comes_back(
    index: IndexBuilder, service: Service
) -> None:
    hidden, other = index.account("hidden"), index.account("other")
    schema = index.schema(hidden, "SecretSample")
    dataset = index.dataset(hidden, "Secret one", schema, tags=["secret-tag"], spdx="Secret-1.0")
    open_schema = index.schema(other, "Open")
    index.lens(hidden, "secret-lens", schema, open_schema)
    of_other = index.dataset(other, "Public", schema, tags=["shared"])
    before = everything(service)
    assert "Secret" in before
    assert service.get("getIndexStatus")["counts"]["datasets"] == 2
    assert service.get("searchDatasets", q="SecretSample")["hitsTotal"] == 2

    index.set_active(hidden, False)
    after = everything(service)
    traces = ("Secret", "secret-tag", "secret-lens", "SecretSample", "hidden.test")
    assert [trace for trace in traces if trace in after] == []
    assert service.get("getIndexStatus")["counts"] == {
        "datasets": 1,
        "schemas": 1,
        "lenses": 0,
        "labels": 0,
        "repos": 1,
    }
    for method, uri in (("getDataset", dataset), ("getSchema", schema)):
        assert service.error(method, uri=uri)[:2] == (404, "RecordNotFound")
    assert service.get("searchDatasets")["hitsTotal"] == 1
    assert service.get("searchDatasets", author=hidden)["hitsTotal"] == 0
    assert service.get("searchDatasets", author="hidden.test")["hitsTotal"] == 0
    detail = service.get("getDataset", uri=of_other)
    assert "schema" not in detail
    assert "schemaName" not in detail["dataset"]
    assert service.client.get("/dataset", params={"uri": dataset}).status_code == 404
    assert service.client.get("/schema", params={"uri": schema}).status_code == 404

    index.set_active(hidden, True)
    assert everything(service) == before


def test_nothing_hidden_is_shown_before_the_text_index_has_caught_up(
    index: IndexBuilder, tmp_path: Path
) -> None:
    did = index.account("alice")
    index.dataset(did, "Corals", index.schema(did), tags=["reef"])
    with serving(index, tmp_path, level_seconds=0) as service:
        service.text_index.catch_up()
        index.set_active(did, False)
        url = "/xrpc/ac.foundation.dataset.searchDatasets?q=corals"
        assert service.client.get(url).json()["datasets"] == []
        assert "Corals" not in service.client.get("/?q=reef").text


def test_a_text_index_that_does_not_keep_up_is_not_taken_for_the_database(
    index: IndexBuilder, tmp_path: Path
) -> None:
    did = index.account("alice")
    uri = index.dataset(did, "Corals", index.schema(did), tags=["reef"])
    with serving(index, tmp_path, level_seconds=0.3) as service:
        service.text_index.catch_up()
        index.delete(uri)
        assert service.text_index.age < 0.3
        deadline = time.monotonic() + 10
        while service.client.get(f"{SEARCH}?q=corals").json()["datasets"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert service.text_index.age > 0.3


def test_a_repo_that_is_behind_its_host_is_said_to_be(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    index.dataset(did, "Corals", index.schema(did))
    deadline = time.monotonic() + 10
    for state, shown in (("desynchronized", "stale"), ("synced", "verified")):
        index.connection.execute("UPDATE repos SET sync_state = ?", [state])
        while service.get("searchDatasets")["datasets"][0]["verification"] != shown:
            assert time.monotonic() < deadline
            time.sleep(0.05)

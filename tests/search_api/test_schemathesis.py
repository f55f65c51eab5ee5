"""Schemathesis over the whole OpenAPI document: no 5xx, and no answer that it does not describe."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live

schemathesis: Any = import_module("schemathesis")
checks: Any = import_module("schemathesis.checks")

EXAMPLES = 8  # of each operation


@pytest.fixture
def origin(index: IndexBuilder, tmp_path: Path) -> Iterator[str]:
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(30):
        index.dataset(did, f"Reef {number}", schema, tags=["reef"], spdx="MIT")
    index.lens(did, "self", schema, schema)
    folders = {name: tmp_path / name for name in ("export", "mirror")}
    with live(index, tmp_path, **folders) as found:
        yield found


def exercise(operation: Any) -> None:
    """Requests that fit the description, and others that don't."""
    names = ("not_a_server_error", "status_code_conformance", "content_type_conformance")
    wanted = [getattr(checks, name) for name in (*names, "response_schema_conformance")]
    for mode in schemathesis.GenerationMode:
        if mode is schemathesis.GenerationMode.NEGATIVE and not takes_anything(operation):
            continue
        send(operation.as_strategy(generation_mode=mode), wanted)


def takes_anything(operation: Any) -> bool:
    raw = operation.definition.raw
    return bool(raw.get("parameters") or raw.get("requestBody"))


def send(cases: Any, wanted: list[Any]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def run(case: Any) -> None:
        case.call_and_validate(checks=wanted)

    run()


def test_every_operation_answers_as_it_is_described(origin: str) -> None:
    document = schemathesis.openapi.from_url(f"{origin}/openapi.json")
    count = 0
    for found in document.get_all_operations():
        exercise(found.ok())
        count += 1
    assert count >= 20


def test_every_address_of_the_service_is_described(origin: str) -> None:
    described = set(httpx.get(f"{origin}/openapi.json").json()["paths"])
    assert {"/feed.atom", "/search.csv", "/croissant", "/export", "/mcp"} <= described
    for path in described - {"/mcp"}:
        if "{" not in path:
            assert httpx.get(origin + path).status_code in {200, 400, 426}, path

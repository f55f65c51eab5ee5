"""Invariant 5 over everything that the service answers: each feed, file, tool and subscription."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.live import live

BASE = "ac.foundation.dataset"
TRACES = ("Secret", "secret-tag", "secret-lens", "hidden.test")


@pytest.fixture
def origin(index: IndexBuilder, tmp_path: Path) -> Iterator[str]:
    with live(index, tmp_path, export=tmp_path / "export") as found:
        yield found


def paths(client: httpx.Client, uris: list[str]) -> list[str]:
    """Every address that OpenAPI names, with parameters that lead to the hidden records."""
    values = {"q": ["secret"], "author": ["hidden.test"], "actor": ["hidden.test"]}
    values |= dict.fromkeys(("uri", "schema", "source", "target"), uris)
    asked: list[str] = []
    for path, item in client.get("/openapi.json").json()["paths"].items():
        if path == "/mcp" or "{" in path:
            continue
        asked.append(path)
        for parameter in item["get"].get("parameters", ()):
            name = parameter["name"]
            asked += [str(httpx.URL(path, params={name: v})) for v in values.get(name, ())]
    pages = ["/", "/?q=secret", "/schemas", "/lenses", "/status"]
    return [*asked, *pages, "/sitemap/1/0.xml"]


def tools(client: httpx.Client, uris: list[str]) -> Iterator[str]:
    names = {"search_datasets": {"q": "secret"}, "find_lenses": {}}
    calls: list[tuple[str, dict[str, Any]]] = list(names.items())
    calls += [(name, {"uri": uri}) for name in ("get_dataset", "get_schema") for uri in uris]
    calls += [("load_snippet", {"uri": uri}) for uri in uris]
    for name, arguments in calls:
        params = {"name": name, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        yield json.dumps(client.post("/mcp", json=message).json()["result"])


def files(client: httpx.Client) -> Iterator[str]:
    for file in client.get("/export").json().get("files", ()):
        yield client.get(file["url"]).content.decode("utf-8", "replace")


def changes(origin: str, last: int) -> str:
    said = b""
    url = origin.replace("http", "ws", 1) + f"/xrpc/{BASE}.subscribeChanges?cursor=0"
    with connect(url, max_size=None) as client:
        for _ in range(1 + -(-last // 100)):
            frame = client.recv(timeout=20)
            assert isinstance(frame, bytes)
            said += frame
    return said.decode("utf-8", "replace")


def everything(client: httpx.Client, origin: str, uris: list[str], last: int) -> dict[str, str]:
    """All that is said, by where. What only repeats the question is not a trace."""
    said = {path: client.get(path).text for path in paths(client, uris)}
    said |= {f"tool {n}": text for n, text in enumerate(tools(client, uris))}
    said |= {f"file {n}": text for n, text in enumerate(files(client))}
    return {**said, "changes": changes(origin, last)}


def test_what_is_hidden_or_deleted_is_nowhere(index: IndexBuilder, origin: str) -> None:
    hidden, other = index.account("hidden"), index.account("other")
    schema = index.schema(hidden, "SecretSample")
    body = {"name": "Secret one"}
    dataset = index.dataset(hidden, "Secret one", schema, tags=["secret-tag"], body=body)
    index.dataset(other, "Public", index.schema(other, "Open"))
    lens = index.lens(hidden, "secret-lens", schema, schema)
    uris = [dataset, schema, lens]
    with httpx.Client(base_url=origin, timeout=30) as client:
        wait_for(client, "secret", 1)
        before = everything(client, origin, uris, index.seq)
        shown = [where for where, text in before.items() if "Secret" in text]
        needed = ("/feed.atom", "/feed.json", "/search.csv", "/search.jsonl", "changes", "file 1")
        assert set(needed) <= set(shown)
        assert any(where.startswith("/croissant") for where in shown)
        assert dataset.rpartition("/")[2] in before["/sitemap/1/0.xml"]
        list_of_files = client.get("/export").json()["files"]

        index.set_active(hidden, False)
        wait_for(client, "secret", 0)
        after = everything(client, origin, uris, index.seq)
        traces = {
            where: trace
            for where, text in after.items()
            for trace in (*TRACES, "SecretSample")
            if trace in text and not repeats_the_question(where, trace)
        }
        assert traces == {}
        assert dataset.rpartition("/")[2] not in after["/sitemap/1/0.xml"]
        assert [client.get(file["url"]).status_code for file in list_of_files] == [410] * 10
        assert client.get("/export").status_code == 503

        index.set_active(hidden, True)
        wait_for(client, "secret", 1)
        index.delete(dataset)
        wait_for(client, "secret", 0)
        assert "Secret one" not in client.get("/feed.atom").text
        assert "Secret one" not in client.get("/search.jsonl").text
        assert client.get("/croissant", params={"uri": dataset}).status_code == 404


def repeats_the_question(where: str, trace: str) -> bool:
    """An answer may name the handle that was asked for."""
    return trace == "hidden.test" and "hidden.test" in where


def wait_for(client: httpx.Client, q: str, count: int) -> None:
    url = f"/xrpc/{BASE}.searchDatasets"
    while client.get(url, params={"q": q}).json()["hitsTotal"] != count:
        pass  # the test's own time limit ends this

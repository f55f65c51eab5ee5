"""Rate limits: how many requests a client may make, and who counts as one client."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from search_api.app import create_app
from search_api.config import SearchConfig
from search_api.database import Database
from search_api.limits import MAX_CLIENTS, SECONDS_OF_ONE, Buckets, client_of
from search_api.text_index import TextIndex
from tests.search_api.index_builder import IndexBuilder

URL = "/xrpc/ac.foundation.dataset.listTags"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_with_requests_and_fills_with_time() -> None:
    clock = Clock()
    buckets = Buckets(per_second=2, burst=3, clock=clock)
    assert [buckets.take("a").remaining for _ in range(3)] == [2, 1, 0]
    refused = buckets.take("a")
    assert (refused.allowed, refused.remaining, refused.reset) == (False, 0, 2)
    assert buckets.take("b").allowed
    clock.now += 0.5
    assert buckets.take("a").allowed
    assert not buckets.take("a").allowed
    clock.now += 1000
    assert [buckets.take("a").allowed for _ in range(4)] == [True, True, True, False]


def test_what_took_long_counts_as_several_and_leaves_no_debt_without_end() -> None:
    clock = Clock()
    buckets = Buckets(per_second=2, burst=10, clock=clock)
    buckets.take("a")
    buckets.charge("a", SECONDS_OF_ONE / 2)
    assert buckets.take("a").remaining == 8
    buckets.charge("a", 5 * SECONDS_OF_ONE)
    assert buckets.take("a").remaining == 3
    buckets.charge("a", 1_000 * SECONDS_OF_ONE)
    refused = buckets.take("a")
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert (refused.wait, refused.reset) == (6, 10)
    clock.now += refused.wait
    assert buckets.take("a").allowed


def test_a_request_is_charged_by_what_it_took_of_the_processor(
    index: IndexBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_api.limits.SECONDS_OF_ONE", 0.0001)
    index.dataset(index.account("alice"), "Corals", "at://x/y/z")
    database = Database(index.connection)
    text_index = TextIndex(tmp_path / "text", database)
    text_index.catch_up()
    config = SearchConfig(rate_per_second=0.001, rate_burst=100, rate_loopback=True)
    client = TestClient(create_app(database, text_index, config))
    left = [
        int(client.get(path).headers["ratelimit-remaining"])
        for path in ("/openapi.json", "/", "/openapi.json")
    ]
    assert left[:2] == [99, 98]  # of the second one's time nothing is known yet
    assert left[2] < 95
    text_index.close()


def test_the_clients_that_are_remembered_are_bounded() -> None:
    buckets = Buckets(per_second=1, burst=1, clock=Clock())
    for number in range(MAX_CLIENTS + 100):
        buckets.take(str(number))
    assert len(buckets._levels) == MAX_CLIENTS
    assert not buckets.take(str(MAX_CLIENTS + 99)).allowed


@pytest.mark.parametrize(
    ("peer", "forwarded", "settings", "client"),
    [
        ("203.0.113.7", "", {}, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", {"trusted_proxy": True}, "203.0.113.7"),
        ("127.0.0.1", "", {}, None),
        ("127.0.0.1", "198.51.100.1", {}, None),
        ("127.0.0.1", "6.6.6.6, 198.51.100.1", {"trusted_proxy": True}, "198.51.100.1"),
        ("127.0.0.1", "nonsense", {"trusted_proxy": True}, None),
        ("127.0.0.1", "", {"rate_loopback": True}, "127.0.0.1"),
        ("::1", "", {}, None),
        ("2001:db8:1:2:3:4:5:6", "", {}, "2001:db8:1:2::/64"),
        ("203.0.113.7", "", {"rate_per_second": 0}, None),
    ],
)
def test_who_is_counted(
    peer: str, forwarded: str, settings: dict[str, bool], client: str | None
) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"type": "http", "client": (peer, 1234), "headers": headers}
    assert client_of(scope, SearchConfig.model_validate(settings)) == client


def test_above_the_limit_the_answer_is_429_and_says_when_to_go_on(
    index: IndexBuilder, tmp_path: Path
) -> None:
    database = Database(index.connection)
    text_index = TextIndex(tmp_path / "text", database)
    config = SearchConfig(rate_per_second=0.001, rate_burst=3, rate_loopback=True)
    client = TestClient(create_app(database, text_index, config))
    fine = [client.get(URL) for _ in range(3)]
    assert [answer.status_code for answer in fine] == [200, 200, 200]
    assert [answer.headers["ratelimit-remaining"] for answer in fine] == ["2", "1", "0"]
    assert fine[0].headers["ratelimit-limit"] == "3"
    refused = client.get(URL, headers={"Origin": "https://elsewhere.example.com"})
    assert refused.status_code == 429
    assert refused.json()["error"] == "RateLimitExceeded"
    assert int(refused.headers["retry-after"]) > 0
    assert int(refused.headers["ratelimit-reset"]) > 0
    assert refused.headers["access-control-allow-origin"] == "*"
    assert refused.headers["cache-control"] == "no-store"
    page = client.get("/tags", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page.headers["cache-control"]) == (429, "no-store")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Too many questions at once" in page.text
    assert int(page.headers["retry-after"]) > 0
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text_index.close()

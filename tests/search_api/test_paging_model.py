"""Paging against a model: whatever comes and goes between two pages, nothing that was there all
the time is skipped, and nothing is shown twice, in every order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import serving

NAMES = ("coral", "coral reef", "a coral reef", "corals", "Corals of the sea", "sea")
# Between two pages: a dataset of that name comes, or the one at that place goes.
steps = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 30), st.booleans()), min_size=6, max_size=6
)


@pytest.mark.parametrize("sort", ["relevance", "newest", "updated", "name", "size"])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=4, deadline=None
)
@given(
    before=st.lists(st.sampled_from(NAMES), min_size=4, max_size=12),
    between=steps,
    q=st.sampled_from(["", "coral", "coral reef sea"]),
    limit=st.integers(1, 4),
)
def test_no_repeat_and_no_skip(
    tmp_path_factory: pytest.TempPathFactory,
    sort: str,
    before: list[str],
    between: list[tuple[str, int, bool]],
    q: str,
    limit: int,
) -> None:
    index = IndexBuilder.create()
    did = index.account("alice")
    schema = index.schema(did)
    there = [index.dataset(did, name, schema) for name in before]
    folder: Path = tmp_path_factory.mktemp("paging")
    with serving(index, folder) as service:
        expected = {
            view["uri"] for view in service.get("searchDatasets", q=q, limit=100)["datasets"]
        }
        seen: list[str] = []
        cursor: dict[str, str] = {}
        for turn in range(200):
            page = service.get("searchDatasets", q=q, sort=sort, limit=limit, **cursor)
            seen += [view["uri"] for view in page["datasets"]]
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
            if turn < len(between):
                name, at, comes = between[turn]
                if comes:
                    index.dataset(did, name, schema)
                elif there:
                    gone = there.pop(at % len(there))
                    index.delete(gone)
    index.connection.close()
    assert len(seen) == len(set(seen)), "a dataset was repeated"
    assert expected & set(there) <= set(seen), "a dataset was skipped"

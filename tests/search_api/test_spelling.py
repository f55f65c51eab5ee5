"""How far words are from each other, and that a stored view comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol.views import DatasetView, SizeView
from search_api.spelling import distance, tolerance
from search_api.stored_view import StoredView, pack, unpack


@pytest.mark.parametrize(
    ("one", "other", "far"),
    [
        ("coral", "coral", 0),
        ("corl", "coral", 1),
        ("corall", "coral", 1),
        ("korals", "coral", 2),
        ("corla", "coral", 1),
        ("image", "imgae", 1),
        ("sea", "whale", 3),
    ],
)
def test_distance(one: str, other: str, far: int) -> None:
    assert distance(one, other, 2) == distance(other, one, 2) == far


def test_short_words_are_not_corrected() -> None:
    assert [tolerance(word) for word in ("sea", "reef", "corals", "whalesong")] == [0, 1, 1, 2]


@given(
    name=st.text(),
    tags=st.lists(st.text(), max_size=3),
    size=st.tuples(*[st.none() | st.integers(0, 2**63 - 1)] * 3),
    handle=st.none() | st.text(),
)
def test_a_stored_view_comes_back_as_it_was(
    name: str,
    tags: list[str],
    size: tuple[int | None, int | None, int | None],
    handle: str | None,
) -> None:
    view = DatasetView(
        uri="at://did:plc:x/y/z",
        cid="c",
        did="did:plc:x",
        indexed_at="t",
        name=name,
        schema_uri="at://s",
        storage_kind="blobs",
        created_at="t",
        tags=tuple(tags),
        size=SizeView(*size),
        handle=handle,
    )
    stored = StoredView(view, 7, ("image", "label"))
    assert unpack(pack(stored)) == stored

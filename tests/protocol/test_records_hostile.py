"""For whatever comes in, ``parse`` gives a record or ``InvalidRecord``; nothing else ever."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.namespaces import COLLECTIONS
from atdata.protocol.records import parse

SCHEMA = "ac.foundation.dataset.sampleSchema"

json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=8)
    | st.just(Cid.of(b"shard", RAW)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
BODIES = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "bodies").glob("*.json"))
]


def complaint(collection: str, body: Any) -> str:
    """Why a body is refused; nothing if it is read."""
    try:
        parse(collection, body)
    except InvalidRecord as error:
        return str(error)
    return ""


def assert_harmless(message: str) -> None:
    """Hostile text can neither flood nor forge a log line."""
    assert message.isprintable()
    assert len(message) < 1_000


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([*COLLECTIONS, "ac.foundation.datasetx.record"]), json_like)
@example(SCHEMA, None)
@example(SCHEMA, [])
def test_any_value_is_read_or_refused(collection: str, body: Any) -> None:
    assert_harmless(complaint(collection, body))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(BODIES), st.data(), json_like)
def test_any_value_anywhere_in_a_good_body_is_read_or_refused(
    case: dict[str, Any], data: st.DataObject, value: Any
) -> None:
    body = copy.deepcopy(case["body"])
    container, key = data.draw(st.sampled_from(list(places(body))))
    container[key] = value
    assert_harmless(complaint(case["collection"], body))

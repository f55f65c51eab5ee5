"""The data model's JSON form: links, bytes, blobs, and the way back."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol import cbor
from atdata.protocol.cbor import Value, from_json, record_from_json, to_json
from atdata.protocol.cid import Cid
from atdata.protocol.errors import InvalidCbor
from tests.protocol.interop_fixtures import cases, needs_interop

BLOB_CID = "bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"

names = st.text(st.characters(codec="utf-8", exclude_characters="$"), max_size=10)
values: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(cbor.MIN_INTEGER, cbor.MAX_INTEGER)
    | st.text(st.characters(codec="utf-8"))
    | st.binary()
    | st.builds(Cid.of, st.binary(max_size=4)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5),
    max_leaves=20,
)
json_values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3)
            | st.sampled_from(["$link", "$bytes", "$type", "ref", "size", "mimeType"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def is_object_of_the_model(value: object) -> bool:
    try:
        return isinstance(from_json(value), dict)
    except InvalidCbor:
        return False


class TestInterop:
    pytestmark = needs_interop("the data model")

    def test_json_cbor_and_cid_agree(self) -> None:
        for case in cases("data-model/data-model-fixtures.json", 3):
            data = base64.b64decode(case["cbor_base64"] + "==")
            value = cbor.decode(data)
            assert from_json(case["json"]) == value
            assert to_json(value) == case["json"]
            assert cbor.encode(value) == data
            assert str(Cid.of(data)) == case["cid"]

    def test_valid(self) -> None:
        for case in cases("data-model/data-model-valid.json", 5):
            value = record_from_json(case["json"])
            assert cbor.decode(cbor.encode(value)) == value

    def test_invalid(self) -> None:
        found = cases("data-model/data-model-invalid.json", 12)
        accepted_notes = [case["note"] for case in found if is_object_of_the_model(case["json"])]
        assert accepted_notes == []


@given(values)
def test_round_trip_through_json_text(value: Value) -> None:
    assert from_json(json.loads(json.dumps(to_json(value)))) == value


@given(json_values)
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        found = from_json(value)
    except InvalidCbor:
        return
    assert cbor.decode(cbor.encode(found)) == found


@pytest.mark.parametrize("text", ["YQ", "YQ==", "YR"])
def test_base64_with_and_without_padding(text: str) -> None:
    assert from_json({"$bytes": text}) == b"a"


def test_bytes_are_written_without_padding() -> None:
    assert to_json({"m": b"a"}) == {"m": {"$bytes": "YQ"}}


@pytest.mark.parametrize("text", ["Y", "YQ=A", "Y Q", "Y-_Q", "é", "YQ\n"])
def test_not_base64(text: str) -> None:
    with pytest.raises(InvalidCbor, match="base64"):
        from_json({"$bytes": text})


WRONG: dict[str, object] = {
    "fraction": 0.5,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "float above 64 bits": 1e300,
    "integer above 64 bits": 2**64,
    "surrogate": "\ud800",
    "surrogate in a key": {"\ud800": 1},
    "key that is no text": {1: 2},
    "no JSON value": b"bytes",
    "blob without a media type": {
        "$type": "blob",
        "ref": {"$link": BLOB_CID},
        "mimeType": "",
        "size": 1,
    },
    "blob with a negative size": {
        "$type": "blob",
        "ref": {"$link": BLOB_CID},
        "mimeType": "a/b",
        "size": -1,
    },
    "blob with a boolean size": {
        "$type": "blob",
        "ref": {"$link": BLOB_CID},
        "mimeType": "a/b",
        "size": True,
    },
    "blob with text for a link": {"$type": "blob", "ref": BLOB_CID, "mimeType": "a/b", "size": 1},
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG.keys())
def test_outside_the_data_model(value: object) -> None:
    with pytest.raises(InvalidCbor):
        from_json({"a": [value]})


def test_depth_is_limited_both_ways() -> None:
    nested: Value = 1
    for _ in range(64):
        nested = [nested]
    assert from_json(to_json(nested)) == nested
    for convert in (from_json, to_json):
        with pytest.raises(InvalidCbor, match="nested"):
            convert([nested])


def test_to_json_refuses_what_is_not_data() -> None:
    with pytest.raises(InvalidCbor, match="float"):
        to_json({"a": 1.5})  # type: ignore[dict-item]


def test_a_link_and_bytes_are_no_level_of_their_own() -> None:
    for leaf in (Cid.of(b""), b"a"):
        nested: Value = leaf
        for _ in range(64):
            nested = [nested]
        assert cbor.decode(cbor.encode(nested)) == nested
        assert from_json(to_json(nested)) == nested


# What a record on the network may hold, since its PDS and CBOR take it.
UNTRUE: dict[str, Value] = {
    "blob without a media type": {"$type": "blob", "ref": Cid.of(b""), "size": 1},
    "blob with an empty media type": {"$type": "blob", "ref": Cid.of(b""), "mimeType": ""},
    "blob with a negative size": {"$type": "blob", "ref": Cid.of(b""), "size": -1},
    "blob without a link": {"$type": "blob", "ref": "bafy"},
    "link that is none": {"$link": "nope"},
    "link to a number": {"$link": 5},
    "link with a neighbour": {"$link": BLOB_CID, "more": [b"a"]},
    "bytes that are none": {"$bytes": "?"},
    "bytes that are a number": {"$bytes": 5},
    "link and bytes": {"$bytes": "YQ", "$link": BLOB_CID},
    "empty type": {"$type": ""},
    "type that is no text": {"$type": None},
}


@pytest.mark.parametrize("value", UNTRUE.values(), ids=UNTRUE.keys())
def test_a_published_record_is_what_its_bytes_say_whatever_it_claims(value: Value) -> None:
    record = {"a": [value]}
    with pytest.raises(InvalidCbor):
        from_json(to_json(record))
    data = cbor.encode(record)
    assert cbor.encode(record_from_json(json.loads(json.dumps(to_json(record))))) == data


@pytest.mark.parametrize("value", [[], "text", None, 0.5, {"$bytes": "YQ"}, {"a": {"b": 0.5}}])
def test_what_no_record_can_be(value: object) -> None:
    with pytest.raises(InvalidCbor):
        record_from_json(value)


@given(json_values)
def test_any_published_json_is_read_or_refused(value: object) -> None:
    try:
        found = record_from_json(value)
    except InvalidCbor:
        return
    assert cbor.decode(cbor.encode(found)) == found

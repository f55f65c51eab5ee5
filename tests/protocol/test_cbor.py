"""Strict DAG-CBOR: what is accepted is canonical, what is not is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atdata.protocol import cbor
from atdata.protocol.cbor import Value, decode, encode
from atdata.protocol.cid import DAG_CBOR, RAW, Cid
from atdata.protocol.errors import InvalidCbor

cids = st.builds(Cid.of, st.binary(max_size=4), st.sampled_from([DAG_CBOR, RAW]))
integers = st.integers(cbor.MIN_INTEGER, cbor.MAX_INTEGER)
# Around every length where the head of an item grows.
edges = st.sampled_from([n + d for n in (24, 256, 65536, 2**32) for d in (-1, 0, 1)])
scalars = st.none() | st.booleans() | integers | edges | st.text() | st.binary(max_size=300) | cids
keys = st.text(max_size=30)
values: st.SearchStrategy[Value] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(keys, inner, max_size=30),
    max_leaves=40,
)

LINK = bytes.fromhex("d82a582500") + Cid.of(b"").raw


# --- round trips ---------------------------------------------------------------------------------


@given(values)
def test_round_trip(value: Value) -> None:
    assert decode(encode(value)) == value


@given(values.map(encode), st.data())
def test_what_is_accepted_is_canonical(data: bytes, draw: st.DataObject) -> None:
    """One byte changed anywhere: refused, or the one and only encoding of another value."""
    place = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:place] + bytes((draw.draw(st.integers(0, 255)),)) + data[place + 1 :]
    try:
        value = decode(changed)
    except InvalidCbor:
        return
    assert encode(value) == changed


@given(st.binary(max_size=200))
@example(b"\xd8\x2a" * 50)
def test_any_bytes_are_decoded_canonically_or_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except InvalidCbor:
        return
    assert encode(value) == data


@given(values.map(encode), st.data())
def test_cut_short_anywhere_is_refused(data: bytes, draw: st.DataObject) -> None:
    with pytest.raises(InvalidCbor):
        decode(data[: draw.draw(st.integers(0, len(data) - 1))])


def test_links_and_bytes_that_look_like_links_are_told_apart() -> None:
    cid = Cid.of(b"")
    assert decode(encode([cid, cid.raw])) == [cid, cid.raw]


def test_keys_are_sorted_by_length_and_then_by_bytes() -> None:
    assert encode({"bb": 1, "é": 2, "c": 3, "a": 4, "": 5}).hex() == (
        "a5" + "60" + "05" + "6161" + "04" + "6163" + "03" + "626262" + "01" + "62c3a9" + "02"
    )


def test_tuples_and_subclasses_of_text_are_encoded() -> None:
    class Name(str):
        __slots__ = ()

    assert encode((Name("a"), {Name("b"): ()})) == encode(["a", {"b": []}])


# --- refused by decode ---------------------------------------------------------------------------

NOT_STRICT = {
    "nothing": "",
    "two values": "0101",
    "integer not minimal, 1 byte": "1817",
    "integer not minimal, 2 bytes": "1900ff",
    "integer not minimal, 4 bytes": "1a0000ffff",
    "integer not minimal, 8 bytes": "1b00000000ffffffff",
    "negative not minimal": "3800",
    "text length not minimal": "780161",
    "bytes length not minimal": "580100",
    "array length not minimal": "980101",
    "map length not minimal": "b801616101",
    "key length not minimal": "a178016101",
    "tag not minimal": "d9002a" + LINK[2:].hex(),
    "integer below -2^63": "3b8000000000000000",
    "float of 2 bytes": "f93c00",
    "float of 4 bytes": "fa3f800000",
    "float of 8 bytes": "fb3ff8000000000000",
    "float without a fraction": "fb3ff0000000000000",
    "not a number": "fb7ff8000000000000",
    "infinity": "fb7ff0000000000000",
    "undefined": "f7",
    "simple value": "e0",
    "false in two bytes": "f814",
    "break alone": "ff",
    "reserved length": "1c",
    "indefinite array": "9f01ff",
    "indefinite map": "bf616101ff",
    "indefinite text": "7f6161ff",
    "indefinite bytes": "5f4161ff",
    "keys not sorted": "a2616201616101",
    "keys not sorted by length": "a262616101616201",
    "duplicate keys": "a2616101616102",
    "integer key": "a10101",
    "bytes key": "a1416101",
    "nested deeper in a key": "a18001",
    "invalid UTF-8": "62c328",
    "surrogate in UTF-8": "63eda080",
    "date tag": "c074323031332d30332d32315432303a30343a30305a",
    "big number tag": "c249010000000000000000",
    "regular expression tag": "d8236161",
    "self-described tag": "d9d9f701",
    "shared value tag": "d81c80",
    "link to text": "d82a6161",
    "link to an array": "d82a80",
    "link to a link": "d82a" + LINK.hex(),
    "link without 00": "d82a5824" + LINK[5:].hex(),
    "link with another multibase": "d82a582501" + LINK[5:].hex(),
    "link with a short digest": "d82a58240001711220" + "00" * 31,
    "link with another hash": "d82a58250001711320" + "00" * 32,
    "link with another codec": "d82a58250001701220" + "00" * 32,
    "link of version 0": "d82a5823001220" + "00" * 32,
    "array of 2^32 items": "9b0000000100000000",
    "map of 2^64-1 entries": "bbffffffffffffffff",
    "text of 2^63 bytes": "7b8000000000000000",
    "bytes of 2^64-1 bytes": "5bffffffffffffffff",
}


@pytest.mark.parametrize("data", NOT_STRICT.values(), ids=NOT_STRICT.keys())
def test_not_strict(data: str) -> None:
    with pytest.raises(InvalidCbor) as caught:
        decode(bytes.fromhex(data))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("data", [None, "a0", 7, ["a0"]])
def test_decode_of_anything_but_bytes(data: bytes) -> None:
    with pytest.raises(InvalidCbor):
        decode(data)


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x61a", b"\xd8\x2a"])
def test_very_deep_nesting_is_refused(opening: bytes) -> None:
    with pytest.raises(InvalidCbor):
        decode(opening * 200_000 + b"\x00")


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x61a"])
def test_the_limit_of_nesting(opening: bytes) -> None:
    deepest = decode(opening * 64 + LINK)
    assert encode(deepest) == opening * 64 + LINK
    with pytest.raises(InvalidCbor, match="nested"):
        decode(opening * 65 + LINK)
    with pytest.raises(InvalidCbor, match="nested"):
        decode(opening * 3 + b"\x00", max_depth=2)


# --- refused by encode ---------------------------------------------------------------------------


def endless() -> list[object]:
    inner: list[object] = []
    inner.append(inner)
    return inner


NOT_DATA: dict[str, object] = {
    "float": 1.5,
    "integer above 64 bits": 2**64,
    "integer below 64 bits": -(2**63) - 1,
    "huge integer": 10**5000,
    "surrogate": "\ud800",
    "surrogate in a key": {"\ud800": 1},
    "integer key": {1: 2},
    "set": {1, 2},
    "bytearray": bytearray(b"a"),
    "object": object(),
    "inside": {"a": [{"b": 1.5}]},
    "list in itself": endless(),
}


@pytest.mark.parametrize("value", NOT_DATA.values(), ids=NOT_DATA.keys())
def test_not_in_the_data_model(value: Value) -> None:
    with pytest.raises(InvalidCbor) as caught:
        encode(value)
    assert len(str(caught.value)) < 300


def test_encode_refuses_what_decode_would() -> None:
    value: Value = 1
    for _ in range(65):
        value = [value]
    with pytest.raises(InvalidCbor, match="nested"):
        encode(value)

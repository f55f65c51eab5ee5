"""CAR files: framing, limits, and a hash check on every block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol import car, cbor
from atdata.protocol.car import Car
from atdata.protocol.cid import DAG_CBOR, RAW, Cid
from atdata.protocol.errors import CidMismatch, InvalidCar

blocks = st.lists(
    st.tuples(st.binary(max_size=200), st.sampled_from([DAG_CBOR, RAW])).map(
        lambda pair: (Cid.of(*pair), pair[0])
    ),
    max_size=6,
)


def block(data: bytes) -> tuple[Cid, bytes]:
    return Cid.of(data, RAW), data


ONE, TWO = block(b"one"), block(b"two" * 60)
ROOT = ONE[0]
FILE = car.write([ROOT], [ONE, TWO])
HEADER = car.write([ROOT], [])


def with_header(value: cbor.Value) -> bytes:
    header = cbor.encode(value)
    return bytes((len(header),)) + header


@given(blocks, st.integers(0, 4))
def test_round_trip(entries: list[tuple[Cid, bytes]], roots: int) -> None:
    cids = [cid for cid, _ in entries][:roots]
    found = car.read(car.write(cids, entries))
    assert found == Car(tuple(cids), {cid.raw: data for cid, data in entries})
    assert list(found.blocks) == list(dict.fromkeys(cid.raw for cid, _ in entries))


def test_known_bytes() -> None:
    cid = Cid.of(b"a", RAW)
    expected = "3aa265726f6f747381d82a582500" + cid.raw.hex() + "6776657273696f6e01"
    assert car.write([cid], [(cid, b"a")]).hex() == expected + "25" + cid.raw.hex() + "61"


def test_a_block_may_come_twice() -> None:
    assert car.read(car.write([ROOT], [ONE, TWO, ONE])) == car.read(FILE)


# --- hashes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [DAG_CBOR, RAW])
def test_wrong_bytes_are_named_by_both_cids(codec: int) -> None:
    cid = Cid.of(b"good", codec)
    data = car.write([cid], [(cid, b"good")]).replace(b"good", b"evil")
    with pytest.raises(CidMismatch) as caught:
        car.read(data)
    assert caught.value.expected == str(cid)
    assert caught.value.actual == str(Cid.of(b"evil", codec))
    assert str(cid) in str(caught.value)


def test_a_second_copy_of_a_block_is_checked_too() -> None:
    with pytest.raises(CidMismatch):
        car.read(FILE + car.write([ROOT], [ONE])[len(HEADER) :].replace(b"one", b"eno"))


@given(st.integers(len(HEADER), len(FILE) - 1), st.integers(1, 255))
def test_any_changed_byte_after_the_header_is_noticed(place: int, change: int) -> None:
    data = bytearray(FILE)
    data[place] ^= change
    with pytest.raises((InvalidCar, CidMismatch)):
        car.read(bytes(data))


def test_a_wrong_block_is_not_written() -> None:
    with pytest.raises(CidMismatch):
        car.write([ROOT], [(ROOT, b"two")])


# --- framing -------------------------------------------------------------------------------------


def test_cut_short_at_every_byte() -> None:
    between_blocks = {len(HEADER), len(car.write([ROOT], [ONE])), len(FILE)}
    for end in range(len(FILE)):
        if end in between_blocks:
            assert len(car.read(FILE[:end]).blocks) < 2
        else:
            with pytest.raises(InvalidCar):
                car.read(FILE[:end])


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "zero padding": FILE + bytes(10),
    "length of zero, not minimal": FILE + b"\x80\x00",
    "length not minimal": FILE + b"\xa7\x00" + ONE[0].raw + ONE[1],
    "length of 2^62": FILE + b"\xff" * 8 + b"\x3f",
    "section shorter than a CID": FILE + b"\x05abcde",
    "block with another hash": FILE + bytes((36,)) + bytes.fromhex("01711320") + bytes(32),
    "block with another codec": FILE + b"\x27" + bytes.fromhex("01701220") + ROOT.digest + b"one",
    "CID of version 0": FILE + bytes((36,)) + bytes.fromhex("1220") + bytes(34),
    "header is no CBOR": b"\x01\xff",
    "header is an array": with_header([]),
    "header of version 2": with_header({"roots": [ROOT], "version": 2}),
    "header of version 2 with the root of a repo": with_header(
        {"roots": [Cid.of(b"one")], "version": 2}
    ),
    "header without a version": with_header({"roots": [ROOT]}),
    "header without roots": with_header({"version": 1}),
    "roots are no list": with_header({"roots": ROOT, "version": 1}),
    "root is no link": with_header({"roots": [ROOT, "x"], "version": 1}),
    "roots are nested": with_header({"roots": [[ROOT]], "version": 1}),
    "header not canonical": b"\x12\xa2\x67version\x01\x65roots\x80",
    "header larger than any of ours": car.write([ROOT] * 20, []),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_broken(data: bytes) -> None:
    with pytest.raises(InvalidCar) as caught:
        car.read(data)
    assert len(str(caught.value)) < 300


def test_a_length_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(InvalidCar, match="longer than 9 bytes"):
        car.read(FILE + b"\xff" * 1000)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, after_header: bool) -> None:
    try:
        found = car.read(HEADER + data if after_header else data)
    except (InvalidCar, CidMismatch):
        return
    assert all(Cid(raw).digest == Cid.of(block).digest for raw, block in found.blocks.items())


# --- limits --------------------------------------------------------------------------------------


def test_limits_are_exact() -> None:
    assert car.read(FILE, max_blocks=2, max_bytes=len(FILE)).roots == (ROOT,)
    with pytest.raises(InvalidCar, match="more than 1 blocks"):
        car.read(FILE, max_blocks=1)
    with pytest.raises(InvalidCar, match="at most"):
        car.read(FILE, max_bytes=len(FILE) - 1)


def test_copies_of_one_block_count_as_blocks() -> None:
    with pytest.raises(InvalidCar, match="more than 5 blocks"):
        car.read(car.write([ROOT], [ONE] * 6), max_blocks=5)

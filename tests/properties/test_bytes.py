"""Bytes that were changed on the way: refused by a named error, or read as what they are now.

Of every kind of message and block that a network sends; CBOR and CAR by themselves have theirs in
tests/protocol.
"""

from __future__ import annotations

from functools import cache
from random import Random

import libipld
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atdata.protocol import car
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, InvalidCar
from indexer import frames
from indexer.drops import InvalidEvent
from tests.fuzz.checks import check_frame, check_objects, check_screen, check_tree
from tests.indexer.repo_builder import Message
from tests.properties.networks import Network


@cache
def messages() -> list[Message]:
    return [message.at(7) for message in Network(Random(3), 3, 150).events]


@cache
def blocks() -> list[bytes]:
    cars = [m.body["blocks"] for m in messages() if "blocks" in m.body]
    return sorted({block for data in cars for block in car.read(data).blocks.values()})


some = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(some, some)
def test_a_frame_cut_short_anywhere_is_refused(which: int, where: int) -> None:
    frame = messages()[which % len(messages())].frame
    with pytest.raises(InvalidEvent):
        frames.parse(frame[: where % len(frame)])


@settings(deadline=None)
@given(some, some, st.integers(1, 255))
def test_a_changed_byte_of_a_frame_is_refused_or_read_as_it_is(
    which: int, where: int, change: int
) -> None:
    frame = bytearray(messages()[which % len(messages())].frame)
    frame[where % len(frame)] ^= change
    check_frame(bytes(frame))
    check_screen(bytes(frame))


@settings(deadline=None)
@given(some, some, st.integers(1, 255))
def test_a_changed_byte_of_a_car_is_noticed(which: int, where: int, change: int) -> None:
    """Except in the CID that it gives as its root, which is compared with the envelope's."""
    cars = [m.body["blocks"] for m in messages() if "blocks" in m.body]
    good = cars[which % len(cars)]
    data = bytearray(good)
    data[where % len(data)] ^= change
    try:
        found = car.read(bytes(data))
    except (InvalidCar, CidMismatch):
        return
    assert found.blocks == car.read(good).blocks
    assert found.roots != car.read(good).roots


@settings(deadline=None)
@given(some, some, st.integers(1, 255))
def test_a_changed_byte_of_a_block_is_refused_or_read_as_it_is(
    which: int, where: int, change: int
) -> None:
    block = bytearray(blocks()[which % len(blocks())])
    block[where % len(block)] ^= change
    check_objects(bytes(block))
    check_tree(bytes(block))


keys = st.sampled_from([b"a.b.c/1", b"a.b.c/10", b"a.b.c/2", b"/2", b"2", b"0", b"", b"b.c/\xff"])
links = st.sampled_from([None, Cid.of(b"one").raw, b"two", 5])
entries = st.dictionaries(
    st.sampled_from(["k", "p", "t", "v", "x"]),
    keys | links | st.integers(-1, 10) | st.booleans(),
    max_size=5,
) | st.fixed_dictionaries({"k": keys, "p": st.integers(-1, 10), "t": links, "v": links})
nodes = st.fixed_dictionaries({"e": st.lists(entries, max_size=4), "l": links}) | st.dictionaries(
    st.sampled_from(["e", "l", "x"]), links | st.lists(entries, max_size=2), max_size=3
)


@settings(max_examples=400, deadline=None)
@given(nodes)
def test_a_node_that_is_taken_is_the_one_encoding_of_what_it_holds(node: object) -> None:
    block = bytes(libipld.encode_dag_cbor(node))
    check_tree(block)

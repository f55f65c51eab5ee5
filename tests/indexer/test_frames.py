"""Frames: two DAG-CBOR objects and nothing else, for any bytes that a socket can deliver."""

from __future__ import annotations

import random

import pytest

from atdata.protocol import cbor
from atdata.protocol.namespaces import COLLECTIONS
from indexer import frames
from indexer.drops import DropReason, InvalidEvent
from indexer.events import Account, StreamError
from tests.indexer.repo_builder import (
    COLLECTION,
    DID,
    TIME,
    Message,
    Repo,
    account,
    create,
    identity,
)

FRAME = account(DID, seq=5).frame
HEADER, BODY = cbor.encode({"op": 1, "t": "#account"}), cbor.encode(dict(account(DID).body))


def reason_of(frame: bytes) -> DropReason:
    with pytest.raises(InvalidEvent) as caught:
        frames.parse(frame)
    return caught.value.reason


def test_an_error_frame_ends_the_stream() -> None:
    frame = cbor.encode({"op": -1}) + cbor.encode({"error": "FutureCursor", "message": "ahead"})
    assert frames.parse(frame) == StreamError("FutureCursor", "ahead")


@pytest.mark.parametrize("cut", range(len(FRAME)))
def test_a_frame_cut_anywhere_is_refused(cut: int) -> None:
    assert reason_of(FRAME[:cut]) in {DropReason.INVALID_CBOR, DropReason.INVALID_FRAMING}


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", DropReason.INVALID_FRAMING),
        (HEADER, DropReason.INVALID_FRAMING),
        (HEADER + BODY + b"\xa0", DropReason.INVALID_FRAMING),
        (HEADER + BODY + b"\xff", DropReason.INVALID_CBOR),
        (HEADER + b"\x80", DropReason.INVALID_FRAMING),
        (b"\x80" + BODY, DropReason.INVALID_FRAMING),
        (cbor.encode({"t": "#account"}) + BODY, DropReason.INVALID_FRAMING),
        (cbor.encode({"op": True, "t": "#account"}) + BODY, DropReason.INVALID_FRAMING),
        (cbor.encode({"op": "1", "t": "#account"}) + BODY, DropReason.INVALID_FRAMING),
        (cbor.encode({"op": 1}) + BODY, DropReason.INVALID_FRAMING),
        (cbor.encode({"op": 1, "t": 5}) + BODY, DropReason.INVALID_FRAMING),
        (b"\x81" * 100_000, DropReason.INVALID_CBOR),
        (b"\xa1\x61a" * 100_000, DropReason.INVALID_CBOR),
        (b"\x9b" + b"\xff" * 8, DropReason.INVALID_CBOR),
        (HEADER + b"\xa1\x61a\xfb\x7f\xf8" + bytes(6), DropReason.INVALID_CBOR),
        (HEADER + b"\xbf\xff", DropReason.INVALID_CBOR),
        (HEADER + b"\xa2\x61a\x01\x61a\x02", DropReason.INVALID_CBOR),
        (HEADER + BODY.replace(b"cseq\x01", b"cseq\x18\x01"), DropReason.INVALID_CBOR),
        (bytes(frames.MAX_FRAME + 1), DropReason.OVERSIZED_FRAME),
    ],
)
def test_what_is_no_frame_is_refused_by_name(frame: bytes, reason: DropReason) -> None:
    assert reason_of(frame) is reason


def test_a_byte_string_is_no_link() -> None:
    message = Repo().commit()
    as_bytes = message.having(commit=message.body["commit"].raw)
    assert reason_of(as_bytes.frame) is DropReason.INVALID_CBOR


def test_a_frame_of_five_megabytes_is_legal() -> None:
    spare = frames.MAX_FRAME - len(account(DID).having(novel=bytes(70_000)).frame)
    message = account(DID).having(novel=bytes(70_000 + spare))
    assert len(message.frame) == frames.MAX_FRAME
    assert isinstance(message.event, Account)


def test_no_bytes_make_the_parser_raise_anything_else() -> None:
    rng = random.Random(20260101)
    good = [Repo().commit(create(f"{COLLECTION}/a", {"x": [1, {"y": b"z"}]})).frame, FRAME]
    refused = 0
    for _ in range(20_000):
        frame = bytearray(rng.choice(good))
        for _ in range(rng.choice((1, 1, 2, 8))):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        try:
            frames.parse(bytes(frame))
        except InvalidEvent:
            refused += 1
    assert 10_000 < refused < 20_000


# --- the screen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_the_scan_finds_every_indexed_collection(collection: str) -> None:
    assert frames.mentions_collection(Repo().commit(create(f"{collection}/a", {})).frame)


@pytest.mark.parametrize(
    "collection", ["ac.foundation.datasetx.record", "ac.foundation.dataset", "app.bsky.feed.post"]
)
def test_the_scan_passes_over_others(collection: str) -> None:
    assert not frames.mentions_collection(Repo().commit(create(f"{collection}/a", {})).frame)


@pytest.mark.parametrize(
    ("message", "seen"),
    [
        (Repo().commit(seq=4), frames.Peek(1, "#commit", 4, DID, TIME)),
        (identity(DID, seq=5), frames.Peek(1, "#identity", 5, DID, TIME)),
        (Message("#info", {"name": "x"}), frames.Peek(1, "#info", None, None, None)),
        (
            Message("#novel", {"seq": 6, "did": 7, "time": 8}, op=3),
            frames.Peek(3, "#novel", 6, None, None),
        ),
    ],
)
def test_peek_sees_what_the_cursor_and_the_screen_need(message: Message, seen: frames.Peek) -> None:
    assert frames.peek(message.frame) == seen


def test_a_seq_within_a_record_is_not_mistaken_for_the_frames_own() -> None:
    record = {"seq": 999, "t": "cseq\x19\x03\xe7"}
    assert frames.peek(Repo().commit(create(f"{COLLECTION}/a", record), seq=4).frame).seq == 4


def test_peek_raises_only_for_what_is_no_frame() -> None:
    with pytest.raises(InvalidEvent):
        frames.peek(FRAME[:-1])
    assert frames.peek(account("nonsense").frame).did == "nonsense"

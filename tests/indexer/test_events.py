"""Events: every field of the firehose's lexicon is checked, and nothing else is believed."""

from __future__ import annotations

from typing import Any

import pytest

from atdata.protocol.cid import Cid
from indexer import frames
from indexer.drops import DropReason, InvalidEvent
from indexer.events import (
    Account,
    Action,
    Commit,
    Event,
    Identity,
    Info,
    RepoOp,
    StreamError,
    Sync,
    Unknown,
    read_error,
)
from tests.indexer.repo_builder import (
    COLLECTION,
    DID,
    TIME,
    Message,
    Repo,
    account,
    create,
    delete,
    identity,
    update,
)

PATH = f"{COLLECTION}/3jzfcijpj2z2a"
INFO = Message("#info", {"name": "OutdatedCursor", "message": "too old"})
REMOVED = object()


def commits() -> tuple[Message, Message]:
    """A repo's first commit, and one that updates, deletes and creates."""
    repo = Repo()
    first = repo.commit(create(PATH, {"n": 1}), create(f"{COLLECTION}/gone", {"n": 2}))
    second = repo.commit(
        update(PATH, {"n": 3}), delete(f"{COLLECTION}/gone"), create(f"{COLLECTION}/x", {}), seq=2
    )
    return first, second


def sync() -> Message:
    repo = Repo()
    repo.commit()
    return repo.sync(seq=3)


def test_a_commit_has_all_of_its_fields() -> None:
    _, message = commits()
    event = message.event
    assert isinstance(event, Commit)
    body = message.body
    assert (event.seq, event.did, event.rev, event.time) == (2, DID, body["rev"], TIME)
    assert (event.commit, event.blocks) == (body["commit"], body["blocks"])
    assert (event.since, event.prev_data) == (body["since"], body["prevData"])
    assert event.too_big is False
    assert event.ops == tuple(
        RepoOp(Action(op["action"]), op["path"], op["cid"], op.get("prev")) for op in body["ops"]
    )
    assert [op.action for op in event.ops] == ["update", "delete", "create"]
    assert (event.ops[0].collection, event.ops[0].rkey) == (COLLECTION, "3jzfcijpj2z2a")


def test_a_first_commit_has_neither_since_nor_prev_data() -> None:
    event = commits()[0].event
    assert isinstance(event, Commit)
    assert (event.since, event.prev_data) == (None, None)
    assert commits()[0].having(prevData=None).event == event


def test_a_commit_without_ops_is_legal() -> None:
    event = Repo().commit().event
    assert isinstance(event, Commit)
    assert event.ops == ()


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (account(DID, seq=7), Account(7, DID, True, None, TIME)),
        (
            account(DID, seq=7, active=False, status="novel"),
            Account(7, DID, False, "novel", TIME),
        ),
        (identity(DID, seq=8), Identity(8, DID, None, TIME)),
        (identity(DID, seq=8, handle="a.test"), Identity(8, DID, "a.test", TIME)),
        (INFO, Info("OutdatedCursor", "too old")),
        (INFO.without("message"), Info("OutdatedCursor", None)),
        (Message("#novel", {"seq": 9, "x": {}}), Unknown(9, 1, "#novel")),
        (Message("#handle", {"did": DID}), Unknown(None, 1, "#handle")),
        (Message("#commit", {"seq": 9}, op=2), Unknown(9, 2, "#commit")),
    ],
)
def test_other_events(message: Message, event: Event) -> None:
    assert message.event == event


def test_a_sync_holds_its_commit_block() -> None:
    message = sync()
    assert message.event == Sync(3, DID, message.body["rev"], message.body["blocks"], TIME)


def test_unknown_fields_are_ignored() -> None:
    message = commits()[1]
    assert message.having(novel={"deep": [1, {"x": None}]}).event == message.event


@pytest.mark.parametrize(
    "body",
    [{"error": "FutureCursor", "message": "ahead"}, {"error": 1, "message": {}}, {}],
)
def test_an_error_frame_is_read_whatever_it_says(body: dict[str, Any]) -> None:
    event = read_error(body)
    known = isinstance(body.get("error"), str)
    assert event == (
        StreamError("FutureCursor", "ahead") if known else StreamError("unnamed", None)
    )


CID = Cid.of(b"x")
OP = {"action": "create", "path": PATH, "cid": CID}
BAD_FIELDS = [
    ("repo", "did:plc"),
    ("repo", 5),
    ("repo", REMOVED),
    ("commit", REMOVED),
    ("commit", None),
    ("commit", "bafy"),
    ("commit", b"\x01\x71"),
    ("rev", "not-a-tid"),
    ("rev", REMOVED),
    ("since", "not-a-tid"),
    ("since", 5),
    ("blocks", REMOVED),
    ("blocks", "text"),
    ("blocks", bytes(2_000_001)),
    ("prevData", "text"),
    ("tooBig", REMOVED),
    ("tooBig", 0),
    ("time", REMOVED),
    ("time", "yesterday"),
    ("ops", REMOVED),
    ("ops", {}),
    ("ops", [5]),
    ("ops", [OP] * 201),
    ("ops", [{**OP, "action": "upsert"}]),
    ("ops", [{**OP, "action": 1}]),
    ("ops", [{**OP, "path": COLLECTION}]),
    ("ops", [{**OP, "path": f"{PATH}/x"}]),
    ("ops", [{**OP, "path": f"{COLLECTION}/sp ace"}]),
    ("ops", [{**OP, "path": f"{COLLECTION}/.."}]),
    ("ops", [{**OP, "path": "noauthority/x"}]),
    ("ops", [{**OP, "path": 1}]),
    ("ops", [{**OP, "cid": "text"}]),
    ("ops", [{**OP, "prev": 5}]),
]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS, ids=lambda value: str(value)[:40])
def test_a_wrong_field_makes_a_commit_invalid(name: str, value: Any) -> None:
    message = commits()[1]
    wrong = message.without(name) if value is REMOVED else message.having(**{name: value})
    with pytest.raises(InvalidEvent) as caught:
        frames.parse(wrong.frame)
    assert caught.value.reason is DropReason.INVALID_EVENT
    assert caught.value.seq == 2
    assert caught.value.did == (None if name == "repo" else DID)


def test_a_path_without_a_slash_is_named() -> None:
    wrong = commits()[1].having(ops=[{**OP, "path": COLLECTION}])
    with pytest.raises(InvalidEvent, match="is not collection/rkey"):
        frames.parse(wrong.frame)


def test_a_path_is_at_most_1024_characters() -> None:
    """Whatever is wrong with a longer one is not looked at, nor repeated in full."""
    legal = f"{COLLECTION}/{'x' * 512}"
    assert commits()[1].having(ops=[{**OP, "path": legal}]).event
    for path in (f"{COLLECTION}/{'x' * 1024}", "x" * 1_000_000):
        wrong = commits()[1].having(ops=[{**OP, "path": path}])
        with pytest.raises(InvalidEvent, match="path must be text of at most 1024") as caught:
            frames.parse(wrong.frame)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "message",
    [
        sync().having(blocks=bytes(10_001)),
        sync().having(did="alice"),
        sync().having(rev=None),
        account(DID).having(active=None),
        account(DID).without("active"),
        account(DID).having(status=5),
        account(DID).having(status="x" * 1025),
        identity(DID).having(handle=5),
        identity(DID).without("time"),
        INFO.without("name"),
    ],
    ids=lambda message: message.t,
)
def test_a_wrong_field_makes_any_event_invalid(message: Message) -> None:
    with pytest.raises(InvalidEvent) as caught:
        frames.parse(message.frame)
    assert caught.value.reason is DropReason.INVALID_EVENT


@pytest.mark.parametrize("seq", [0, -1, 2**53, 2**63, "5", None, True, b"5", REMOVED])
@pytest.mark.parametrize("message", [account(DID), identity(DID), sync(), commits()[0]])
def test_a_seq_outside_of_its_range_has_its_own_reason(message: Message, seq: Any) -> None:
    wrong = message.without("seq") if seq is REMOVED else message.at(seq)
    with pytest.raises(InvalidEvent) as caught:
        frames.parse(wrong.frame)
    assert caught.value.reason is DropReason.INVALID_SEQ
    assert frames.peek(wrong.frame).seq is None


@pytest.mark.parametrize("seq", [1, 2**53 - 1])
def test_the_range_of_seq_is_taken_to_its_ends(seq: int) -> None:
    event = account(DID, seq=seq).event
    assert isinstance(event, Account)
    assert event.seq == seq


def test_two_hundred_ops_and_two_million_bytes_are_legal() -> None:
    ops = [{**OP, "path": f"{COLLECTION}/{n}"} for n in range(200)]
    event = commits()[1].having(ops=ops, blocks=bytes(2_000_000)).event
    assert isinstance(event, Commit)
    assert (len(event.ops), len(event.blocks)) == (200, 2_000_000)

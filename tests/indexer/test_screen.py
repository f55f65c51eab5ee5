"""The screen: what passes by is noise for certain, and the cursor gets what it needs of it."""

from __future__ import annotations

import random
import struct

import pytest

from atdata.protocol.namespaces import COLLECTIONS
from atdata.protocol.syntax import Did
from indexer.frames import parse
from indexer.received import Item, Passed, Received
from indexer.screen import Everything, Screen
from tests.indexer.repo_builder import (
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

SOURCE, AT = "wss://relay.test", 7
SEQ = 1 << 33
POST = "app.bsky.feed.post"
OURS = "ac.foundation.dataset.record"
TEXT = {"text": "x" * 400}


def rkey(i: int) -> str:
    return f"3k2yihcrp2c{i:02d}"


def post(repo: Repo, i: int = 0) -> Message:
    return repo.commit(create(f"{POST}/{rkey(i)}", TEXT))


def passed(frames: int, size: int, seq: int, time: str | None = TIME, regressed: int = 0) -> Passed:
    return Passed(SOURCE, 1, AT, frames, size, seq, time, regressed)


def received(frame: bytes, seq: int | None = None, did: str = DID) -> Received:
    """Of a repo where there is a ``seq``."""
    return Received(SOURCE, 1, frame, AT, did=(seq and did.encode()) or None, seq=seq)


def handed_over(items: list[Item]) -> list[bytes]:
    """The frames; no runs are between them."""
    frames = [item.frame for item in items if isinstance(item, Received)]
    assert len(frames) == len(items)
    return frames


def screen(*tracked: str) -> Screen:
    subject = Screen(SOURCE, {did.encode() for did in tracked})
    subject.begin(1)
    return subject


def sorted_by(subject: Screen, *frames: bytes, skim: bool) -> list[Item]:
    """The frames as messages, or as they lie in a stream of WebSocket frames."""
    if not skim:
        for frame in frames:
            subject.take(frame, 0, len(frame))
        return subject.items(AT)
    stream, ends = bytearray(b"before"), []
    for frame in frames:
        stream += websocket(frame)
        ends.append(len(stream))
    at = len(b"before")
    while at < ends[-1]:
        at = subject.skim(stream, at, ends[-1])
        if at < ends[-1]:
            i = next(i for i, end in enumerate(ends) if end > at)
            subject.take(stream, ends[i] - len(frames[i]), ends[i])
            at = ends[i]
    return subject.items(AT)


def websocket(frame: bytes) -> bytes:
    if len(frame) < 126:
        return struct.pack(">BB", 0x82, len(frame)) + frame
    if len(frame) < 65_536:
        return struct.pack(">BBH", 0x82, 126, len(frame)) + frame
    return struct.pack(">BBQ", 0x82, 127, len(frame)) + frame


either = pytest.mark.parametrize("skim", [False, True], ids=["messages", "stream"])


# --- what passes by -------------------------------------------------------------------------------


@either
@pytest.mark.parametrize("seq", [3, 300, 70_000, SEQ, 2**53 - 1])
def test_noise_becomes_runs_with_what_the_cursor_needs(seq: int, skim: bool) -> None:
    repo = Repo()
    frames = [post(repo, 0).at(seq - 2).frame, post(repo, 1).at(seq).frame]
    size = sum(map(len, frames)) + (2 * 4 if skim and seq >= SEQ else 0)
    (run,) = sorted_by(screen(), *frames, skim=skim)
    assert isinstance(run, Passed)
    assert (run.frames, run.seq, run.time, run.regressed) == (2, seq, TIME, 0)
    assert run.bytes in (size, size + 4, size + 8)


@either
def test_every_shape_of_noise_is_skimmed_or_decoded_to_the_same(skim: bool) -> None:
    repo, i = Repo(), iter(range(100))
    first = repo.commit(*(create(f"{POST}/{rkey(next(i))}", TEXT) for _ in range(5)))
    messages = [
        first,
        repo.commit(),
        repo.commit(update(f"{POST}/{rkey(0)}", {"text": "y"})),
        repo.commit(delete(f"{POST}/{rkey(1)}"), create(f"{POST}/{rkey(next(i))}", TEXT)),
        repo.commit(create("app.bsky.feed.like/self", TEXT)),
        repo.commit(create(f"{POST}/{rkey(next(i))}", {"blob": b"x" * 70_000})),
        repo.sync(),
        identity(DID),
        account(DID),
    ]
    for message in messages:
        (run,) = sorted_by(screen(), message.at(SEQ).frame, skim=skim)
        assert isinstance(run, Passed), message
        assert (run.frames, run.seq, run.time) == (1, SEQ, TIME)


@either
def test_seqs_that_do_not_rise_are_counted_and_the_highest_kept(skim: bool) -> None:
    repo = Repo()
    frames = [post(repo, i).at(SEQ + n).frame for i, n in enumerate((5, 3, 4, 4, 9, 1))]
    (run,) = sorted_by(screen(), *frames, skim=skim)
    assert isinstance(run, Passed)
    assert (run.seq, run.regressed) == (SEQ + 9, 3)


# --- what is handed over --------------------------------------------------------------------------


@either
@pytest.mark.parametrize("collection", COLLECTIONS)
@pytest.mark.parametrize("others", [0, 1, 2, 3])
def test_an_op_in_an_indexed_collection_is_never_passed_by(
    collection: str, others: int, skim: bool
) -> None:
    for place in range(others + 1):
        paths = [f"{POST}/{rkey(i)}" for i in range(others)]
        paths.insert(place, f"{collection}/{rkey(9)}")
        frame = Repo().commit(*(create(path, TEXT) for path in paths)).at(SEQ).frame
        assert handed_over(sorted_by(screen(), frame, skim=skim)) == [frame]


@either
def test_frames_of_a_tracked_repo_are_handed_over_in_their_place(skim: bool) -> None:
    noise, ours = Repo(did=Did("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")), Repo()
    frames = [
        post(noise, 0).at(SEQ + 1).frame,
        post(ours, 0).at(SEQ + 2).frame,
        identity(DID).at(SEQ + 3).frame,
        post(noise, 1).at(SEQ + 4).frame,
    ]
    items = sorted_by(screen(DID), *frames, skim=skim)
    assert [type(item) for item in items] == [Passed, Received, Received, Passed]
    assert [item.frame for item in items if isinstance(item, Received)] == frames[1:3]
    assert [item.seq for item in items if isinstance(item, Passed)] == [SEQ + 1, SEQ + 4]


@either
def test_a_repo_whose_first_commit_is_under_way_is_not_passed_by(skim: bool) -> None:
    """Between our first sight of a repo and the writer's word on it, nothing of it is lost."""
    repo, tracked = Repo(), set[bytes]()
    subject = Screen(SOURCE, tracked)
    subject.begin(1)
    first = repo.commit(create(f"{OURS}/a", {})).at(SEQ + 1).frame
    second, third, fourth, fifth = (post(repo, i).at(SEQ + 2 + i).frame for i in range(4))
    items = sorted_by(subject, first, second, skim=skim)
    assert items == [received(first, SEQ + 1), received(second, SEQ + 2)]
    subject.settle(items[:1])
    items += sorted_by(subject, third, skim=skim)  # the second is under way
    assert items[2:] == [received(third, SEQ + 3)]
    tracked.add(DID.encode())
    subject.settle(items[1:])
    items = sorted_by(subject, fourth, skim=skim)
    assert items == [received(fourth, SEQ + 4)]
    tracked.clear()
    subject.settle(items)
    (run,) = sorted_by(subject, fifth, skim=skim)
    assert isinstance(run, Passed)


ORDINARY = post(Repo()).at(SEQ).frame


@either
def test_what_is_cut_or_too_long_is_for_the_writer_to_refuse(skim: bool) -> None:
    for frame in (ORDINARY + b"\xa0", *(ORDINARY[:cut] for cut in range(1, len(ORDINARY), 7))):
        assert handed_over(sorted_by(screen(), frame, skim=skim)) == [frame]


@either
@pytest.mark.parametrize(
    "message",
    [
        Message("#info", {"name": "OutdatedCursor"}),
        Message("#novel", {"seq": SEQ, "did": DID}),
        Message("#commit", {"seq": SEQ}, op=-1),
        account(DID).having(seq=0),
        account(DID).having(seq=2**53),
        account(DID).having(did=7),
    ],
)
def test_anything_but_a_message_of_a_repo_is_handed_over(message: Message, skim: bool) -> None:
    assert handed_over(sorted_by(screen(), message.frame, skim=skim)) == [message.frame]


def test_no_author_can_write_a_seq() -> None:
    """Whatever an author writes into a path or a record, the seq that passes is the frame's own."""
    lies = b"cseq\x1b\x00\x1f\xff\xff\xff\xff\xff\xff"
    fakes = ["faction", "factionfcreatecrevm3k2yihcrp2c2acseq", "drepo", "dtimex"]
    for i, fake in enumerate(fakes):
        path = f"app.bsky.{fake[:20].lower()}.post/{fake[:30]}{i:06d}"
        frame = Repo().commit(create(path, {"text": lies, "seq": 1})).at(SEQ).frame
        (run,) = sorted_by(screen(), frame, skim=True)
        assert isinstance(run, Passed)
        assert run.seq == SEQ


def test_whatever_happens_to_a_frame_the_screen_agrees_with_the_parser() -> None:
    """A frame with bytes changed before its blocks passes by only if the parser reads from it the
    same seq and DID, or refuses it for what is none of the screen's business."""
    rng = random.Random(20260202)
    front = ORDINARY.index(b"fblocks")
    passes = 0
    for _ in range(20_000):
        frame = bytearray(ORDINARY)
        for _ in range(rng.choice((1, 1, 2, 4))):
            frame[rng.randrange(front + 10)] = rng.randrange(256)
        subject = screen()
        (item,) = sorted_by(subject, bytes(frame), skim=True)
        if isinstance(item, Passed):
            passes += 1
            header_and_seq = frame.index(b"cseq\x1b") + 5
            assert item.seq == int.from_bytes(frame[header_and_seq : header_and_seq + 8])
    assert 1_000 < passes < 19_000


def test_without_a_screen_everything_is_handed_over() -> None:
    subject = Everything(SOURCE)
    subject.begin(1)
    stream = bytearray(websocket(ORDINARY))
    assert subject.skim(stream, 0, len(stream)) == 0
    subject.take(stream, 4, len(stream))
    stream[:] = bytes(len(stream))
    assert subject.items(AT) == [received(ORDINARY)]
    assert parse(ORDINARY)

"""What holds for any bytes that a socket, a PDS or an author can send.

``check`` takes the bytes for each thing that they could be: a frame, its CAR, a commit object, a
tree node, a record. Nothing but the named errors leaves a parser; what is accepted is canonical;
and what the screen passes over is what the full path calls noise. The fuzzer looks for bytes for
which this is not so; those that it ever found are kept in ``found/`` and are tests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, partial
from typing import TypeVar

import libipld

from atdata.protocol import car, cbor
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, InvalidCar, InvalidCbor
from atdata.protocol.namespaces import COLLECTIONS, kind_of
from indexer import arrow, events, frames, mst, mst_edit
from indexer.commit import PublicKey, SignedCommit
from indexer.drops import InvalidEvent, Refused
from indexer.events import Action, Commit, RepoOp, Sync
from indexer.received import Passed
from indexer.screen import Screen
from indexer.tables import Rows
from indexer.verify import Rejected, VerifiedCommit, verify_commit, verify_repo, verify_sync
from indexer.versions import Version, judged
from tests.indexer.repo_builder import DID, K256, NOW_US, Repo, create, unchecked_car

TRACKED = DID
SOURCE = "wss://relay.invalid"
RECORD = cbor.encode({"n": 1})

Result = TypeVar("Result")


def check(data: bytes) -> None:
    """Raises ``AssertionError``, or whatever a parser should not have let through."""
    check_frame(data)
    check_screen(data)
    check_objects(data)
    check_tree(data)


def unless(
    refused: type[Exception] | tuple[type[Exception], ...], read: Callable[[], Result]
) -> Result | None:
    """What ``read`` gives, None if it raised what it may."""
    try:
        return read()
    except refused as error:
        said = str(error)
    assert len(said) < 2_000, "an error repeats what it was given"
    return None


# --- frames -----------------------------------------------------------------------------------


@cache
def key() -> PublicKey:
    """Everybody signs with it."""
    return K256.public


def check_frame(data: bytes) -> None:
    peek = unless(InvalidEvent, lambda: frames.peek(data))
    event = unless(InvalidEvent, lambda: frames.parse(data))
    if event is None:
        return
    assert peek is not None, "the lenient reader refuses what the strict one takes"
    if isinstance(event, events.Commit | events.Sync | events.Identity | events.Account):
        assert (peek.seq, peek.did, peek.time) == (event.seq, event.did, event.time)
    if isinstance(event, Commit):
        check_commit(event)
        verify_repo(event.blocks, event.did, key(), now_us=NOW_US)
    elif isinstance(event, Sync):
        verify_sync(event, key(), now_us=NOW_US)


def check_commit(event: Commit) -> None:
    """What is proved is what the frame holds: each op's record, by its CID."""
    verified = verify_commit(event, key(), now_us=NOW_US)
    if not isinstance(verified, VerifiedCommit):
        return
    assert (verified.did, verified.rev) == (event.did, event.rev)
    assert len(verified.ops) == len(event.ops)
    for op, claimed in zip(verified.ops, event.ops, strict=True):
        assert (op.action, f"{op.collection}/{op.rkey}") == (claimed.action, claimed.path)
        assert (op.record is None) == (claimed.action is Action.DELETE)
        if op.record is not None:
            assert Cid.of(op.record) == claimed.cid
            check_record(op.record)


# --- the screen -------------------------------------------------------------------------------

_LINK = b"\xd8\x2a\x58\x25\x00" + Cid.of(b"any").raw
_AFTER_BLOCKS = b"fcommit" + _LINK + b"frebase\xf4" + b"ftooBig\xf4"
_TAILS = (_AFTER_BLOCKS, _AFTER_BLOCKS + b"hprevData" + _LINK)


def check_screen(data: bytes) -> None:
    """Whether as a message or as it lies in a stream: what passes by is noise, and the cursor gets
    the frame's own seq. What is behind a commit's blocks is not looked at (docs/limits.md): damage
    there goes unnoticed, and that the commit was too big."""
    passed = [item for item in (_as_message(data), _as_stream(data)) if item is not None]
    assert len(passed) != 1, "a message and a stream are not judged alike"
    for item in passed:
        assert item.frames == 1
        whole = [frame for frame in (data, *_with_tails(data)) if _noise(frame, item)]
        assert whole, "passed over, and no noise"


def _as_message(data: bytes) -> Passed | None:
    screen = Screen(SOURCE, {TRACKED.encode()})
    screen.begin(1)
    screen.take(data, 0, len(data))
    (item,) = screen.items(0)
    return item if isinstance(item, Passed) else None


def _as_stream(data: bytes) -> Passed | None:
    screen = Screen(SOURCE, {TRACKED.encode()})
    screen.begin(1)
    stream = websocket_frame(data)
    if screen.skim(stream, 0, len(stream)) == 0:
        screen.take(stream, len(stream) - len(data), len(stream))
    (item,) = screen.items(0)
    return item if isinstance(item, Passed) else None


def websocket_frame(data: bytes) -> bytes:
    """As a server sends it: whole, binary, unmasked."""
    if len(data) < 126:
        return struct.pack(">BB", 0x82, len(data)) + data
    if len(data) < 65_536:
        return struct.pack(">BBH", 0x82, 126, len(data)) + data
    return struct.pack(">BBQ", 0x82, 127, len(data)) + data


def _with_tails(data: bytes) -> list[bytes]:
    return [data[: -len(tail)] + tail for tail in _TAILS if len(data) > len(tail)]


def _noise(frame: bytes, item: Passed) -> bool:
    """Whether the full decoder would say so, of the same seq and time."""
    peek = unless(InvalidEvent, lambda: frames.peek(frame))
    if peek is None or peek.did is None or peek.did == TRACKED:
        return False
    if (peek.op, peek.seq, peek.time or None) != (1, item.seq, item.time):
        return False
    if peek.t != "#commit":
        return peek.t in ("#sync", "#identity", "#account")
    ops = libipld.decode_dag_cbor_multi(frame)[1].get("ops")
    paths = [op.get("path") for op in ops if isinstance(op, dict)] if isinstance(ops, list) else []
    return not any(isinstance(path, str) and kind_of(path.partition("/")[0]) for path in paths)


# --- what a frame holds -----------------------------------------------------------------------


def check_objects(data: bytes) -> None:
    """CAR, commit object and record, by themselves: what is read is the one encoding of it."""
    file = unless((InvalidCar, CidMismatch), lambda: car.read(data))
    if file is not None:
        blocks = [(Cid(raw), block) for raw, block in file.blocks.items()]
        again = car.write(file.roots, blocks)
        assert again == data or len(again) < len(data), "shorter only where a block came twice"
    signed = unless(Refused, lambda: SignedCommit.parse(data))
    value = unless(InvalidCbor, lambda: cbor.decode(data))
    if value is not None:
        assert cbor.encode(value) == data
        unless(InvalidCbor, lambda: cbor.to_json(value))
    if signed is not None:
        assert isinstance(value, dict)
        assert value.pop("sig") == signed.sig
        assert (value["did"], value["rev"]) == (signed.did, signed.rev)
        assert (value["data"], value["prev"]) == (signed.data, signed.prev)
        assert cbor.encode(value) == signed.unsigned
    if isinstance(value, dict):
        check_record(data)


def check_record(block: bytes) -> None:
    """In every collection: refused by name, or rows that the database's types can hold."""
    for collection in COLLECTIONS:
        version = Version(DID, collection, "self", Cid.of(block), "3jzfcijpj2z2a", block)
        rows = judged(version, "", NOW_US)
        if isinstance(rows, Rows):
            _check_rows(rows)
        else:
            arrow.table("invalid_records", [rows])


def _check_rows(rows: Rows) -> None:
    arrow.table("records", [rows.record])
    arrow.table(arrow.DETAIL_TABLES[type(rows.detail)], [rows.detail])
    if rows.tags:
        arrow.table("dataset_tags", rows.tags)
    if rows.fields:
        arrow.table("schema_fields", rows.fields)


# --- the tree ---------------------------------------------------------------------------------


def check_tree(data: bytes) -> None:
    """A node that is taken is the one encoding of what it holds; edits of it can be undone; and as
    the root of a signed tree it proves what it holds, no more."""
    node = unless(mst.InvalidMst, lambda: mst.parse_node(data))
    if node is None:
        return
    keys, values, links = node
    assert mst.encode_node(keys, values, links) == data
    root = Cid.of(data)
    tree = unless(mst.InvalidMst, lambda: mst.load({root.raw: data}, root))
    if tree is None:
        return
    assert mst.root_cid(tree) == root
    for raw, value in zip(keys, values, strict=True):
        path = raw.decode("ascii")
        assert mst.find(tree, path) == Cid(value)
        without = unless(mst.InvalidMst, partial(mst_edit.delete, tree, path))
        if without is None or isinstance(without, bytes):
            continue
        again = unless(mst.InvalidMst, partial(mst_edit.insert, without, path, Cid(value)))
        assert again is None or mst.root_cid(again) == root
    unless(mst.InvalidMst, lambda: mst_edit.insert(tree, "a.b.c/new", root))
    check_signed_tree(data, root, keys, values)


def check_signed_tree(
    data: bytes, root: Cid, keys: tuple[bytes, ...], values: tuple[bytes, ...]
) -> None:
    """A first commit that is signed over this tree, whose ops create all that it holds."""
    repo = Repo()
    message = repo.commit(create("a.b.c/a", RECORD), data=root)
    event = message.event
    assert isinstance(event, Commit)
    blocks = {event.commit.raw: message.blocks[event.commit.raw], root.raw: data}
    blocks[Cid.of(RECORD).raw] = RECORD
    ops = tuple(
        RepoOp(Action.CREATE, key.decode("ascii"), Cid(value), None)
        for key, value in zip(keys, values, strict=True)
    )
    signed = Commit(
        seq=1,
        did=event.did,
        commit=event.commit,
        rev=event.rev,
        since=None,
        blocks=unchecked_car([event.commit], blocks.items()),
        ops=ops[: events.MAX_OPS],
        prev_data=None,
        too_big=False,
        time=event.time,
    )
    verified = verify_commit(signed, key(), now_us=NOW_US)
    if isinstance(verified, Rejected):
        assert verified.head is not None, verified
        return
    assert verified.data == root
    assert {
        f"{op.collection}/{op.rkey}".encode(): op.record for op in verified.ops
    } == dict.fromkeys(keys, RECORD)

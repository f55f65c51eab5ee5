"""Verification: each test breaks one thing in an otherwise valid, signed commit, and nothing else.

Every check is thereby necessary: without it, the test that breaks it sees another answer.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from atdata.protocol import cbor
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.syntax import Did, Tid
from indexer import frames, mst, mst_edit
from indexer.drops import DropReason, InvalidEvent
from indexer.events import Commit, Sync
from indexer.verify import (
    Chain,
    Head,
    Rejected,
    VerifiedCommit,
    VerifiedOp,
    VerifiedRepo,
    chain,
    verify_commit,
    verify_repo,
    verify_sync,
)
from tests.indexer.repo_builder import (
    COLLECTION,
    DID,
    K256,
    NOW_US,
    P256,
    Message,
    Repo,
    SigningKey,
    Write,
    create,
    delete,
    unchecked_car,
    update,
)

OTHER_DID = Did("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")
OTHER = Cid.of(b"other")
MINUTES_5 = 5 * 60 * 1_000_000
TREE = {f"{COLLECTION}/{n}": {"n": n} for n in range(40)}
UPDATED, DELETED, CREATED = f"{COLLECTION}/7", f"{COLLECTION}/21", f"{COLLECTION}/new"
WRITES = (update(UPDATED, {"n": -7}), delete(DELETED), create(CREATED, {"n": 100}))


def grown(key: SigningKey = K256) -> Repo:
    """A repo of forty records."""
    repo = Repo(key=key)
    repo.commit(*(create(path, record) for path, record in TREE.items()))
    return repo


def committed(*writes: Write, **signed: Any) -> Message:
    """The second commit of such a repo."""
    return grown().commit(*(writes or WRITES), **signed)


def verdict(
    message: Message, key: SigningKey = K256, now_us: int = NOW_US
) -> VerifiedCommit | Rejected:
    event = message.event
    assert isinstance(event, Commit)
    return verify_commit(event, key.public, now_us=now_us)


def reason(message: Message, key: SigningKey = K256, now_us: int = NOW_US) -> DropReason:
    """Why it is rejected, after its signature was found good."""
    rejected = verdict(message, key, now_us)
    assert isinstance(rejected, Rejected), "it was accepted"
    assert rejected.head is not None, rejected
    assert (rejected.head.did, rejected.head.rev) == (DID, message.body["rev"])
    return rejected.reason


def unsigned_reason(message: Message, key: SigningKey = K256) -> DropReason:
    """Why it is rejected, without the signature vouching for anything."""
    rejected = verdict(message, key)
    assert isinstance(rejected, Rejected), "it was accepted"
    assert rejected.head is None
    assert not rejected.desynchronizes
    return rejected.reason


def with_op(message: Message, i: int, **fields: Any) -> Message:
    ops = [dict(op) for op in message.body["ops"]]
    ops[i].update(fields)
    return message.having(ops=ops)


# --- what is accepted -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", [K256, P256], ids=lambda key: key.curve)
def test_a_valid_commit_is_accepted_with_all_that_it_proves(key: SigningKey) -> None:
    repo = grown(key)
    since, before = repo.rev, repo.data
    message = repo.commit(*WRITES)
    blocks = [cbor.encode({"n": -7}), cbor.encode({"n": 100})]
    assert verdict(message, key) == VerifiedCommit(
        did=DID,
        rev=message.body["rev"],
        since=since,
        data=repo.data,
        prev_data=before,
        ops=(
            VerifiedOp("update", COLLECTION, "7", Cid.of(blocks[0]), blocks[0]),  # type: ignore[arg-type]
            VerifiedOp("delete", COLLECTION, "21", None, None),  # type: ignore[arg-type]
            VerifiedOp("create", COLLECTION, "new", Cid.of(blocks[1]), blocks[1]),  # type: ignore[arg-type]
        ),
    )


def test_a_first_commit_proves_its_whole_tree() -> None:
    verified = verdict(Repo().commit(*(create(path, record) for path, record in TREE.items())))
    assert isinstance(verified, VerifiedCommit)
    assert verified.prev_data is None
    assert len(verified.ops) == 40


def test_commits_without_ops_are_accepted() -> None:
    repo = Repo()
    assert isinstance(verdict(repo.commit()), VerifiedCommit)
    assert isinstance(verdict(repo.commit()), VerifiedCommit)
    assert isinstance(verdict(grown().commit()), VerifiedCommit)


def test_an_update_that_changes_nothing_is_accepted() -> None:
    verified = verdict(committed(update(UPDATED, TREE[UPDATED])))
    assert isinstance(verified, VerifiedCommit)


def test_two_hundred_ops_are_accepted() -> None:
    writes = [create(f"{COLLECTION}/many-{n}", {"n": n}) for n in range(200)]
    assert isinstance(verdict(committed(*writes)), VerifiedCommit)


def test_any_history_is_accepted_commit_by_commit() -> None:
    rng = random.Random(7)
    repo, model = Repo(key=P256), dict[str, bytes]()
    for _ in range(150):
        writes, used = list[Write](), set[str]()
        for n in range(rng.choice((0, 1, 1, 2, 6))):
            path = f"{COLLECTION}/{rng.randrange(60)}"
            record = {"n": n, "x": rng.random().hex()}
            if path in used:
                continue
            used.add(path)
            known = path in model
            writes.append(
                delete(path)
                if known and rng.random() < 0.6
                else (update if known else create)(path, record)
            )
        rev, data = repo.rev, repo.data
        verified = verdict(repo.commit(*writes), P256)
        assert isinstance(verified, VerifiedCommit), verified
        assert chain(verified, rev, data if rev else None) is (
            Chain.CONTINUES if rev else Chain.FIRST
        )
        for op in verified.ops:
            path = f"{op.collection}/{op.rkey}"
            if op.record is None:
                del model[path]
            else:
                model[path] = op.record
    assert {path: Cid.of(block) for path, block in model.items()} == repo.paths != {}


# --- step 1: bytes and envelope -------------------------------------------------------------------


def test_blocks_must_be_a_car() -> None:
    for blocks in (b"", b"\xff" * 40, committed().body["blocks"][:-1]):
        assert unsigned_reason(committed().having(blocks=blocks)) is DropReason.INVALID_CAR


def test_the_car_has_exactly_one_root() -> None:
    message = committed()
    commit, pairs = message.body["commit"], message.blocks.items()
    for roots in ([], [commit, commit], [commit, OTHER]):
        several = message.having(blocks=unchecked_car(roots, pairs))
        assert unsigned_reason(several) is DropReason.INVALID_CAR


def test_the_root_is_the_commit_of_the_envelope() -> None:
    message = committed().having(commit=OTHER)
    assert unsigned_reason(message) is DropReason.ENVELOPE_MISMATCH


def test_the_root_is_a_link_to_dag_cbor() -> None:
    """The same block under the codec of blobs is another link, which no commit object has."""

    def renamed(message: Message, commit: Cid) -> tuple[Message, Cid]:
        raw = Cid(Cid.of(b"", RAW).raw[:4] + commit.digest)
        blocks = message.blocks
        blocks[raw.raw] = blocks.pop(commit.raw)
        return message.having(blocks=unchecked_car([raw], blocks.items())), raw

    repo = grown()
    commit, _ = repo.signed_commit()
    written = committed()
    message, root = renamed(written, written.body["commit"])
    assert unsigned_reason(message.having(commit=root)) is DropReason.INVALID_CAR
    announced = sync_verdict(renamed(repo.sync(), commit)[0])
    whole = repo_verdict(renamed(Message("", {"blocks": repo.car()}), commit)[0].body["blocks"])
    for refused in (announced, whole):
        assert isinstance(refused, Rejected)
        assert refused.reason is DropReason.INVALID_CAR


def test_the_commit_block_is_there() -> None:
    message = committed()
    blocks = message.blocks
    del blocks[message.body["commit"].raw]
    assert unsigned_reason(message.with_blocks(blocks)) is DropReason.INVALID_CAR


def test_every_block_hashes_to_its_cid() -> None:
    message = committed()
    message = message.with_blocks({**message.blocks, Cid.of(b"spare").raw: b"spare"})
    assert isinstance(verdict(message), VerifiedCommit)
    for raw, block in message.blocks.items():
        flipped = block[:-1] + bytes((block[-1] ^ 1,))
        wrong = message.with_blocks({**message.blocks, raw: flipped})
        assert unsigned_reason(wrong) is DropReason.BLOCK_HASH_MISMATCH


def test_the_commit_object_has_version_3() -> None:
    assert unsigned_reason(committed(version=2)) is DropReason.INVALID_COMMIT


def test_the_signed_did_is_the_envelopes() -> None:
    message = committed(did=OTHER_DID)
    assert unsigned_reason(message) is DropReason.ENVELOPE_MISMATCH
    assert isinstance(verdict(message.having(repo=OTHER_DID)), VerifiedCommit)


def test_the_signed_rev_is_the_envelopes() -> None:
    message = committed()
    later = Tid.from_parts(NOW_US, 0)
    assert unsigned_reason(message.having(rev=later)) is DropReason.ENVELOPE_MISMATCH


# --- step 2: the signature ------------------------------------------------------------------------


@pytest.mark.parametrize("key", [K256, P256], ids=lambda key: key.curve)
def test_the_signature_is_the_identitys(key: SigningKey) -> None:
    message = grown(key).commit(*WRITES)
    for other in (SigningKey("k256", 99), SigningKey("p256", 99)):
        assert unsigned_reason(message, other) is DropReason.BAD_SIGNATURE


def test_the_signature_covers_every_field_of_the_commit_object() -> None:
    message = committed()
    signed = cbor.decode(message.blocks[message.body["commit"].raw])
    assert isinstance(signed, dict)
    assert isinstance(verdict(committed(sig=signed["sig"])), VerifiedCommit)
    for fields in ({"data": OTHER}, {"prev": OTHER}, {"novel": 1}):
        message = committed(sig=signed["sig"], **fields)
        assert unsigned_reason(message) is DropReason.BAD_SIGNATURE


def test_the_signature_is_low_s_and_compact() -> None:
    repo = grown()
    rev = repo.next_rev()
    for write in WRITES:
        repo._apply(write)
    body: dict[str, cbor.Data] = {
        "version": 3,
        "did": DID,
        "rev": rev,
        "data": repo.data,
        "prev": None,
    }
    unsigned = cbor.encode(body)
    assert isinstance(verdict(committed(sig=K256.sign(unsigned))), VerifiedCommit)
    for sig in (K256.sign(unsigned, high_s=True), K256.sign_der(unsigned), b"", bytes(64)):
        assert unsigned_reason(committed(sig=sig)) is DropReason.BAD_SIGNATURE


def test_nothing_behind_a_bad_signature_is_looked_at() -> None:
    """Whatever else is wrong, too: the answer is the signature, and no head."""
    stranger = SigningKey("k256", 99)
    for message in (
        committed(key=stranger).having(tooBig=True),
        committed(key=stranger, data=OTHER),
        committed(key=stranger).without("prevData"),
        committed(key=stranger).having(ops=[]),
        committed(key=stranger, rev=Tid.from_parts(2 * NOW_US, 0)),
    ):
        assert unsigned_reason(message) is DropReason.BAD_SIGNATURE


# --- step 7: revs ---------------------------------------------------------------------------------


def test_a_rev_is_at_most_five_minutes_ahead() -> None:
    message = grown().commit(*WRITES, rev=Tid.from_parts(NOW_US + MINUTES_5, 0))
    assert isinstance(verdict(message), VerifiedCommit)
    assert reason(message, now_us=NOW_US - 1) is DropReason.FUTURE_REV
    rejected = verdict(message, now_us=NOW_US - 1)
    assert isinstance(rejected, Rejected)
    assert not rejected.desynchronizes


def test_a_rev_rises_above_since() -> None:
    message = committed()
    for since in (message.body["rev"], Tid.from_parts(NOW_US, 0)):
        assert reason(message.having(since=since)) is DropReason.STALE_REV


# --- step 3: shape --------------------------------------------------------------------------------


def test_a_commit_that_is_too_big_proves_only_its_head() -> None:
    assert reason(committed().having(tooBig=True)) is DropReason.TOO_BIG


@pytest.mark.parametrize(
    ("i", "fields"),
    [
        (0, {"prev": None}),
        (0, {"cid": None}),
        (1, {"prev": None}),
        (1, {"cid": OTHER}),
        (2, {"prev": OTHER}),
        (2, {"cid": None}),
    ],
)
def test_each_action_has_its_cids(i: int, fields: dict[str, Any]) -> None:
    assert reason(with_op(committed(), i, **fields)) is DropReason.INVALID_OP


def test_no_path_is_named_twice() -> None:
    """Such a pair can undo to the right root all the same."""
    message = committed(update(UPDATED, {"n": -7}))
    (op,) = message.body["ops"]
    twice = message.having(ops=[{**op, "prev": OTHER}, op])
    assert reason(twice) is DropReason.INVALID_OP


# --- step 4: the tree holds what the ops say ------------------------------------------------------


@pytest.mark.parametrize("i", [0, 2])
def test_the_tree_holds_the_cid_of_the_op(i: int) -> None:
    assert reason(with_op(committed(), i, cid=OTHER)) is DropReason.OP_CID_MISMATCH


def test_a_created_path_is_in_the_tree() -> None:
    message = with_op(committed(create(CREATED, {})), 0, path=f"{COLLECTION}/newer")
    assert reason(message) is DropReason.OP_CID_MISMATCH


def test_a_deleted_path_is_not_in_the_tree() -> None:
    message = committed(update(UPDATED, {}))
    prev = message.body["ops"][0]["prev"]
    gone = {"action": "delete", "path": UPDATED, "cid": None, "prev": prev}
    assert reason(message.having(ops=[gone])) is DropReason.OP_CID_MISMATCH


@pytest.mark.parametrize("i", [0, 2])
def test_the_record_is_in_the_car(i: int) -> None:
    message = committed()
    blocks = message.blocks
    del blocks[message.body["ops"][i]["cid"].raw]
    assert reason(message.with_blocks(blocks)) is DropReason.MISSING_BLOCK


def test_the_nodes_of_the_proof_are_in_the_car() -> None:
    message = committed()
    records = {op["cid"].raw for op in message.body["ops"] if op["cid"]}
    nodes = message.blocks.keys() - records - {message.body["commit"].raw}
    outcomes = []
    for raw in sorted(nodes):
        blocks = message.blocks
        del blocks[raw]
        verified = verdict(message.with_blocks(blocks))
        if isinstance(verified, VerifiedCommit):
            assert verified == verdict(message), "a spare node decides nothing"
        else:
            outcomes.append(verified.reason)
    assert len(outcomes) >= 3
    assert set(outcomes) == {DropReason.MISSING_BLOCK}


def test_a_signed_tree_that_breaks_the_rules_is_refused() -> None:
    path = f"{COLLECTION}/a"
    record = cbor.encode({})
    for key in (path.encode() + b"\xff", b"noslash"):
        entry: dict[str, cbor.Data] = {"p": 0, "k": key, "v": Cid.of(record), "t": None}
        root = cbor.encode({"l": None, "e": [entry]})
        message = grown().commit(create(path, record), data=Cid.of(root))
        blocks = {**message.blocks, Cid.of(root).raw: root}
        assert reason(message.with_blocks(blocks)) is DropReason.INVALID_MST


# --- step 5: the ops are the whole difference -----------------------------------------------------


@pytest.mark.parametrize("i", range(3))
def test_no_op_is_left_out(i: int) -> None:
    message = committed()
    ops = [op for j, op in enumerate(message.body["ops"]) if j != i]
    assert reason(message.having(ops=ops)) is DropReason.INVERSION_MISMATCH


def test_all_ops_left_out_is_noticed() -> None:
    assert reason(committed().having(ops=[])) is DropReason.INVERSION_MISMATCH


def test_no_delete_is_added() -> None:
    message = committed()
    gone = {"action": "delete", "path": f"{UPDATED}-x", "cid": None, "prev": OTHER}
    added = message.having(ops=[*message.body["ops"], gone])
    assert reason(added) in {DropReason.INVERSION_MISMATCH, DropReason.MISSING_BLOCK}


def test_no_record_that_was_there_before_is_called_new() -> None:
    repo = grown()
    message = repo.commit(update(UPDATED, {"n": -7}))
    cid = message.body["ops"][0]["cid"]
    new = {"action": "create", "path": UPDATED, "cid": cid}
    called = message.having(ops=[new]).with_blocks({**message.blocks, **dict(all_nodes(repo))})
    assert reason(called) is DropReason.INVERSION_MISMATCH


def all_nodes(repo: Repo) -> list[tuple[bytes, bytes]]:
    return list(mst.serialise(repo.tree))


@pytest.mark.parametrize("i", [0, 1])
def test_prev_is_what_the_tree_held(i: int) -> None:
    assert reason(with_op(committed(), i, prev=OTHER)) is DropReason.INVERSION_MISMATCH


def test_prev_data_is_what_the_ops_undo_to() -> None:
    for forged in (OTHER, mst.EMPTY_ROOT, grown().commit().body["prevData"]):
        message = committed()
        if forged != message.body["prevData"]:
            assert reason(message.having(prevData=forged)) is DropReason.INVERSION_MISMATCH


def test_ops_are_undone_in_the_order_that_senders_prove() -> None:
    """Deletes first, then by path. A sender may leave out every node that undoing in this order
    does not read; in another order some of them would be missing."""
    left_out = 0
    for seed in range(40):
        rng = random.Random(seed)
        repo = grown()
        old = rng.sample(sorted(TREE), 4)
        new = [f"{COLLECTION}/{rng.randrange(10**6)}" for _ in range(4)]
        writes = [*(create(path, {}) for path in new), *map(delete, old)]
        rng.shuffle(writes)
        message = repo.commit(*writes)
        smallest = message.with_blocks(smallest_proof(message))
        assert isinstance(verdict(smallest), VerifiedCommit), seed
        left_out += len(message.blocks) - len(smallest.blocks)
    assert left_out >= 5


def smallest_proof(message: Message) -> dict[bytes, bytes]:
    """The blocks without every node that the specified order can do without."""
    event = message.event
    assert isinstance(event, Commit)
    blocks, needed = message.blocks, message.blocks
    signed = cbor.decode(blocks[event.commit.raw])
    assert isinstance(signed, dict)
    data = signed["data"]
    assert isinstance(data, Cid)
    records = {op.cid.raw for op in event.ops if op.cid}
    for raw in blocks.keys() - records - {event.commit.raw, data.raw}:
        fewer = {other: block for other, block in needed.items() if other != raw}
        try:
            tree = mst.load(fewer, data)
            for op in event.ops:
                mst.find(tree, op.path)
            for op in sorted((op for op in event.ops if op.cid is None), key=lambda op: op.path):
                assert op.prev is not None
                tree = mst_edit.insert(tree, op.path, op.prev)
            for op in sorted((op for op in event.ops if op.cid), key=lambda op: op.path):
                tree = mst_edit.delete(tree, op.path)
        except mst.InvalidMst:
            continue
        if mst.root_cid(tree) == event.prev_data:
            needed = fewer
    return needed


def test_a_commit_without_prev_data_is_its_own_case() -> None:
    assert reason(committed().without("prevData")) is DropReason.MISSING_PREV_DATA
    # as senders before Sync 1.1 do, who give the ops no prev either
    legacy = [{**op, "prev": None} for op in committed().body["ops"]]
    old = committed().without("prevData").having(ops=legacy)
    assert reason(old) is DropReason.MISSING_PREV_DATA


def test_a_commit_that_only_says_it_is_the_first_is_refused() -> None:
    message = committed(create(CREATED, {})).without("prevData").having(since=None)
    assert reason(message) is DropReason.INVERSION_MISMATCH


# --- no byte and no field changes what is proved --------------------------------------------------


def test_no_flipped_bit_of_a_frame_proves_anything_else() -> None:
    """A damaged frame is refused, or proves the same. (``since`` is the chain's to judge: no
    signature covers it.)"""
    rng = random.Random(11)
    frame = committed().frame
    whole = verdict(committed())
    assert isinstance(whole, VerifiedCommit)
    same = refused = 0
    for _ in range(3_000):
        damaged = bytearray(frame)
        damaged[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
        try:
            event = frames.parse(bytes(damaged))
        except InvalidEvent:
            continue
        if not isinstance(event, Commit):
            continue
        found = verify_commit(event, K256.public, now_us=NOW_US)
        if isinstance(found, VerifiedCommit):
            same += 1
            assert replace(found, since=whole.since) == whole
        else:
            refused += 1
    assert same > 10
    assert refused > 1_000


# --- step 6: the chain ----------------------------------------------------------------------------


def test_the_chain_tells_where_a_commit_stands() -> None:
    repo = grown()
    rev, data = repo.rev, repo.data
    verified = verdict(repo.commit(*WRITES))
    assert isinstance(verified, VerifiedCommit)
    assert rev is not None
    older, newer = Tid.from_parts(1, 0), Tid.from_parts(NOW_US, 0)
    assert chain(verified, None, None) is Chain.FIRST
    assert chain(verified, rev, None) is Chain.FIRST
    assert chain(verified, rev, data) is Chain.CONTINUES
    assert chain(verified, rev, OTHER) is Chain.BROKEN
    assert chain(verified, older, data) is Chain.BROKEN
    assert chain(replace(verified, since=None), rev, data) is Chain.BROKEN
    assert chain(replace(verified, prev_data=None), rev, data) is Chain.BROKEN
    assert chain(verified, verified.rev, verified.data) is Chain.DUPLICATE
    assert chain(verified, verified.rev, OTHER) is Chain.FORKED
    assert chain(verified, newer, data) is Chain.STALE
    assert chain(verified, newer, verified.data) is Chain.STALE


# --- sync -----------------------------------------------------------------------------------------


def sync_verdict(message: Message, key: SigningKey = K256, now_us: int = NOW_US) -> Head | Rejected:
    event = message.event
    assert isinstance(event, Sync)
    return verify_sync(event, key.public, now_us=now_us)


def test_a_sync_gives_the_head() -> None:
    repo = grown()
    assert sync_verdict(repo.sync()) == Head(DID, repo.rev, repo.data)  # type: ignore[arg-type]


def test_a_sync_is_checked_like_a_commit() -> None:
    repo = grown()
    roots = unchecked_car([], [])
    for message, expected in (
        (repo.sync(version=2), DropReason.INVALID_COMMIT),
        (repo.sync(did=OTHER_DID), DropReason.ENVELOPE_MISMATCH),
        (repo.sync().having(did=OTHER_DID), DropReason.ENVELOPE_MISMATCH),
        (repo.sync().having(rev=Tid.from_parts(NOW_US, 0)), DropReason.ENVELOPE_MISMATCH),
        (repo.sync(key=P256), DropReason.BAD_SIGNATURE),
        (repo.sync().having(blocks=roots), DropReason.INVALID_CAR),
    ):
        rejected = sync_verdict(message)
        assert isinstance(rejected, Rejected)
        assert (rejected.reason, rejected.head) == (expected, None)


def test_a_sync_from_the_future_is_refused() -> None:
    rejected = sync_verdict(grown().sync(), now_us=NOW_US - 3_600_000_000 - MINUTES_5 - 1)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is DropReason.FUTURE_REV


# --- whole repositories ---------------------------------------------------------------------------


def repo_verdict(data: bytes, **given: Any) -> VerifiedRepo | Rejected:
    did, key = given.get("did", DID), given.get("key", K256)
    now_us, collections = given.get("now_us", NOW_US), given.get("collections")
    return verify_repo(data, did, key.public, now_us=now_us, collections=collections)


def test_a_whole_repo_is_read_path_by_path() -> None:
    repo = grown()
    verified = repo_verdict(repo.car())
    assert isinstance(verified, VerifiedRepo)
    assert (verified.did, verified.rev, verified.data) == (DID, repo.rev, repo.data)
    assert dict(verified.records) == repo.paths
    assert list(verified.records) == sorted(repo.paths)
    assert verified.record(UPDATED) == cbor.encode(TREE[UPDATED])


def test_an_empty_repo_is_whole() -> None:
    repo = Repo()
    repo.commit()
    verified = repo_verdict(repo.car())
    assert isinstance(verified, VerifiedRepo)
    assert verified.records == {}


def test_a_repo_cut_between_any_two_blocks_is_never_whole() -> None:
    message = Message("", {"blocks": grown().car()})
    pairs = list(message.blocks.items())
    refused = 0
    for cut in range(len(pairs)):
        rejected = repo_verdict(message.with_blocks(dict(pairs[:cut])).body["blocks"])
        assert isinstance(rejected, Rejected)
        assert rejected.reason is (DropReason.MISSING_BLOCK if cut else DropReason.INVALID_CAR)
        refused += 1
    assert refused == len(pairs) > 50


def test_a_repo_whose_tree_is_out_of_order_is_refused() -> None:
    """Of two keys, the lower one hangs after the higher, or before it, as it must."""
    keys = {n: f"{COLLECTION}/{n}".encode() for n in range(100)}
    low = next(key for key in keys.values() if mst.key_height(key) == 0)
    high = next(key for key in keys.values() if mst.key_height(key) == 1 and key > low)
    record = cbor.encode({})
    value = Cid.of(record).raw
    leaf = mst.encode_node((low,), (value,), (None, None))
    linked = Cid.of(leaf).raw
    verdicts = []
    for links in ((linked, None), (None, linked)):
        root = mst.encode_node((high,), (value,), links)
        commit, block = Repo(rev=Repo().next_rev()).signed_commit(data=Cid.of(root))
        blocks = {commit.raw: block, **{Cid.of(b).raw: b for b in (root, leaf, record)}}
        verdicts.append(repo_verdict(unchecked_car([commit], blocks.items())))
    whole, refused = verdicts
    assert isinstance(whole, VerifiedRepo)
    assert list(whole.records) == [low.decode(), high.decode()]
    assert isinstance(refused, Rejected)
    assert refused.reason is DropReason.INVALID_MST


def test_a_repo_cut_anywhere_else_is_no_car() -> None:
    data = grown().car()
    for cut in range(0, len(data), 97):
        assert isinstance(repo_verdict(data[:cut]), Rejected)


def test_a_repo_of_too_many_blocks_is_refused() -> None:
    """Records may be many, but not without end; a commit has a limit of its own."""
    data = grown().car()
    count = len(Message("", {"blocks": data}).blocks)
    for limit, accepted in ((count, True), (count - 1, False)):
        verified = verify_repo(data, DID, K256.public, now_us=NOW_US, max_blocks=limit)
        assert isinstance(verified, VerifiedRepo) is accepted


def test_a_repo_is_of_its_did_and_key_and_time() -> None:
    data = grown().car()
    for given, expected in (
        ({"did": OTHER_DID}, DropReason.ENVELOPE_MISMATCH),
        ({"key": P256}, DropReason.BAD_SIGNATURE),
        ({"now_us": NOW_US - 3_600_000_000 - MINUTES_5 - 1}, DropReason.FUTURE_REV),
    ):
        rejected = repo_verdict(data, **given)
        assert isinstance(rejected, Rejected)
        assert rejected.reason is expected


def test_a_repo_of_paths_without_measure_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of a few bytes for each path, whose keys share nearly all that they have."""
    repo, long = Repo(), "x" * 900
    for number in range(4):
        repo.commit(*(create(f"{COLLECTION}/{long}{number}{n}", {"n": 1}) for n in range(25)))
    assert isinstance(repo_verdict(repo.car(), collections={COLLECTION}), VerifiedRepo)
    monkeypatch.setattr("indexer.verify.MAX_REPO_PATHS", 90_000)
    refused = repo_verdict(repo.car(), collections={COLLECTION})
    assert isinstance(refused, Rejected)
    assert refused.reason is DropReason.OVERSIZED_REPO
    assert isinstance(repo_verdict(repo.car(), collections={"org.example.other"}), VerifiedRepo)
    monkeypatch.setattr("indexer.verify.MAX_REPO_PATHS", 100_000_000)
    monkeypatch.setattr("indexer.verify.MAX_REPO_RECORDS", 99)
    assert isinstance(repo_verdict(repo.car(), collections={COLLECTION}), Rejected)


def test_records_are_needed_of_the_collections_that_are_asked_for() -> None:
    repo = grown()
    repo.commit(create("org.example.noise/a", {"noise": 1}))
    message = Message("", {"blocks": repo.car()})
    for missing, collections, accepted in (
        ("org.example.noise/a", {COLLECTION}, True),
        ("org.example.noise/a", None, False),
        ("org.example.noise/a", {"org.example.noise"}, False),
        (UPDATED, {COLLECTION}, False),
        (UPDATED, {"org.example.noise"}, True),
    ):
        blocks = message.blocks
        del blocks[repo.paths[missing].raw]
        data = message.with_blocks(blocks).body["blocks"]
        verified = repo_verdict(data, collections=collections)
        assert isinstance(verified, VerifiedRepo) is accepted
        if isinstance(verified, VerifiedRepo):
            asked = {
                p: cid
                for p, cid in repo.paths.items()
                if p.partition("/")[0] in (collections or ())
            }
            assert dict(verified.records) == asked
            assert verified.blocks.keys() == {cid.raw for cid in asked.values()}

"""Sync 1.1 verification: what a commit, a sync or a whole repository proves, or why it is refused.

The rule protected here is invariant 2: nothing is believed before the signature has been checked.
A refusal after that point carries the signed ``head``; only such a refusal may change any state
(mark the repo desynchronised). Steps and their numbers: docs "Verifying a commit" of the protocol's
https://atproto.com/specs/sync#commit-validation.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from atdata.protocol import car
from atdata.protocol.cid import DAG_CBOR, Cid
from atdata.protocol.errors import CidMismatch, InvalidCar, quote
from atdata.protocol.syntax import Did, Tid
from indexer import mst, mst_edit
from indexer.commit import PublicKey, SignedCommit
from indexer.drops import DropReason, Refused
from indexer.events import Action, Commit, RepoOp, Sync

MAX_AHEAD_US = 5 * 60 * 1_000_000  # of a rev, before our clock
MAX_REPO_BLOCKS = 5_000_000
MAX_REPO_RECORDS = 200_000  # in the collections that are asked for
MAX_REPO_PATHS = 32_000_000  # bytes, of these

Blocks = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Head:
    """What a signature vouches for: the repo ``did`` is, at ``rev``, the tree ``data``."""

    did: Did
    rev: Tid
    data: Cid


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not accepted. ``head`` is what the signature vouches for, None unless it was good."""

    reason: DropReason
    detail: str
    head: Head | None

    @property
    def proves_ops(self) -> bool:
        """Whether each op is known to be so by the signed tree, only not that they are all."""
        return self.reason in (DropReason.MISSING_PREV_DATA, DropReason.INVERSION_MISMATCH)

    @property
    def desynchronizes(self) -> bool:
        """Whether the repo provably moved to ``head`` and we can't follow, which a resync heals.
        (Only if ``head.rev`` is above the one that we hold: an old commit proves nothing new.)"""
        return self.head is not None and self.reason is not DropReason.FUTURE_REV


@dataclass(frozen=True, slots=True)
class VerifiedOp:
    """One proved change. ``cid`` and ``record`` (the bytes that hash to it, at most 2 MB, not
    decoded) are None for a delete."""

    action: Action
    collection: str
    rkey: str
    cid: Cid | None
    record: bytes | None


@dataclass(frozen=True, slots=True)
class VerifiedCommit:
    """``ops`` are the whole difference between the trees ``prev_data`` and ``data``. With
    ``prev_data`` None this is a repo's first commit, and ``ops`` are all of its records."""

    did: Did
    rev: Tid
    since: Tid | None
    data: Cid
    prev_data: Cid | None
    ops: tuple[VerifiedOp, ...]


@dataclass(frozen=True, slots=True)
class VerifiedRepo:
    """A whole repository: every path in the collections that were asked for with its record's CID,
    in order. ``blocks`` maps raw CIDs to bytes, and holds these records."""

    did: Did
    rev: Tid
    data: Cid
    records: Mapping[str, Cid]
    blocks: Blocks

    def record(self, path: str) -> bytes:
        """The bytes of the record at ``path``. Raises ``KeyError`` if there is none, or if its
        collection was not asked for."""
        return self.blocks[self.records[path].raw]


class Chain(Enum):
    """How a verified commit relates to the state that we hold of its repo."""

    FIRST = auto()
    """We hold nothing: fetch the repo."""
    CONTINUES = auto()
    """The next commit after ours: apply its ops."""
    DUPLICATE = auto()
    """The commit that we hold: nothing to do."""
    STALE = auto()
    """Older than what we hold: nothing to do."""
    FORKED = auto()
    """Our rev, signed over other data: reject, and raise an alarm."""
    BROKEN = auto()
    """Newer, but something between was missed: desynchronise."""


def chain(verified: VerifiedCommit, rev: str | None, data: Cid | None) -> Chain:
    """Step 6: where ``verified`` stands against the stored ``rev`` and ``data`` of its repo."""
    if rev is None or data is None:
        return Chain.FIRST
    if verified.rev <= rev:
        if verified.rev < rev:
            return Chain.STALE
        return Chain.DUPLICATE if verified.data == data else Chain.FORKED
    if verified.since == rev and verified.prev_data == data:
        return Chain.CONTINUES
    return Chain.BROKEN


def verify_commit(event: Commit, key: PublicKey, *, now_us: int) -> VerifiedCommit | Rejected:
    """Steps 1–5 and 7 for ``event``; ``key`` is that of ``event.did``, ``now_us`` the time in
    microseconds since 1970. Never raises for anything that ``event`` can hold."""
    head = None
    try:
        blocks, signed = _authentic(event.blocks, event.did, event.rev, event.commit, key)
        head = Head(signed.did, signed.rev, signed.data)
        _check_rev(signed.rev, event.since, now_us)
        if event.too_big:
            raise Refused(DropReason.TOO_BIG, "the ops are not in the frame")
        # Senders from before Sync 1.1 give neither prevData nor what their ops replaced.
        cannot_undo = event.prev_data is None and event.since is not None
        if not cannot_undo:
            _check_shape(event.ops)
        tree = mst.load(blocks, signed.data)
        ops = tuple(_prove(op, tree, blocks) for op in event.ops)
        if cannot_undo:
            raise Refused(DropReason.MISSING_PREV_DATA, "no tree to undo the ops to")
        _check_inversion(event, tree)
    except Refused as error:
        return Rejected(error.reason, error.detail, head)
    return VerifiedCommit(signed.did, signed.rev, event.since, signed.data, event.prev_data, ops)


def verify_sync(event: Sync, key: PublicKey, *, now_us: int) -> Head | Rejected:
    """The head that a ``#sync`` announces. Never raises for anything that ``event`` can hold."""
    head = None
    try:
        _, signed = _authentic(event.blocks, event.did, event.rev, None, key)
        head = Head(signed.did, signed.rev, signed.data)
        _check_rev(signed.rev, None, now_us)
    except Refused as error:
        return Rejected(error.reason, error.detail, head)
    return head


def verify_repo(
    data: bytes,
    did: Did,
    key: PublicKey,
    *,
    now_us: int,
    collections: Container[str] | None = None,
    max_blocks: int = MAX_REPO_BLOCKS,
) -> VerifiedRepo | Rejected:
    """A ``getRepo`` answer: signed by ``key`` for ``did``, with the whole tree, and with every
    record of ``collections`` (None: of all). A CAR that is cut between two blocks lacks one.

    A PDS can lose blocks of equal records when one of them is deleted, so that asking for more
    collections than are needed can refuse a repo for good.
    """
    head = None
    try:
        blocks, signed = _authentic(data, did, None, None, key, max_blocks)
        head = Head(signed.did, signed.rev, signed.data)
        _check_rev(signed.rev, None, now_us)
        records = _records(blocks, signed.data, collections)
    except Refused as error:
        return Rejected(error.reason, error.detail, head)
    kept = {cid.raw: blocks[cid.raw] for cid in records.values()}
    return VerifiedRepo(signed.did, signed.rev, signed.data, records, kept)


# --- steps 1 and 2: whose is it, and are these the bytes ------------------------------------------


def _authentic(
    data: bytes,
    did: Did,
    rev: Tid | None,
    commit: Cid | None,
    key: PublicKey,
    max_blocks: int = car.MAX_BLOCKS,
) -> tuple[Blocks, SignedCommit]:
    """All blocks, hashes checked, and the commit object that ``key`` signed for ``did``.

    ``rev`` and ``commit`` are the envelope's, None where there is none.
    """
    try:
        file = car.read(data, max_blocks=max_blocks)
    except CidMismatch as error:
        raise Refused(DropReason.BLOCK_HASH_MISMATCH, str(error)) from error
    except InvalidCar as error:
        raise Refused(DropReason.INVALID_CAR, str(error)) from error
    if len(file.roots) != 1:
        raise Refused(DropReason.INVALID_CAR, f"{len(file.roots)} roots, expected the commit alone")
    (root,) = file.roots
    if root.codec != DAG_CBOR:
        raise Refused(DropReason.INVALID_CAR, f"the root {root} is no link to a commit object")
    if commit is not None and root != commit:
        raise Refused(DropReason.ENVELOPE_MISMATCH, f"commit {commit}, the CAR's root is {root}")
    block = file.blocks.get(root.raw)
    if block is None:
        raise Refused(DropReason.INVALID_CAR, f"the commit block {root} is not there")
    signed = SignedCommit.parse(block)
    if signed.did != did:
        detail = f"repo {quote(did)}, the signed commit is of {quote(signed.did)}"
        raise Refused(DropReason.ENVELOPE_MISMATCH, detail)
    if rev is not None and signed.rev != rev:
        raise Refused(DropReason.ENVELOPE_MISMATCH, f"rev {rev}, signed is {signed.rev}")
    if not key.verify(signed.unsigned, signed.sig):
        raise Refused(DropReason.BAD_SIGNATURE, f"not signed by the {key.curve} key of {did}")
    return file.blocks, signed


def _check_rev(rev: Tid, since: Tid | None, now_us: int) -> None:
    """Step 7. Against the rev that we hold, see ``chain``."""
    if rev.timestamp_us > now_us + MAX_AHEAD_US:
        raise Refused(DropReason.FUTURE_REV, f"rev {rev} is ahead of the clock")
    if since is not None and rev <= since:
        raise Refused(DropReason.STALE_REV, f"rev {rev} is not above since {since}")


# --- steps 3 to 5: what was changed ---------------------------------------------------------------


def _check_shape(ops: tuple[RepoOp, ...]) -> None:
    """Step 3: each op has the CIDs that its action needs, and no path is named twice."""
    if len({op.path for op in ops}) != len(ops):
        raise Refused(DropReason.INVALID_OP, "a path is named by two ops")
    for op in ops:
        expected = (op.action is not Action.DELETE, op.action is not Action.CREATE)
        if (op.cid is not None, op.prev is not None) != expected:
            detail = f"{op.action} of {quote(op.path)} with the wrong of cid and prev"
            raise Refused(DropReason.INVALID_OP, detail)


def _prove(op: RepoOp, tree: mst.Tree, blocks: Blocks) -> VerifiedOp:
    """Step 4: the signed tree holds ``op.cid`` at the path, or nothing after a delete."""
    found = mst.find(tree, op.path)
    if found != op.cid:
        detail = f"{op.action} of {quote(op.path)} to {op.cid}, the tree has {found}"
        raise Refused(DropReason.OP_CID_MISMATCH, detail)
    record = None if found is None else _record(op.path, found, blocks)
    return VerifiedOp(op.action, op.collection, op.rkey, found, record)


def _records(blocks: Blocks, data: Cid, collections: Container[str] | None) -> dict[str, Cid]:
    """What the tree ``data`` holds of ``collections``. Keys share what they begin with, so that a
    small tree can hold paths without measure: there is one."""
    found: dict[str, Cid] = {}
    size = 0
    for path, cid in mst.walk(blocks, data):
        if collections is not None and path.partition("/")[0] not in collections:
            continue
        _record(path, cid, blocks)
        found[path] = cid
        size += len(path)
        if len(found) > MAX_REPO_RECORDS or size > MAX_REPO_PATHS:
            detail = f"more than {MAX_REPO_RECORDS} records, or {MAX_REPO_PATHS} bytes of paths"
            raise Refused(DropReason.OVERSIZED_REPO, detail)
    return found


def _record(path: str, cid: Cid, blocks: Blocks) -> bytes:
    block = blocks.get(cid.raw)
    if block is None:
        raise Refused(DropReason.MISSING_BLOCK, f"record {cid} of {quote(path)} is not there")
    return block


def _check_inversion(event: Commit, tree: mst.Tree) -> None:
    """Step 5: undoing the ops gives ``prevData``; a first commit's ops undo to the empty tree."""
    # Deletes first, then by path: the order that senders collect the proof's nodes for.
    for op in sorted(event.ops, key=lambda op: (op.action is not Action.DELETE, op.path)):
        tree = _undo(op, tree)
    before, expected = mst.root_cid(tree), event.prev_data or mst.EMPTY_ROOT
    if before != expected:
        detail = f"undoing the ops gives {before}, the tree before was {expected}"
        raise Refused(DropReason.INVERSION_MISMATCH, detail)


def _undo(op: RepoOp, tree: mst.Tree) -> mst.Tree:
    if op.prev is None:
        return mst_edit.delete(tree, op.path)
    if op.cid is None:
        return mst_edit.insert(tree, op.path, op.prev)
    return mst_edit.replace(tree, op.path, op.prev)

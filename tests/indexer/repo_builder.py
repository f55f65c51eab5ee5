"""Real repositories for tests: keys, Merkle search trees, signed commits, CARs and frames.

Everything here is valid by construction, so that a test can break exactly one thing.
``Repo.commit`` gives a ``Message`` with the blocks that a PDS would send (changed nodes, the
covering proof, new records), ``Message.having`` replaces wire fields, ``Message.frame`` is what
goes over the socket.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import coincurve
import libipld
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atdata.protocol import car, cbor
from atdata.protocol.cid import Cid
from atdata.protocol.syntax import Did, Tid
from indexer import frames, mst, mst_edit
from indexer.commit import PublicKey
from indexer.events import Event

NOW_US = 1_700_000_000_000_000  # of the tests' clock, microseconds since 1970
TIME = "2023-11-14T22:13:20.000Z"
DID = Did("did:plc:ewvi7nxzyoun6zhxrhs64oiz")
COLLECTION = "ac.foundation.dataset.record"

_ORDER = {
    "k256": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
}


# --- keys -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SigningKey:
    """A private key of ``curve`` (``k256`` or ``p256``); ``secret`` is the scalar."""

    curve: str
    secret: int

    @property
    def multibase(self) -> str:
        """The ``publicKeyMultibase`` of the DID document."""
        if self.curve == "k256":
            key = coincurve.PrivateKey.from_int(self.secret).public_key
            return str(libipld.encode_multibase("z", b"\xe7\x01" + key.format(compressed=True)))
        point = self._p256().public_key()
        raw = point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        return str(libipld.encode_multibase("z", b"\x80\x24" + raw))

    @property
    def public(self) -> PublicKey:
        return PublicKey.parse(self.multibase)

    def sign(self, message: bytes, *, high_s: bool = False) -> bytes:
        """64 bytes, low-S unless ``high_s`` asks for the form that the protocol refuses."""
        r, s = decode_dss_signature(self.sign_der(message))
        order = _ORDER[self.curve]
        if (s > order // 2) != high_s:
            s = order - s
        return r.to_bytes(32) + s.to_bytes(32)

    def sign_der(self, message: bytes) -> bytes:
        if self.curve == "k256":
            return bytes(coincurve.PrivateKey.from_int(self.secret).sign(message))
        r, s = decode_dss_signature(self._p256().sign(message, ec.ECDSA(SHA256())))
        return encode_dss_signature(r, min(s, _ORDER["p256"] - s))

    def _p256(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.secret, ec.SECP256R1())


K256 = SigningKey("k256", 0xA11CE)
P256 = SigningKey("p256", 0xB0B)


# --- messages -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """One firehose message before it is encoded. ``body`` has the wire's field names."""

    t: str
    body: Mapping[str, Any]
    op: int = 1

    @property
    def frame(self) -> bytes:
        return cbor.encode({"op": self.op, "t": self.t}) + cbor.encode(dict(self.body))

    @property
    def event(self) -> Event:
        return frames.parse(self.frame)

    def having(self, **fields: Any) -> Message:
        """The same message with other values for these fields."""
        return replace(self, body={**self.body, **fields})

    def without(self, *names: str) -> Message:
        return replace(self, body={k: v for k, v in self.body.items() if k not in names})

    def at(self, seq: int) -> Message:
        """The same message under another ``seq``."""
        return self.having(seq=seq)

    @property
    def blocks(self) -> dict[bytes, bytes]:
        """The CAR's blocks, raw CID → bytes."""
        return dict(car.read(self.body["blocks"]).blocks)

    def with_blocks(self, blocks: Mapping[bytes, bytes]) -> Message:
        """The same message with a CAR of these blocks, which need not hash to their CIDs."""
        roots = car.read(self.body["blocks"]).roots
        return self.having(blocks=unchecked_car(roots, blocks.items()))


def account(did: str, *, seq: int = 1, active: bool = True, status: str | None = None) -> Message:
    body = {"seq": seq, "did": did, "time": TIME, "active": active}
    return Message("#account", body if status is None else {**body, "status": status})


def identity(did: str, *, seq: int = 1, handle: str | None = None) -> Message:
    body = {"seq": seq, "did": did, "time": TIME}
    return Message("#identity", body if handle is None else {**body, "handle": handle})


def unchecked_car(roots: Iterable[Cid], blocks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A CAR whose blocks may contradict their CIDs."""
    header = cbor.encode({"version": 1, "roots": list(roots)})
    sections = [header, *(raw + block for raw, block in blocks)]
    return b"".join(_uvarint(len(section)) + section for section in sections)


def _uvarint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


# --- writes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    action: str
    path: str
    record: bytes | None


def create(path: str, record: Any) -> Write:
    """``record`` is a value of the data model, or the bytes to store as they are."""
    return Write("create", path, _block(record))


def update(path: str, record: Any) -> Write:
    return Write("update", path, _block(record))


def delete(path: str) -> Write:
    return Write("delete", path, None)


def _block(record: Any) -> bytes:
    return record if isinstance(record, bytes) else cbor.encode(record)


# --- repositories ---------------------------------------------------------------------------------


@dataclass
class Repo:
    """One account's repository, and the PDS that signs and announces its commits."""

    did: Did = DID
    key: SigningKey = K256
    tree: mst.Tree = None
    blocks: dict[bytes, bytes] = field(default_factory=dict)  # everything ever written
    paths: dict[str, Cid] = field(default_factory=dict)
    rev: Tid | None = None
    commits: int = 0

    @property
    def data(self) -> Cid:
        return mst.root_cid(self.tree)

    def commit(
        self, *writes: Write, seq: int = 1, rev: Tid | None = None, **signed: Any
    ) -> Message:
        """Apply ``writes`` and announce them. ``signed`` replaces fields of the commit object
        before it is signed (``version=2``); the envelope then still says what it should."""
        since, before = self.rev, self.data if self.rev else None
        ops = [self._apply(write) for write in writes]
        self.rev = rev or self.next_rev()
        self.commits += 1
        nodes = self._save_nodes()
        proof = covering_proof(self.tree, [write.path for write in writes])
        root, block = self.signed_commit(**signed)
        self.blocks[root.raw] = block
        sent = {root.raw: block, **nodes, **{raw: self.blocks[raw] for raw in proof}}
        sent[self.data.raw] = self.blocks[self.data.raw]  # also of a tree that was here before
        records = {op["cid"].raw: self.blocks[op["cid"].raw] for op in ops if op["cid"]}
        body = {
            "seq": seq,
            "rebase": False,
            "tooBig": False,
            "repo": self.did,
            "commit": root,
            "rev": self.rev,
            "since": since,
            "blocks": unchecked_car([root], {**sent, **records}.items()),
            "ops": ops,
            "blobs": [],
            "time": TIME,
        }
        return Message("#commit", body if before is None else {**body, "prevData": before})

    def sync(self, *, seq: int = 1, **signed: Any) -> Message:
        """``#sync`` at the present state."""
        root, block = self.signed_commit(**signed)
        blocks = unchecked_car([root], [(root.raw, block)])
        body = {"seq": seq, "did": self.did, "blocks": blocks, "rev": self.rev, "time": TIME}
        return Message("#sync", body)

    def car(self, **signed: Any) -> bytes:
        """What ``getRepo`` answers: the commit, all nodes, all records."""
        root, block = self.signed_commit(**signed)
        nodes = dict(mst.serialise(self.tree))
        records = {cid.raw: self.blocks[cid.raw] for cid in self.paths.values()}
        return unchecked_car([root], {root.raw: block, **nodes, **records}.items())

    def signed_commit(
        self, *, key: SigningKey | None = None, sig: bytes | None = None, **fields: Any
    ) -> tuple[Cid, bytes]:
        """CID and block of the commit object; ``fields`` replace its fields before signing."""
        body: dict[str, Any] = {"version": 3, "did": self.did, "rev": self.rev, "data": self.data}
        body = {**body, "prev": None, **fields}
        signature = (key or self.key).sign(cbor.encode(body)) if sig is None else sig
        block = cbor.encode({**body, "sig": signature})
        return Cid.of(block), block

    def next_rev(self) -> Tid:
        """An hour before the tests' clock, and a millisecond later with every commit."""
        return Tid.from_parts(NOW_US - 3_600_000_000 + self.commits * 1000, 7)

    def _apply(self, write: Write) -> dict[str, Any]:
        before = self.paths.pop(write.path, None)
        assert (before is None) == (write.action == "create"), write
        op: dict[str, Any] = {"action": write.action, "path": write.path, "cid": None}
        if before is not None:
            op["prev"] = before
        if write.record is None:
            self.tree = mst_edit.delete(self.tree, write.path)
            return op
        cid = op["cid"] = self.paths[write.path] = Cid.of(write.record)
        self.blocks[cid.raw] = write.record
        edit = mst_edit.insert if before is None else mst_edit.replace
        self.tree = edit(self.tree, write.path, cid)
        return op

    def _save_nodes(self) -> dict[bytes, bytes]:
        """The nodes that are new since the commit before."""
        nodes = {raw: b for raw, b in mst.serialise(self.tree) if raw not in self.blocks}
        self.blocks.update(nodes)
        self.tree = mst.load(self.blocks, self.data, whole=True)
        return nodes


def build_tree(records: Mapping[str, Cid]) -> mst.Tree:
    """The tree of these records, as if written one after the other."""
    tree: mst.Tree = None
    for path, cid in records.items():
        tree = mst_edit.insert(tree, path, cid)
    return tree


def covering_proof(tree: mst.Tree, paths: Iterable[str]) -> set[bytes]:
    """Raw CIDs of the nodes on the way to each path and to its neighbours on both sides: what
    undoing an op at that path can need. ``tree`` is whole and unchanged since it was loaded."""
    keys = [path.encode() for path, _ in mst.items(tree)]
    proof: set[bytes] = set()
    for path in paths:
        key = path.encode()
        i = bisect_left(keys, key)
        after = i + 1 if i < len(keys) and keys[i] == key else i
        for target in (keys[i - 1] if i else key, key, keys[after] if after < len(keys) else key):
            proof |= _on_the_way(tree, target)
    return proof


def _on_the_way(tree: mst.Tree, key: bytes) -> set[bytes]:
    seen: set[bytes] = set()
    node = mst.present(tree)
    while node is not None:
        assert node.cid is not None
        seen.add(node.cid)
        i, found = mst.position(node, key)
        node = None if found else mst.present(node.links[i])
    return seen

"""One repo that never stops: valid, signed, chained commits, made faster than they are verified.

Each one writes the same record anew. The blocks are put together by hand, since building a tree
for every commit would take longer than what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256

import libipld

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from atdata.protocol.syntax import Tid
from indexer.mst import encode_node
from tests.indexer.network import DATASET, dataset
from tests.indexer.repo_builder import K256, NOW_US, TIME

PATH = f"{DATASET}/flood"


def flood(did: str, count: int, seq_of: Callable[[int], int]) -> Iterator[bytes]:
    """``count`` frames: the record's creation, then updates, each named after its number from 0.
    ``seq_of`` a number is the seq."""
    before, after = cbor.encode(dataset(name_of(0))).split(name_of(0).encode())
    since: str | None = None
    previous: bytes | None = None
    data: bytes | None = None
    for i in range(count):
        record = before + name_of(i).encode() + after
        cid = _cid(record)
        node = encode_node((PATH.encode(),), (cid,), (None, None))
        rev = rev_of(i)
        prev_data, data = data, _cid(node)
        # Not by libipld, which takes a signature that looks like a CID for one.
        commit: dict[str, cbor.Data] = {
            "did": did,
            "rev": rev,
            "data": Cid(data),
            "prev": None,
            "version": 3,
        }
        block = cbor.encode({**commit, "sig": K256.sign(cbor.encode(commit))})
        root = _cid(block)
        op = {"action": "create", "path": PATH, "cid": cid}
        if previous is not None:
            op |= {"action": "update", "prev": previous}
        body = {
            "seq": seq_of(i),
            "rebase": False,
            "tooBig": False,
            "repo": did,
            "commit": root,
            "rev": rev,
            "since": since,
            "blocks": _car(root, {root: block, data: node, cid: record}),
            "ops": [op],
            "blobs": [],
            "time": TIME,
        }
        if prev_data is not None:
            body["prevData"] = prev_data
        yield libipld.encode_dag_cbor({"t": "#commit", "op": 1}) + libipld.encode_dag_cbor(body)
        since, previous = rev, cid


def name_of(number: int) -> str:
    """What the dataset is called by the commit of that number."""
    return f"number {number:07d}"


def rev_of(number: int) -> str:
    """They are a millisecond apart."""
    return str(Tid.from_parts(NOW_US - 3_600_000_000 + number * 1_000, 7))


def _cid(block: bytes) -> bytes:
    return b"\x01\x71\x12\x20" + sha256(block).digest()


def _car(root: bytes, blocks: dict[bytes, bytes]) -> bytes:
    header = cbor.encode({"version": 1, "roots": [Cid(root)]})
    parts = [_length(len(header)), header]
    for cid, block in blocks.items():
        parts += (_length(len(cid) + len(block)), cid, block)
    return b"".join(parts)


def _length(size: int) -> bytes:
    """As CAR has it: seven bits a byte, the last one without the eighth."""
    return bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))

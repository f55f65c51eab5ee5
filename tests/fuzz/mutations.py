"""Mutations of frames that get past the first check: bytes damaged, or one thing said otherwise.

``damaged`` breaks bytes wherever they lie: flips, cuts, splices. ``restated`` changes a value
within the frame's structure and makes the frame whole again: lengths, hashes up to the root, and
the signature, so that what is wrong is found by the check that is for it, or by none.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import libipld

from atdata.protocol import car
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, InvalidCar
from tests.indexer.repo_builder import K256, unchecked_car

Body = dict[str, Any]

_CID = Cid.of(b"other").raw
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    24,
    2**31,
    2**53,
    2**63,
    2**64 - 1,
    "",
    "a",
    "x" * 2_000,
    "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
    "2026-02-30T00:00:00Z",
    "3jzfcijpj2z2a",
    "7zzzzzzzzzzzz",
    "ac.foundation.dataset.record/self",
    "delete",
    "\x00",
    "é\u202e",
    b"",
    b"\x00" * 36,
    _CID,
    [],
    [[]],
    {},
    {"a": 1},
)


def damaged(rng: Random, frame: bytes, others: list[bytes]) -> bytes:
    """With a few bytes changed, removed or added; cut; joined to a part of another; or random."""
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 | 1 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 2 if at < len(data):
                data[at] = rng.randrange(256)
            case 3:
                del data[at : at + rng.choice((1, 2, 8, 100))]
            case 4:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 100)))
            case 5:
                del data[at:]
            case 6:
                other = rng.choice(others)
                data[at:] = other[rng.randrange(len(other) + 1) :]
    return bytes(data) if rng.random() < 0.98 else rng.randbytes(rng.randrange(200))


def restated(rng: Random, frame: bytes) -> bytes:
    """The same frame saying something else; as it is if it can't be read."""
    try:
        header, body = libipld.decode_dag_cbor_multi(frame)
    except (ValueError, RecursionError):
        return frame
    if not isinstance(header, dict) or not isinstance(body, dict):
        return frame
    change = rng.choice(_CHANGES)
    change(rng, header if rng.random() < 0.05 else body)
    try:
        return bytes(libipld.encode_dag_cbor(header) + libipld.encode_dag_cbor(body))
    except (ValueError, RecursionError):
        return frame


def _field(rng: Random, body: Body) -> None:
    name = rng.choice([*body, "novel"])
    if rng.random() < 0.3:
        body.pop(name, None)
    else:
        body[name] = rng.choice(_VALUES)


def _ops(rng: Random, body: Body) -> None:
    ops = body.get("ops")
    if not isinstance(ops, list) or not ops or not all(isinstance(op, dict) for op in ops):
        return
    at = rng.randrange(len(ops))
    match rng.randrange(5):
        case 0:
            del ops[at]
        case 1:
            ops.append(dict(ops[at]))
        case 2:
            rng.shuffle(ops)
        case 3:
            ops[at]["action"] = rng.choice(("create", "update", "delete"))
        case _:
            _field(rng, ops[at])


def _block(rng: Random, body: Body) -> None:
    """Another block in place of one, and all that leads to it made to fit."""
    data = body.get("blocks")
    try:
        file = car.read(data if isinstance(data, bytes) else b"")
    except (InvalidCar, CidMismatch):
        return
    if not file.blocks:
        return
    raw = rng.choice(list(file.blocks))
    change = rng.choice((_in_block, _without_block, _in_bytes))
    change(rng, body, dict(file.blocks), raw)


def _in_block(rng: Random, body: Body, blocks: dict[bytes, bytes], raw: bytes) -> None:
    try:
        value = libipld.decode_dag_cbor(blocks[raw])
        place: Any = value
        while (inner := [v for v in _children(place) if isinstance(v, dict | list)]) and (
            rng.random() < 0.7
        ):
            place = rng.choice(inner)
        if isinstance(place, dict):
            _field(rng, place)
        elif isinstance(place, list) and place:
            place[rng.randrange(len(place))] = rng.choice([*place, *_VALUES])
        _replace(body, blocks, raw, libipld.encode_dag_cbor(value))
    except (ValueError, RecursionError):
        return


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _in_bytes(rng: Random, body: Body, blocks: dict[bytes, bytes], raw: bytes) -> None:
    _replace(body, blocks, raw, damaged(rng, blocks[raw], list(blocks.values())))


def _without_block(rng: Random, body: Body, blocks: dict[bytes, bytes], raw: bytes) -> None:
    del blocks[raw]
    roots = car.read(body["blocks"]).roots
    body["blocks"] = unchecked_car(roots, blocks.items())


def _replace(body: Body, blocks: dict[bytes, bytes], raw: bytes, block: bytes) -> None:
    """``block`` in place of the one under ``raw``: links to it, and links to those, up to the
    root, whose object is signed again."""
    waiting, renamed = [(raw, block)], 0
    while waiting and renamed < 100:
        old, new_block = waiting.pop()
        if old not in blocks:
            continue
        renamed += 1
        new_block = _signed_again(new_block)
        new = Cid.of(new_block).raw
        del blocks[old]
        blocks[new] = new_block
        waiting += [(r, b.replace(old, new)) for r, b in list(blocks.items()) if old in b]
        if body.get("commit") == old:
            body["commit"] = new
        ops = body.get("ops")
        for op in ops if isinstance(ops, list) else ():
            if isinstance(op, dict) and op.get("cid") == old:
                op["cid"] = new
    root = body.get("commit")
    if isinstance(root, bytes) and root in blocks:
        body["blocks"] = unchecked_car([Cid(root)], blocks.items())


def _signed_again(block: bytes) -> bytes:
    """Commit objects by the key that everybody has; anything else as it is."""
    try:
        value = libipld.decode_dag_cbor(block)
    except (ValueError, RecursionError):
        return block
    if not isinstance(value, dict) or value.pop("sig", None) is None:
        return block
    value["sig"] = K256.sign(libipld.encode_dag_cbor(value))
    return bytes(libipld.encode_dag_cbor(value))


_CHANGES: tuple[Callable[[Random, Body], None], ...] = (_field, _ops, _block, _block)

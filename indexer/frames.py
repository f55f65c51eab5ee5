"""Frames: one WebSocket message each, two concatenated DAG-CBOR objects, nothing after them.

``parse`` gives the event or raises ``InvalidEvent``, for any bytes. ``mentions_collection`` and
``peek`` are the screen before it: a frame that holds neither a known collection prefix nor the DID
of a tracked repo can't matter. ``seq`` is always decoded, never found by pattern in bytes that an
author controls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import libipld

from atdata.protocol.errors import quote
from atdata.protocol.namespaces import SCAN_PREFIXES
from indexer.drops import DropReason, InvalidEvent
from indexer.events import MAX_TEXT, Event, Unknown, read, read_error, seq_or_none

MAX_FRAME = 5_000_000  # bytes

_MESSAGE = 1
_ERROR = -1

Object = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Peek:
    """What the screen needs of a frame. Claims of the source, hardly checked: ``seq`` is None if it
    is not an integer in 1…2⁵³−1, ``did`` (of ``repo`` or ``did``) and ``time`` are any text."""

    op: int
    t: str | None
    seq: int | None
    did: str | None
    time: str | None


def parse(frame: bytes) -> Event:
    """The event in ``frame``. Raises ``InvalidEvent`` and nothing else."""
    (op, t), body = _decode(frame, strict=True)
    if op == _ERROR:
        return read_error(body)
    if op != _MESSAGE or t is None:
        return Unknown(seq_or_none(body), op, None if t is None else t[:MAX_TEXT])
    return read(t, body)


def peek(frame: bytes) -> Peek:
    """The fields that decide whether ``frame`` is worth ``parse``. Raises ``InvalidEvent``."""
    (op, t), body = _decode(frame, strict=False)
    did = body.get("repo" if t == "#commit" else "did")
    time = body.get("time")
    return Peek(
        op=op,
        t=t,
        seq=seq_or_none(body),
        did=did if isinstance(did, str) else None,
        time=time if isinstance(time, str) else None,
    )


def mentions_collection(frame: bytes) -> bool:
    """Whether ``frame`` can hold an op in an indexed collection.

    A scan can't miss one: definite-length DAG-CBOR text is contiguous. It may find one too many
    (a post that quotes a URI), never one too few.
    """
    return any(prefix in frame for prefix in SCAN_PREFIXES)


def _decode(frame: bytes, *, strict: bool) -> tuple[tuple[int, str | None], Object]:
    """Header ``(op, t)`` and body. ``strict`` also requires the canonical encoding."""
    if len(frame) > MAX_FRAME:
        detail = f"frame of {len(frame)} bytes, at most {MAX_FRAME} are allowed"
        raise InvalidEvent(DropReason.OVERSIZED_FRAME, detail)
    try:
        objects = libipld.decode_dag_cbor_multi(frame)
        # Encoding again finds what the decoder is lenient about: lengths that are not minimal, and
        # byte strings where links belong.
        canonical = not strict or b"".join(map(libipld.encode_dag_cbor, objects)) == frame
    except RecursionError as error:
        raise InvalidEvent(DropReason.INVALID_CBOR, "frame is nested too deep") from error
    except ValueError as error:
        raise InvalidEvent(DropReason.INVALID_CBOR, f"frame: {quote(str(error))}") from error
    if len(objects) != 2 or not all(isinstance(item, dict) for item in objects):
        detail = f"frame holds {len(objects)} objects, expected the maps header and body"
        raise InvalidEvent(DropReason.INVALID_FRAMING, detail)
    header, body = objects
    if not canonical:
        seq = seq_or_none(body)
        raise InvalidEvent(DropReason.INVALID_CBOR, "frame is not canonical DAG-CBOR", seq)
    return _header(header), body


def _header(header: Object) -> tuple[int, str | None]:
    op, t = header.get("op"), header.get("t")
    if not isinstance(op, int) or isinstance(op, bool):
        raise InvalidEvent(DropReason.INVALID_FRAMING, "header op is not an integer")
    if not isinstance(t, str):
        if op == _MESSAGE or t is not None:
            raise InvalidEvent(DropReason.INVALID_FRAMING, "header t is not text")
        return op, None
    return op, t

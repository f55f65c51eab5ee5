"""What changed in the index, read in batches and written as frames of ``subscribeChanges``.

Rule: a change says how its record is *now*. So nothing of a record that was deleted, or whose
account is hidden, leaves again by way of an old cursor. Source: https://atproto.com/specs/event-stream.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

from atdata.protocol import cbor
from atdata.protocol.errors import InvalidCbor, XrpcError
from search_api.corpus import changes_after, last_change
from search_api.database import Row, Session, marks
from search_api.views import timestamp

BATCH = 100  # changes in one message
MAX_RECORD = 65_536  # characters of a record that is sent with its change
# A message may be nested as deep as a record, and has the record inside three levels of its own.
MAX_RECORD_DEPTH = cbor.MAX_DEPTH - 3

_Message = dict[str, cbor.Data]


@dataclass(frozen=True, slots=True)
class Batch:
    """The changes after ``after`` up to ``seq`` as one frame."""

    after: int
    seq: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """Which index this is (``file``), and its last change."""

    file: str
    seq: int


def position(session: Session) -> Position:
    """Where the index stands."""
    row = session.row("SELECT value FROM meta WHERE key = 'file_id'")
    return Position("" if row is None else row[0], last_change(session)[0])


def last(session: Session, seq: int) -> int:
    """The last change; ``seq``, if there is none after that."""
    row = session.row("SELECT max(seq) FROM changes WHERE seq > ?", [seq])
    return seq if row is None or row[0] is None else int(row[0])


def read(session: Session, after: int) -> Batch | None:
    """The next changes after ``after``; None if there are none."""
    changed = changes_after(session, after, BATCH)
    if not changed:
        return None
    docs = sorted({doc for _, doc in changed})
    visible = {
        row[0]: row for row in session.rows(_VISIBLE.format(marks(docs)), [MAX_RECORD, *docs])
    }
    changes: list[cbor.Data] = [_change(seq, doc, visible.get(doc)) for seq, doc in changed]
    last = changed[-1][0]
    return Batch(after, last, _frame("#changes", {"seq": last, "changes": changes}))


def first_frame(at: Position) -> bytes:
    """The message that a subscription begins with."""
    return _frame("#index", {"id": at.file, "seq": at.seq})


def error_frame(error: XrpcError) -> bytes:
    """The message that a subscription ends with."""
    body: _Message = {"error": error.error, "message": error.message}
    return cbor.encode({"op": -1}) + cbor.encode(body)


_VISIBLE = (
    "SELECT r.doc, r.uri, r.cid, r.did, r.kind, epoch_us(r.indexed_at), "
    "CASE WHEN length(r.record::VARCHAR) <= ? THEN r.record END "
    "FROM records r JOIN repos p ON p.repo = r.repo AND p.active WHERE r.doc IN ({})"
)


def _change(seq: int, doc: int, row: Row | None) -> _Message:
    change: _Message = {"seq": seq, "action": "remove", "key": f"{doc:016x}"}
    if row is None:
        return change
    _, uri, cid, did, kind, indexed_us, record = row
    change |= {"action": "put", "uri": uri, "cid": cid, "did": did, "kind": kind}
    change["indexedAt"] = timestamp(indexed_us)
    if record is not None:
        # One record that cannot be sent must not keep the changes behind it from anyone.
        with contextlib.suppress(InvalidCbor):
            change["record"] = cbor.record_from_json(json.loads(record), max_depth=MAX_RECORD_DEPTH)
    return change


def _frame(name: str, body: _Message) -> bytes:
    return cbor.encode({"op": 1, "t": name}) + cbor.encode(body)

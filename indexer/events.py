"""The events of a firehose (``com.atproto.sync.subscribeRepos``), one frozen type each.

``read`` is the only way from a decoded body to an event: every field is checked there, dicts stop
there. What an event says is the source's claim; nothing here is verified against a signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from atdata.protocol.cid import Cid
from atdata.protocol.errors import InvalidCid, InvalidSyntax, quote
from atdata.protocol.syntax import MAX_DID, Did, Nsid, RecordKey, Tid, parse_datetime
from indexer.drops import DropReason, InvalidEvent

MAX_SEQ = 2**53 - 1
MAX_BLOCKS = 2_000_000  # bytes of a commit's CAR
MAX_SYNC_BLOCKS = 10_000  # bytes of a sync's CAR
MAX_OPS = 200
MAX_RECORD = 1_000_000  # bytes of one record's block
MAX_PATH = 1024  # characters: an MST key
MAX_TEXT = 1024  # characters of free text: status, message, hints
MAX_TIME = 64  # characters


class Action(StrEnum):
    """What an op did to its record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class RepoOp:
    """One record created, updated or deleted. ``cid`` is the new version, ``prev`` the old one."""

    action: Action
    path: str
    cid: Cid | None
    prev: Cid | None

    @property
    def collection(self) -> str:
        """The NSID before the slash."""
        return self.path.partition("/")[0]

    @property
    def rkey(self) -> str:
        """The record key after the slash."""
        return self.path.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Commit:
    """``#commit``. ``did`` is the wire's ``repo``; ``blocks`` the CAR, not opened yet; ``since``
    and ``prev_data`` are None for a repo's first commit (and for senders before Sync 1.1)."""

    seq: int
    did: Did
    commit: Cid
    rev: Tid
    since: Tid | None
    blocks: bytes
    ops: tuple[RepoOp, ...]
    prev_data: Cid | None
    too_big: bool
    time: str


@dataclass(frozen=True, slots=True)
class Sync:
    """``#sync``: the repo is now at this commit, whatever it was. ``blocks`` holds it alone."""

    seq: int
    did: Did
    rev: Tid
    blocks: bytes
    time: str


@dataclass(frozen=True, slots=True)
class Identity:
    """``#identity``: ask the directory again. ``handle`` is a hint only."""

    seq: int
    did: Did
    handle: str | None
    time: str


@dataclass(frozen=True, slots=True)
class Account:
    """``#account``. Visibility follows ``active``; the vocabulary of ``status`` is open."""

    seq: int
    did: Did
    active: bool
    status: str | None
    time: str


@dataclass(frozen=True, slots=True)
class Info:
    """``#info``: a note from the source (``OutdatedCursor``). Has no seq."""

    name: str
    message: str | None


@dataclass(frozen=True, slots=True)
class StreamError:
    """``op`` −1: the source says why it closes (``FutureCursor``, ``ConsumerTooSlow``)."""

    error: str
    message: str | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """An ``op`` or ``t`` of a later protocol. Ignored; the cursor moves on if there is a seq."""

    seq: int | None
    op: int
    t: str | None


_ACTIONS = {action.value: action for action in Action}

Event = Commit | Sync | Identity | Account | Info | StreamError | Unknown
Body = Mapping[str, object]


def read(t: str, body: Body) -> Event:
    """The event that a message of type ``t`` holds. ``body`` is decoded DAG-CBOR, links as bytes.

    Raises ``InvalidEvent``, with ``seq`` and ``did`` where those were still readable.
    """
    if t == "#info":
        return Info(_text(body, "name"), _optional_text(body, "message"))
    reader = _READERS.get(t)
    if reader is None:
        return Unknown(seq_or_none(body), 1, t[:MAX_TEXT])
    seq, did = _seq(body), None
    try:
        did = Did.parse(_text(body, "repo" if t == "#commit" else "did", MAX_DID))
        return reader(body, seq, did)
    except (InvalidSyntax, InvalidCid) as error:
        raise InvalidEvent(DropReason.INVALID_EVENT, f"{t}: {error}", seq, did) from error
    except InvalidEvent as error:
        raise InvalidEvent(error.reason, f"{t}: {error.detail}", seq, did) from error


def read_error(body: Body) -> StreamError:
    """The error frame's body. Never raises: the stream is over, whatever the body says."""
    error, message = body.get("error"), body.get("message")
    return StreamError(
        error[:MAX_TEXT] if isinstance(error, str) else "unnamed",
        message[:MAX_TEXT] if isinstance(message, str) else None,
    )


def seq_or_none(body: Body) -> int | None:
    """``seq`` if it is one: an integer in 1…2⁵³−1."""
    seq = body.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or not 1 <= seq <= MAX_SEQ:
        return None
    return seq


# --- bodies -------------------------------------------------------------------------------------


def _commit(body: Body, seq: int, did: Did) -> Commit:
    since = _optional_text(body, "since")
    ops = body.get("ops")
    if not isinstance(ops, list) or len(ops) > MAX_OPS:
        raise _invalid(f"ops must be an array of at most {MAX_OPS}")
    return Commit(
        seq=seq,
        did=did,
        commit=_cid(body, "commit"),
        rev=Tid.parse(_text(body, "rev")),
        since=None if since is None else Tid.parse(since),
        blocks=_bytes(body, "blocks", MAX_BLOCKS),
        ops=tuple(_op(op) for op in ops),
        prev_data=_optional_cid(body, "prevData"),
        too_big=_flag(body, "tooBig"),
        time=_time(body),
    )


def _op(op: object) -> RepoOp:
    if not isinstance(op, dict):
        raise _invalid("an op must be a map")
    action = _ACTIONS.get(_text(op, "action"))
    if action is None:
        raise _invalid(f"unknown op action {quote(op['action'])}")
    path = _text(op, "path", MAX_PATH)
    collection, slash, rkey = path.partition("/")
    if not slash:
        raise _invalid(f"op path {quote(path)} is not collection/rkey")
    Nsid.parse(collection)
    RecordKey.parse(rkey)
    return RepoOp(action, path, _optional_cid(op, "cid"), _optional_cid(op, "prev"))


def _sync(body: Body, seq: int, did: Did) -> Sync:
    blocks = _bytes(body, "blocks", MAX_SYNC_BLOCKS)
    return Sync(seq, did, Tid.parse(_text(body, "rev")), blocks, _time(body))


def _identity(body: Body, seq: int, did: Did) -> Identity:
    return Identity(seq, did, _optional_text(body, "handle"), _time(body))


def _account(body: Body, seq: int, did: Did) -> Account:
    return Account(seq, did, _flag(body, "active"), _optional_text(body, "status"), _time(body))


_READERS: Mapping[str, Callable[[Body, int, Did], Event]] = {
    "#commit": _commit,
    "#sync": _sync,
    "#identity": _identity,
    "#account": _account,
}


# --- fields -------------------------------------------------------------------------------------


def _invalid(detail: str) -> InvalidEvent:
    return InvalidEvent(DropReason.INVALID_EVENT, detail)


def _seq(body: Body) -> int:
    seq = seq_or_none(body)
    if seq is None:
        raise InvalidEvent(DropReason.INVALID_SEQ, "seq is not an integer in 1…2⁵³−1")
    return seq


def _text(body: Body, name: str, limit: int = MAX_TEXT) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > limit:
        raise _invalid(f"{name} must be text of at most {limit} characters")
    return value


def _optional_text(body: Body, name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _bytes(body: Body, name: str, limit: int) -> bytes:
    value = body.get(name)
    if not isinstance(value, bytes) or len(value) > limit:
        raise _invalid(f"{name} must be at most {limit} bytes")
    return value


def _flag(body: Body, name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise _invalid(f"{name} must be a boolean")
    return value


def _cid(body: Body, name: str) -> Cid:
    value = body.get(name)
    if not isinstance(value, bytes):
        raise _invalid(f"{name} must be a link")
    return Cid.from_bytes(value)


def _optional_cid(body: Body, name: str) -> Cid | None:
    return None if body.get(name) is None else _cid(body, name)


def _time(body: Body) -> str:
    value = _text(body, "time", MAX_TIME)
    parse_datetime(value)
    return value

"""Every reason for which something from the network is not indexed, and the record of one drop.

The rule protected here is invariant 6: each frame, op or record that is not indexed has exactly one
reason from this enum, a counter under its value, and its bytes in the quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from atdata.protocol.errors import ProtocolError


class DropReason(StrEnum):
    """Why a frame, op or record was not indexed. The value is the counter's label."""

    # --- the frame
    OVERSIZED_FRAME = "oversized_frame"
    """The WebSocket message is longer than 5 MB."""
    INVALID_FRAMING = "invalid_framing"
    """Not exactly two objects, or a header without an integer ``op`` and, for ``op`` 1, a ``t``."""
    INVALID_CBOR = "invalid_cbor"
    """Not DAG-CBOR: cut short, not canonical, a forbidden type, or nested too deep."""
    UNKNOWN_OP = "unknown_op"
    """A header ``op`` that this version does not know. Ignored; the cursor moves on."""
    UNKNOWN_TYPE = "unknown_type"
    """A message type ``t`` that this version does not know. Ignored; the cursor moves on."""
    INVALID_SEQ = "invalid_seq"
    """``seq`` is no integer in 1…2⁵³−1, or missing. The connection's data can't be trusted."""
    INVALID_EVENT = "invalid_event"
    """A field of a known event is missing, of the wrong type, too large or bad syntax."""

    # --- the commit's own bytes
    INVALID_CAR = "invalid_car"
    """``blocks`` is no CAR, has not exactly one root, or holds too many blocks."""
    BLOCK_HASH_MISMATCH = "block_hash_mismatch"
    """A block's bytes do not hash to the CID that it came under."""
    INVALID_COMMIT = "invalid_commit"
    """The commit block is no version 3 commit object."""
    ENVELOPE_MISMATCH = "envelope_mismatch"
    """``commit``, ``repo``/``did`` or ``rev`` of the event differ from the signed commit's."""
    INVALID_KEY = "invalid_key"
    """The identity's signing key is none, or not a compressed k256 or p256 Multikey."""
    BAD_SIGNATURE = "bad_signature"
    """The signature is not the identity's, not low-S, or not 64 bytes."""

    # --- whose it is
    IDENTITY_NOT_FOUND = "identity_not_found"
    """The directory answers that there is no such DID."""
    IDENTITY_UNAVAILABLE = "identity_unavailable"
    """The directory could not be asked. The commit is parked, not lost."""
    INACTIVE_ACCOUNT = "inactive_account"
    """The account is deactivated, suspended, taken down or deleted."""

    NOT_ITS_PDS = "not_its_pds"
    """An ``#account`` event of a PDS that the account's DID document does not name: it was there
    before. Only its own PDS, and relays, speak for an account."""

    STALE_ACCOUNT = "stale_account"
    """An ``#account`` event, when another source has told of something later."""

    # --- what it claims to have changed
    TOO_BIG = "too_big"
    """``tooBig`` is set: the ops are not in the frame, only a resync can tell."""
    FUTURE_REV = "future_rev"
    """``rev`` is more than five minutes ahead of our clock."""
    STALE_REV = "stale_rev"
    """``rev`` does not rise: not above ``since``, or not above what we hold."""
    FORKED_REV = "forked_rev"
    """The same ``rev`` as the one we hold, signed over other data. Raises an alarm."""
    INVALID_OP = "invalid_op"
    """Ops of the wrong shape: a create with prev, a delete with cid, a path named twice …"""
    OP_CID_MISMATCH = "op_cid_mismatch"
    """The signed tree does not hold ``op.cid`` at ``op.path``."""
    MISSING_BLOCK = "missing_block"
    """A record, or a tree node that the proof needs, is not in the CAR."""
    INVALID_MST = "invalid_mst"
    """A tree node breaks the rules: order, prefixes, layers, keys, encoding."""
    MISSING_PREV_DATA = "missing_prev_data"
    """No ``prevData`` to invert to: nothing is applied, the repo is fetched again."""
    OVERSIZED_REPO = "oversized_repo"
    """A whole repo holds more records, or longer paths, than are taken of one account."""
    INVERSION_MISMATCH = "inversion_mismatch"
    """Undoing the ops does not lead back to ``prevData``: they are not the whole difference."""
    KEY_COLLISION = "key_collision"
    """The record's integer key is that of another account's record, which stays. Somebody searched
    for it: by chance it does not happen."""

    # --- one record; its siblings are indexed
    INVALID_RECORD_CBOR = "invalid_record_cbor"
    """The record's block is not strict DAG-CBOR within the AT Protocol data model."""
    INVALID_RECORD = "invalid_record"
    """No known generation of the lexicon explains the record."""
    OVERSIZED_RECORD = "oversized_record"
    """The record's block is longer than 1,000,000 bytes."""

    # --- the stream
    STREAM_ERROR = "stream_error"
    """The source sent an error frame and closed."""


@dataclass(frozen=True, slots=True)
class Drop:
    """One thing that was not indexed. ``source`` is the firehose's URL; ``seq`` and ``did`` are
    None where the frame could not be read that far; ``frame`` is the whole frame, byte for byte."""

    reason: DropReason
    detail: str
    source: str
    seq: int | None
    did: str | None
    frame: bytes


class Refused(ProtocolError):
    """Something from the network is not accepted, for a named ``reason``.

    Never leaves the pure modules except from ``frames.parse``; there ``seq`` and ``did`` say how
    far the frame could be read. They are the source's claim, not verified.
    """

    def __init__(
        self, reason: DropReason, detail: str, seq: int | None = None, did: str | None = None
    ) -> None:
        self.reason, self.detail, self.seq, self.did = reason, detail, seq, did
        super().__init__(f"{reason}: {detail}")


class InvalidEvent(Refused):
    """A frame that is not an event of the firehose's lexicon."""

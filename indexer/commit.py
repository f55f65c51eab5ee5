"""The signed commit object of a repository, and the keys that sign it.

The rule protected here: what a signature covers is the commit object without ``sig``, byte for
byte, and exactly one signature per key and message is accepted: 64 bytes, low-S, never DER.
Sources: https://atproto.com/specs/repository#commit-objects, https://atproto.com/specs/cryptography.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import coincurve
import libipld
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from atdata.protocol import cbor
from atdata.protocol.cid import DAG_CBOR, Cid
from atdata.protocol.errors import InvalidCbor, InvalidSyntax, quote
from atdata.protocol.syntax import Did, Tid
from indexer.drops import DropReason, Refused

VERSION = 3
MAX_COMMIT = 10_000  # bytes of a commit object, as in a #sync; ours have about 250
MAX_DEPTH = 4  # of a commit object: it is flat, later versions get a little room
_MAX_KEY_TEXT = 128  # characters of a Multikey; ours have 49
_DID_KEY = "did:key:"

# An ordinary commit object in canonical DAG-CBOR: its fields in their only order, nothing else.
_ORDINARY = re.compile(
    rb"\xa6(cdidx\x20([ -~]{32})crevm([ -~]{13}))csigX\x40(.{64})"
    rb"(ddata\xd8\x2a\x58\x25\x00(\x01\x71\x12\x20.{32})dprev\xf6gversion\x03)",
    re.DOTALL,
).fullmatch


class Curve(StrEnum):
    """The two curves of the protocol."""

    K256 = "k256"
    P256 = "p256"


_MULTICODEC = {b"\xe7\x01": Curve.K256, b"\x80\x24": Curve.P256}
_ORDER = {
    Curve.K256: 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141,
    Curve.P256: 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551,
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A compressed point (33 bytes) on ``curve``; it is on the curve, or there is no such value."""

    curve: Curve
    point: bytes
    _key: coincurve.PublicKey | ec.EllipticCurvePublicKey = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a Multikey (``z…``) or a ``did:key``. Raises ``Refused`` (``INVALID_KEY``)."""
        if len(text) > _MAX_KEY_TEXT or not text.removeprefix(_DID_KEY).startswith("z"):
            raise _invalid_key(text, "expected a Multikey in base58btc")
        try:
            _, raw = libipld.decode_multibase(text.removeprefix(_DID_KEY))
        except ValueError as error:
            raise _invalid_key(text, "not base58btc") from error
        curve, point = _MULTICODEC.get(raw[:2]), raw[2:]
        if curve is None or len(point) != 33:
            raise _invalid_key(text, "expected a compressed k256 or p256 key")
        try:
            if curve is Curve.K256:
                return cls(curve, point, coincurve.PublicKey(point))
            return cls(
                curve, point, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
            )
        except ValueError as error:
            raise _invalid_key(text, f"not a point of {curve}") from error

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (r and s, 32 bytes each, s low) over SHA-256 of ``message`` is
        this key's. Never raises."""
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        order = _ORDER[self.curve]
        if not (0 < r < order and 0 < s <= order // 2):
            return False
        der = encode_dss_signature(r, s)
        if isinstance(self._key, coincurve.PublicKey):
            return self._key.verify(der, message)
        try:
            self._key.verify(der, message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """A version 3 commit object. ``unsigned`` is what ``sig`` covers: the object without it."""

    did: Did
    rev: Tid
    data: Cid
    prev: Cid | None
    sig: bytes
    unsigned: bytes

    @classmethod
    def parse(cls, block: bytes) -> Self:
        """From the commit block. Raises ``Refused`` (``INVALID_COMMIT``). Unknown fields are
        allowed and covered by the signature."""
        if len(block) > MAX_COMMIT:
            raise _invalid_commit(f"{len(block)} bytes, at most {MAX_COMMIT} are allowed")
        ordinary = _ORDINARY(block)
        if ordinary is not None:
            before, did, rev, sig, after, data = ordinary.groups()
            unsigned = b"\xa5" + before + after
            return cls._of(did.decode(), rev.decode(), Cid(data), None, sig, unsigned)
        try:
            value = cbor.decode(block, max_depth=MAX_DEPTH)
        except InvalidCbor as error:
            raise _invalid_commit(str(error)) from error
        if not isinstance(value, dict) or value.get("version") != VERSION:
            raise _invalid_commit(f"not a map of version {VERSION}")
        did, rev, data = value.get("did"), value.get("rev"), value.get("data")
        prev, sig = value.get("prev"), value.pop("sig", None)
        if not isinstance(data, Cid) or data.codec != DAG_CBOR or not isinstance(sig, bytes):
            raise _invalid_commit("data must be a link to DAG-CBOR, and sig bytes")
        if not (prev is None or isinstance(prev, Cid)) or "prev" not in value:
            raise _invalid_commit("prev must be a link or null")
        if not isinstance(did, str) or not isinstance(rev, str):
            raise _invalid_commit("did and rev must be text")
        return cls._of(did, rev, data, prev, sig, cbor.encode(value))

    @classmethod
    def _of(
        cls, did: str, rev: str, data: Cid, prev: Cid | None, sig: bytes, unsigned: bytes
    ) -> Self:
        try:
            return cls(Did.parse(did), Tid.parse(rev), data, prev, sig, unsigned)
        except InvalidSyntax as error:
            raise _invalid_commit(str(error)) from error


def _invalid_key(text: str, why: str) -> Refused:
    return Refused(DropReason.INVALID_KEY, f"signing key {quote(text)}: {why}")


def _invalid_commit(detail: str) -> Refused:
    return Refused(DropReason.INVALID_COMMIT, f"commit object: {detail}")

"""Commit objects and keys: what a signature covers, and the one form in which it is accepted."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import coincurve
import libipld
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from atdata.protocol import cbor
from atdata.protocol.cid import RAW, Cid
from indexer.commit import MAX_COMMIT, Curve, PublicKey, SignedCommit
from indexer.drops import DropReason, Refused
from tests.indexer.repo_builder import DID, K256, P256, Repo, SigningKey

MESSAGE = b"to whom it may concern"


@pytest.mark.parametrize("key", [K256, P256], ids=lambda key: key.curve)
def test_a_signature_is_of_its_key_and_message(key: SigningKey) -> None:
    signature = key.sign(MESSAGE)
    assert key.public.verify(MESSAGE, signature)
    assert not key.public.verify(MESSAGE + b".", signature)
    assert not SigningKey(key.curve, 7).public.verify(MESSAGE, signature)


@pytest.mark.parametrize("key", [K256, P256], ids=lambda key: key.curve)
def test_a_signature_has_one_form(key: SigningKey) -> None:
    signature = key.sign(MESSAGE)
    order = int.from_bytes(signature[32:]) + int.from_bytes(key.sign(MESSAGE, high_s=True)[32:])
    r, s = signature[:32], signature[32:]
    for other in (
        key.sign(MESSAGE, high_s=True),
        key.sign_der(MESSAGE),
        b"",
        signature[:-1],
        signature + b"\0",
        r + b"\0" + s,
        bytes(64),
        r + bytes(32),
        bytes(32) + s,
        b"\xff" * 32 + s,
        r + (order if key is K256 else 2**256 - 1).to_bytes(32),
    ):
        assert not key.public.verify(MESSAGE, other), other.hex()


def signed_with_s(curve: ec.EllipticCurve, order: int, s: int) -> tuple[PublicKey, bytes]:
    """A key under which ``MESSAGE`` has a signature with this ``s``, and that signature: of the
    nonce, the message and ``s``, the key follows."""
    nonce = 0xC0FFEE
    r = ec.derive_private_key(nonce, curve).public_key().public_numbers().x % order
    z = int.from_bytes(sha256(MESSAGE).digest())
    secret = (s * nonce - z) * pow(r, -1, order) % order
    name = "k256" if curve.name == "secp256k1" else "p256"
    return SigningKey(name, secret).public, r.to_bytes(32) + s.to_bytes(32)


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.SECP256R1()], ids=lambda curve: curve.name)
def test_s_is_at_most_half_of_the_order(curve: ec.EllipticCurve) -> None:
    order = curve.group_order
    key, signature = signed_with_s(curve, order, order // 2)
    assert key.verify(MESSAGE, signature)
    key, signature = signed_with_s(curve, order, order // 2 + 1)
    assert not key.verify(MESSAGE, signature)
    low = signature[:32] + (order - int.from_bytes(signature[32:])).to_bytes(32)
    assert key.verify(MESSAGE, low), "the other form of the same signature"


@pytest.mark.parametrize(("key", "curve"), [(K256, Curve.K256), (P256, Curve.P256)])
def test_a_key_is_read_from_a_multikey_and_from_a_did_key(key: SigningKey, curve: Curve) -> None:
    parsed = PublicKey.parse(key.multibase)
    assert parsed == PublicKey.parse(f"did:key:{key.multibase}")
    assert (parsed.curve, len(parsed.point)) == (curve, 33)


def multikey(raw: bytes) -> str:
    return str(libipld.encode_multibase("z", raw))


UNCOMPRESSED = coincurve.PrivateKey.from_int(5).public_key.format(compressed=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "z",
        "did:key:",
        "did:plc:z",
        "z0OIl",
        K256.multibase[1:],
        "m" + K256.multibase[1:],
        K256.multibase + " ",
        K256.multibase[:-1],
        "z" * 129,
        "z" * 1_000_000,
        str(libipld.encode_multibase("b", b"\xe7\x01" + K256.public.point)),
        str(libipld.encode_multibase("m", b"\xe7\x01" + K256.public.point)),
        multikey(b"\xe7\x01"),
        multikey(b"\xed\x01" + bytes(32)),
        multikey(b"\xe7\x01" + UNCOMPRESSED),
        multikey(b"\xe7\x01\x02" + bytes(32)),
        multikey(b"\x80\x24\x02" + b"\xff" * 32),
        multikey(b"\xe7\x01\x05" + UNCOMPRESSED[1:33]),
        multikey(b"\x80\x24" + UNCOMPRESSED[:33]),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        PublicKey.parse(text)
    assert caught.value.reason is DropReason.INVALID_KEY


def test_what_is_too_long_for_a_key_is_not_decoded() -> None:
    """Base58 takes time with the square of its length."""
    with pytest.raises(Refused, match="expected a Multikey"):
        PublicKey.parse("z" * 129)


# --- commit objects -----------------------------------------------------------------------------


def repo() -> Repo:
    repo = Repo()
    repo.commit()
    return repo


@pytest.mark.parametrize("prev", [None, Cid.of(b"before")])
@pytest.mark.parametrize("spare", [{}, {"novel": [1, "x"]}])
def test_a_commit_object_is_read_and_its_signature_covers_the_rest(
    prev: Cid | None, spare: dict[str, Any]
) -> None:
    author = repo()
    _, block = author.signed_commit(prev=prev, **spare)
    signed = SignedCommit.parse(block)
    assert (signed.did, signed.rev, signed.data, signed.prev) == (
        DID,
        author.rev,
        author.data,
        prev,
    )
    assert signed.unsigned == cbor.encode(
        {"did": DID, "version": 3, "rev": author.rev, "data": author.data, "prev": prev, **spare}
    )
    assert K256.public.verify(signed.unsigned, signed.sig)


GOOD = cbor.decode(repo().signed_commit()[1])
assert isinstance(GOOD, dict)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no CBOR"),
        pytest.param(cbor.encode([]), id="no map"),
        pytest.param(cbor.encode(GOOD) + b"\0", id="trailing byte"),
        *(
            pytest.param(cbor.encode({k: v for k, v in GOOD.items() if k != name}), id=f"no {name}")
            for name in ("did", "version", "rev", "data", "prev", "sig")
        ),
        *(
            pytest.param(cbor.encode({**GOOD, name: value}), id=f"{name}: {value!r:.30}")
            for name, value in (
                ("version", 2),
                ("version", "3"),
                ("did", "alice.test"),
                ("did", 5),
                ("rev", "yesterday"),
                ("rev", 5),
                ("data", None),
                ("data", "bafy"),
                ("data", Cid.of(b"x", RAW)),
                ("prev", "bafy"),
                ("sig", "text"),
                ("novel", [[[[[]]]]]),
                ("novel", "x" * MAX_COMMIT),
            )
        ),
    ],
)
def test_what_is_no_commit_object_is_refused(block: bytes) -> None:
    with pytest.raises(Refused) as caught:
        SignedCommit.parse(block)
    assert caught.value.reason is DropReason.INVALID_COMMIT

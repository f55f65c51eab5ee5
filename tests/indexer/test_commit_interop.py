"""The protocol's own fixtures for signatures and did:key, all of them."""

from __future__ import annotations

import base64
from typing import Any

import libipld

from indexer.commit import Curve, PublicKey
from tests.indexer.repo_builder import SigningKey
from tests.protocol.interop_fixtures import cases, needs_interop

pytestmark = needs_interop("cryptography")


def unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def test_interop_signatures() -> None:
    verdicts = []
    for case in cases("crypto/signature-fixtures.json", 6):
        key = PublicKey.parse(case["publicKeyDid"])
        assert key.curve is {"ES256": Curve.P256, "ES256K": Curve.K256}[case["algorithm"]]
        valid = key.verify(unpadded(case["messageBase64"]), unpadded(case["signatureBase64"]))
        assert valid is case["validSignature"], case["comment"]
        verdicts.append(valid)
    assert (verdicts.count(True), verdicts.count(False)) == (2, 4)


def check_did_key(curve: str, secret: bytes, case: dict[str, Any]) -> None:
    key = SigningKey(curve, int.from_bytes(secret))
    assert f"did:key:{key.multibase}" == case["publicDidKey"]
    assert PublicKey.parse(case["publicDidKey"]).verify(b"message", key.sign(b"message"))


def test_interop_did_keys_k256() -> None:
    for case in cases("crypto/w3c_didkey_K256.json", 5):
        check_did_key("k256", bytes.fromhex(case["privateKeyBytesHex"]), case)


def test_interop_did_keys_p256() -> None:
    for case in cases("crypto/w3c_didkey_P256.json", 1):
        _, secret = libipld.decode_multibase("z" + case["privateKeyBytesBase58"])
        check_did_key("p256", secret, case)

"""What a DID document says, in all the forms that are met, and what counts as absent."""

from __future__ import annotations

from typing import Any

import coincurve
import libipld
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atdata.network.did_document import Identity, read_document

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
K256 = coincurve.PrivateKey.from_int(7).public_key
P256 = ec.derive_private_key(7, ec.SECP256R1()).public_key()
P256_SHORT = P256.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
P256_LONG = P256.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def multibase(raw: bytes, base: str = "z") -> str:
    return str(libipld.encode_multibase(base, raw))


KEY = multibase(b"\xe7\x01" + K256.format())
P256_KEY = multibase(b"\x80\x24" + P256_SHORT)


def document(**changes: Any) -> dict[str, Any]:
    return {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": DID,
        "alsoKnownAs": ["at://Alice.example.com"],
        "verificationMethod": [method()],
        "service": [service()],
        **changes,
    }


def method(**changes: Any) -> dict[str, Any]:
    own = {
        "id": f"{DID}#atproto",
        "type": "Multikey",
        "controller": DID,
        "publicKeyMultibase": KEY,
    }
    return {**own, **changes}


def service(**changes: Any) -> dict[str, Any]:
    own = {
        "id": "#atproto_pds",
        "type": "AtprotoPersonalDataServer",
        "serviceEndpoint": "https://pds.example.com",
    }
    return {**own, **changes}


def read(**changes: Any) -> Identity:
    return read_document(document(**changes), DID, dev=False)


def test_a_whole_document() -> None:
    assert read() == Identity(DID, "https://pds.example.com", KEY, "alice.example.com")


def test_an_empty_document_is_an_identity_without_anything() -> None:
    assert read_document({"id": DID}, DID, dev=False) == Identity(DID, None, None, None)


@pytest.mark.parametrize("other", [None, [], "x", {}, {"id": "did:plc:other"}, {"id": [DID]}])
def test_a_document_of_somebody_else_is_none(other: Any) -> None:
    with pytest.raises(ValueError):
        read_document(other, DID, dev=False)


@pytest.mark.parametrize("junk", [None, 1, "x", {}, [None, 1, "x", [], {"id": None}]])
def test_junk_counts_as_absent(junk: Any) -> None:
    identity = read(alsoKnownAs=junk, verificationMethod=junk, service=junk)
    assert identity == Identity(DID, None, None, None)


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Multikey", KEY, KEY),
        ("Multikey", P256_KEY, P256_KEY),
        ("EcdsaSecp256k1VerificationKey2019", multibase(K256.format(compressed=False)), KEY),
        ("EcdsaSecp256k1VerificationKey2019", multibase(K256.format()), KEY),
        ("EcdsaSecp256r1VerificationKey2019", multibase(P256_LONG), P256_KEY),
        ("EcdsaSecp256r1VerificationKey2019", multibase(P256_SHORT), P256_KEY),
    ],
)
def test_every_generation_of_key_is_read_as_a_multikey(kind: str, text: str, expected: str) -> None:
    assert read(verificationMethod=[method(type=kind, publicKeyMultibase=text)]).signing_key == (
        expected
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"publicKeyMultibase": None},
        {"publicKeyMultibase": ""},
        {"publicKeyMultibase": "z"},
        {"publicKeyMultibase": "z0OIl"},
        {"publicKeyMultibase": "z" + "2" * 10_000},
        {"publicKeyMultibase": multibase(b"\xe7\x01" + K256.format(), "b")},
        {"publicKeyMultibase": multibase(b"\xed\x01" + bytes(32))},  # Ed25519
        {"publicKeyMultibase": multibase(b"\xe7\x01" + K256.format(compressed=False))},
        {"type": "EcdsaSecp256k1VerificationKey2019"},
        {"type": "Ed25519VerificationKey2020"},
        {"type": None},
        {"controller": "did:plc:other"},
        {"id": "#other"},
        {"id": "did:plc:other#atproto"},
    ],
)
def test_keys_that_cannot_be_used(changes: dict[str, Any]) -> None:
    assert read(verificationMethod=[method(**changes)]).signing_key is None


def test_the_first_atproto_key_counts() -> None:
    methods = [method(id="#other"), method(id="#atproto", publicKeyMultibase=P256_KEY), method()]
    assert read(verificationMethod=methods).signing_key == P256_KEY


# --- the PDS ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://pds.example.com/", "https://pds.example.com"),
        ("https://PDS.example.com:443", "https://pds.example.com"),
        ("https://pds.example.com:8443", "https://pds.example.com:8443"),
        ("https://pds.example.com/path", None),
        ("https://pds.example.com/?q", None),
        ("https://user@pds.example.com", None),
        ("http://pds.example.com", None),
        ("ftp://pds.example.com", None),
        ("pds.example.com", None),
        (["https://pds.example.com"], None),
        (None, None),
    ],
)
def test_the_endpoint_is_an_https_origin(endpoint: Any, origin: str | None) -> None:
    assert read(service=[service(serviceEndpoint=endpoint)]).pds == origin


def test_http_in_development() -> None:
    local = document(service=[service(serviceEndpoint="http://localhost:2583")])
    assert read_document(local, DID, dev=True).pds == "http://localhost:2583"


@pytest.mark.parametrize("changes", [{"type": "BskyFeedGenerator"}, {"id": "#atproto_labeler"}])
def test_other_services_are_no_pds(changes: dict[str, Any]) -> None:
    assert read(service=[service(**changes)]).pds is None


def test_the_service_may_be_named_in_full() -> None:
    others = [service(id="#x"), service(id=f"{DID}#atproto_pds")]
    assert read(service=others).pds == "https://pds.example.com"


# --- the handle ---------------------------------------------------------------------------------


def test_the_first_valid_handle_counts() -> None:
    names = [
        "https://x.com",
        "at://",
        "at://no_handle",
        "at://bob.example.com",
        "at://c.example.com",
    ]
    assert read(alsoKnownAs=names).handle == "bob.example.com"

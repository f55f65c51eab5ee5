"""What a DID document says about an AT Protocol account. Pure: a JSON value in, an Identity out.

Rule: a part that is malformed counts as absent, and a document under another id as none at all.
Source: https://atproto.com/specs/did#did-documents; legacy keys: the same page, "Legacy
Representation".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import libipld

from atdata.network.addresses import target_of
from atdata.protocol.errors import BlockedAddress, InvalidSyntax
from atdata.protocol.syntax import Handle

MAX_KEY_TEXT = 200
MAX_ENTRIES = 100

_K256, _P256 = b"\xe7\x01", b"\x80\x24"  # multicodec, as varints
_LEGACY = {
    "EcdsaSecp256k1VerificationKey2019": _K256,
    "EcdsaSecp256r1VerificationKey2019": _P256,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """An account as its DID document describes it. ``pds`` is an origin without trailing slash,
    ``signing_key`` the ``#atproto`` key as a Multikey (``zQ3sh…``, ``zDn…``), ``handle`` what the
    account claims, in lower case and not verified. None: absent or unusable."""

    did: str
    pds: str | None
    signing_key: str | None
    handle: str | None


def read_document(document: Any, did: str, *, dev: bool) -> Identity:
    """The identity in ``document``, a JSON value. ``dev`` allows a PDS on http.

    Raises ``ValueError`` if it is no DID document of ``did``.
    """
    if not isinstance(document, Mapping):
        raise ValueError("the DID document is no object")
    if document.get("id") != did:
        raise ValueError("the DID document has another id")
    return Identity(
        did=did,
        pds=_pds(document, did, dev=dev),
        signing_key=_signing_key(document, did),
        handle=_handle(document),
    )


def _entries(document: Mapping[str, Any], member: str) -> list[Any]:
    entries = document.get(member)
    return entries[:MAX_ENTRIES] if isinstance(entries, list) else []


def _with_fragment(
    document: Mapping[str, Any], member: str, did: str, fragment: str
) -> Iterator[Mapping[str, Any]]:
    """The entries whose id is ``#fragment``, alone or after the DID."""
    for entry in _entries(document, member):
        if isinstance(entry, Mapping) and entry.get("id") in (f"#{fragment}", f"{did}#{fragment}"):
            yield entry


def _pds(document: Mapping[str, Any], did: str, *, dev: bool) -> str | None:
    """The first matching service counts; if it is malformed there is none."""
    service = next(_with_fragment(document, "service", did, "atproto_pds"), None)
    if service is None or service.get("type") != "AtprotoPersonalDataServer":
        return None
    endpoint = service.get("serviceEndpoint")
    if not isinstance(endpoint, str):
        return None
    try:
        target = target_of(endpoint, dev=dev)
    except BlockedAddress:
        return None
    return target.origin if target.path == "/" else None


def _signing_key(document: Mapping[str, Any], did: str) -> str | None:
    method = next(_with_fragment(document, "verificationMethod", did, "atproto"), None)
    if method is None or method.get("controller") not in (did, None):
        return None
    text = method.get("publicKeyMultibase")
    if not isinstance(text, str) or len(text) > MAX_KEY_TEXT or not text.startswith("z"):
        return None
    try:
        _, raw = libipld.decode_multibase(text)
    except ValueError:
        return None
    if method.get("type") == "Multikey":
        return text if raw[:2] in (_K256, _P256) and len(raw) == 35 else None
    codec = _LEGACY.get(str(method.get("type")))
    point = _compressed(raw)
    if codec is None or point is None:
        return None
    return str(libipld.encode_multibase("z", codec + point))


def _compressed(point: bytes) -> bytes | None:
    """A point of an elliptic curve in 33 bytes, from either form of SEC 1 §2.3.3."""
    if len(point) == 33 and point[0] in (2, 3):
        return point
    if len(point) == 65 and point[0] == 4:
        return bytes([2 + (point[-1] & 1)]) + point[1:33]
    return None


def _handle(document: Mapping[str, Any]) -> str | None:
    """The first ``at://`` name that is a valid handle."""
    for name in _entries(document, "alsoKnownAs"):
        if isinstance(name, str) and name.startswith("at://"):
            try:
                return Handle.parse(name.removeprefix("at://"))
            except InvalidSyntax:
                continue
    return None

"""DIDs and handles: the DID document, its signing key and PDS, and handles verified both ways.

did:plc through a PLC directory, did:web through the well-known document. Answers are cached for a
bounded time and number; ``refresh`` asks again. A handle counts only when the DID document names it
and it resolves back to the DID.
"""
from __future__ import annotations
from dataclasses import dataclass
from atdata.network.http import HttpClient

@dataclass(frozen=True, slots=True)
class Identity:
    did: str
    pds: str | None            # origin, no trailing slash
    signing_key: str | None    # multibase of the #atproto key (publicKeyMultibase)
    handle: str | None         # as claimed in alsoKnownAs, lower case

class Resolver:
    def __init__(self, http: HttpClient, *, plc: str, ttl: float = 3600.0, max_entries: int = 100_000) -> None: ...
    # resolve(did: str) -> Identity           IdentityNotFound | IdentityUnavailable
    # refresh(did: str) -> Identity           drops the cache, asks again (rate limited per DID: not more than once per 2 s… returns cached then)
    # forget(did: str) -> None
    # resolve_handle(handle: str) -> str (did)   DNS TXT _atproto.<handle>, then https://<handle>/.well-known/atproto-did
    # verified_handle(identity) -> str | None   both ways; dev: asks the identity's own PDS com.atproto.identity.resolveHandle
    # resolve_authority(text: str) -> str did   a DID stays, a handle is resolved

"""What the events of one repo prove: identity, then signature and tree, then the handle; and of an
``#account`` event, whether its source may speak for the account.

The rule protected here is invariant 2: this is the only way from an event to state, and nothing but
the DID document is fetched before a signature was good. Knows no stored state, so that repos are
proved side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from atdata.network.identity import Identity, Resolver
from atdata.protocol.errors import IdentityNotFound, NetworkError
from indexer import events
from indexer.commit import PublicKey
from indexer.decide import Entitled, Profile, Proof
from indexer.drops import DropReason, Refused
from indexer.speakers import Speakers
from indexer.verify import Rejected, VerifiedCommit, verify_commit, verify_sync


@dataclass(frozen=True, slots=True)
class Said:
    """An ``#account`` event, and the URL of the source that it came from."""

    event: events.Account
    source: str


Provable = events.Commit | events.Sync | events.Identity | Said

_public_key = lru_cache(10_000)(PublicKey.parse)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One proof for each commit, sync and account event, in order; ``profile`` where it was asked
    for and the directory answered."""

    proofs: tuple[Proof, ...]
    profile: Profile | None


class Prover:
    """``clock`` gives microseconds since 1970. Thread-safe, as the resolver is."""

    def __init__(self, resolver: Resolver, clock: Callable[[], int]) -> None:
        self._resolver = resolver
        self._speakers = Speakers(resolver.http)
        self._clock = clock

    def prove(self, did: str, evidence: Sequence[Provable], *, known: bool) -> Evidence:
        """Judge the events of ``did``, in order. The profile is fetched for a repo that is not
        ``known`` once a commit of it is verified, and after an ``#identity`` of one that is.

        Never raises for anything that the network says or fails to say.
        """
        renewed = any(isinstance(event, events.Identity) for event in evidence)
        if renewed or any(isinstance(event, Said) for event in evidence):
            self._resolver.forget(did)
        proofs = tuple(
            self._judge(event) for event in evidence if not isinstance(event, events.Identity)
        )
        verified = any(isinstance(proof, VerifiedCommit) for proof in proofs)
        wanted = renewed if known else verified
        profile = profile_of(self._resolver, did, renew=renewed) if wanted else None
        return Evidence(proofs, profile)

    def prove_at_hand(
        self, did: str, evidence: Sequence[Provable], *, known: bool
    ) -> Evidence | None:
        """As ``prove``, where that takes no more than what is remembered; else None."""
        identity = self._resolver.at_hand(did)
        if identity is None:
            return None
        proofs: list[Proof] = []
        for event in evidence:
            if not isinstance(event, events.Commit | events.Sync):
                return None
            proof = self._verify(event, identity)
            if isinstance(proof, Rejected) and proof.reason is DropReason.BAD_SIGNATURE:
                return None
            if isinstance(proof, VerifiedCommit) and not known:
                return None
            proofs.append(proof)
        return Evidence(tuple(proofs), None)

    def _judge(self, event: events.Commit | events.Sync | Said) -> Proof:
        """A signature that fails may be by a key that was just rotated: ask the directory once."""
        try:
            if isinstance(event, Said):
                return self._hear(event)
            proof = self._verify(event, self._resolver.resolve(event.did))
            if isinstance(proof, Rejected) and proof.reason is DropReason.BAD_SIGNATURE:
                proof = self._verify(event, self._resolver.refresh(event.did))
        except IdentityNotFound as error:
            return Rejected(DropReason.IDENTITY_NOT_FOUND, str(error), None)
        except NetworkError as error:
            return Rejected(DropReason.IDENTITY_UNAVAILABLE, str(error), None)
        return proof

    def _hear(self, said: Said) -> Proof:
        """A PDS's last word on an account is often that it has left: ``prove`` made sure that the
        document is not the one from before. Without a document, nobody else has a say."""
        speaker = self._speakers.of(said.source)
        if speaker.origins is None:
            return Entitled()
        try:
            pds = self._resolver.resolve(said.event.did).pds
        except IdentityNotFound:
            return Entitled()
        if speaker.speaks_for(pds):
            return Entitled()
        detail = f"{said.source} says {said.event.status or 'active'}, the account is at {pds}"
        return Rejected(DropReason.NOT_ITS_PDS, detail, None)

    def _verify(self, event: events.Commit | events.Sync, identity: Identity) -> Proof:
        if identity.signing_key is None:
            return Rejected(DropReason.INVALID_KEY, "the DID document has no #atproto key", None)
        try:
            key = _public_key(identity.signing_key)
        except Refused as error:
            return Rejected(error.reason, error.detail, None)
        if isinstance(event, events.Sync):
            return verify_sync(event, key, now_us=self._clock())
        return verify_commit(event, key, now_us=self._clock())


def profile_of(resolver: Resolver, did: str, *, renew: bool) -> Profile | None:
    """Who ``did`` is now; None if the directory can't be asked. A handle that can't be verified
    now counts as unverified; with ``renew`` it is not taken from what is remembered, which may be
    of the time before it went to another account."""
    try:
        identity = resolver.resolve(did)
    except NetworkError:
        return None
    try:
        handle = resolver.verified_handle(identity, renew=renew)
    except NetworkError:
        handle = None
    return Profile(identity.pds, handle, identity.handle)

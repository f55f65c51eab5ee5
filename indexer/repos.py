"""Fetches from the accounts' PDSes: a whole repo, the newest rev, which collections there are.

Rules protected here: where an account lives and which key signs is asked of its directory before
every fetch; nothing is believed that the key did not sign; size and time are capped; what a PDS
says for good (not found, taken down, …) is told apart from what may pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from atdata.network.http import HttpClient, xrpc_error
from atdata.network.identity import Identity, Resolver
from atdata.protocol.errors import (
    FetchFailed,
    IdentityNotFound,
    InvalidSyntax,
    NetworkError,
    TooLarge,
    XrpcError,
    quote,
)
from atdata.protocol.namespaces import COLLECTIONS
from atdata.protocol.syntax import Did, Tid
from indexer.batch import UNSERVED
from indexer.commit import PublicKey
from indexer.decide import Profile
from indexer.drops import DropReason, Refused
from indexer.tables import InvalidRow, Rows
from indexer.verify import Rejected, VerifiedRepo, verify_repo
from indexer.versions import judged, versions_of

_SMALL_BYTES = 8_000_000  # of a repo
_LARGE_AT_ONCE = 2  # larger ones, with all their bytes in memory
_ANSWER_SECONDS = 30.0
_ANSWER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class RepoLimits:
    """Of one ``getRepo``: bytes of the CAR, and seconds for all of it."""

    bytes: int = 128_000_000
    seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A repo, verified, and who it is; ``pds`` is where it came from. ``judged``: what comes of its
    records, as far as that is known: it takes long, and the writer is not to wait."""

    repo: VerifiedRepo
    profile: Profile
    pds: str
    judged: tuple[Rows | InvalidRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Gone:
    """The account's PDS does not serve it: ``error`` is one of ``UNSERVED``."""

    error: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Not to be had now. ``drop`` names what was wrong with the answer, if there was one;
    ``retry_after`` is the number of seconds that the host asked to be left alone."""

    why: str
    drop: DropReason | None = None
    retry_after: float | None = None


class RepoClient:
    """``clock`` gives microseconds since 1970. Thread-safe; nothing here raises for anything that
    the network does, but returns ``Failed``."""

    def __init__(
        self,
        http: HttpClient,
        resolver: Resolver,
        clock: Callable[[], int],
        limits: RepoLimits | None = None,
    ) -> None:
        self._http, self._resolver, self._clock = http, resolver, clock
        self._limits = limits or RepoLimits()
        self._large = threading.BoundedSemaphore(_LARGE_AT_ONCE)
        self._one_verified = threading.Lock()

    def locate(self, did: str) -> Identity | Failed:
        """Where ``did`` lives now, with a PDS and a key."""
        try:
            identity = self._resolver.refresh(did)
        except IdentityNotFound as error:
            return Failed(str(error), DropReason.IDENTITY_NOT_FOUND)
        except NetworkError as error:
            return Failed(str(error))
        if identity.pds is None:
            return Failed("the DID document names no PDS")
        if identity.signing_key is None:
            return Failed("the DID document has no #atproto key", DropReason.INVALID_KEY)
        return identity

    def fetch(self, identity: Identity) -> Fetched | Gone | Failed:
        """The repo of ``identity`` (from ``locate``), with the records of indexed collections."""
        assert identity.pds is not None
        assert identity.signing_key is not None
        try:
            key = PublicKey.parse(identity.signing_key)
            try:
                repo = self._verified(identity, key, min(_SMALL_BYTES, self._limits.bytes))
            except TooLarge:
                with self._large:
                    repo = self._verified(identity, key, self._limits.bytes)
        except Refused as error:
            return Failed(error.detail, error.reason)
        except NetworkError as error:
            return _not_served(error)
        if isinstance(repo, Rejected):
            return Failed(f"{repo.reason}: {repo.detail}", repo.reason)
        rows = (judged(v, identity.pds, self._clock()) for v in versions_of(repo))
        return Fetched(repo, self._profile(identity), identity.pds, tuple(rows))

    def _verified(
        self, identity: Identity, key: PublicKey, max_bytes: int
    ) -> VerifiedRepo | Rejected:
        """One after the other: the parts of a repo take several times its bytes."""
        data = self._http.get_bytes(
            f"{identity.pds}/xrpc/com.atproto.sync.getRepo",
            params={"did": identity.did},
            max_bytes=max_bytes,
            timeout=self._limits.seconds,
        )
        with self._one_verified:
            return verify_repo(
                data, Did(identity.did), key, now_us=self._clock(), collections=COLLECTIONS
            )

    def latest_rev(self, did: str, pds: str) -> Tid | Gone | Failed:
        """What the PDS says is the newest rev: a claim, good enough to look closer."""
        answer = self._ask(pds, "com.atproto.sync.getLatestCommit", {"did": did})
        if isinstance(answer, Gone | Failed):
            return answer
        try:
            return Tid.parse(str(answer.get("rev")))
        except InvalidSyntax as error:
            return Failed(str(error))

    def is_active(self, did: str, source: str) -> bool:
        """Whether ``source`` (its HTTP origin) says by now that the account is active."""
        answer = self._ask(source, "com.atproto.sync.getRepoStatus", {"did": did})
        return not isinstance(answer, Gone | Failed) and answer.get("active") is True

    def holds_collections(self, did: str, pds: str) -> bool:
        """Whether the PDS says that the repo has an indexed collection. True if it does not say."""
        answer = self._ask(pds, "com.atproto.repo.describeRepo", {"repo": did})
        if isinstance(answer, Gone):
            return False
        found = None if isinstance(answer, Failed) else answer.get("collections")
        return not isinstance(found, list) or any(name in COLLECTIONS for name in map(str, found))

    def _ask(
        self, pds: str, method: str, params: Mapping[str, str]
    ) -> Mapping[str, object] | Gone | Failed:
        try:
            answer = self._http.get_json(
                f"{pds}/xrpc/{method}",
                params=params,
                max_bytes=_ANSWER_BYTES,
                timeout=_ANSWER_SECONDS,
            )
        except XrpcError as error:
            return _answered(error)
        except NetworkError as error:
            return _not_served(error)
        return answer if isinstance(answer, dict) else Failed(f"{method} answered no object")

    def _profile(self, identity: Identity) -> Profile:
        try:
            handle = self._resolver.verified_handle(identity)
        except NetworkError:
            handle = None
        return Profile(identity.pds, handle, identity.handle)


def _not_served(error: NetworkError) -> Gone | Failed:
    if isinstance(error, FetchFailed):
        answer = xrpc_error(error)
        if answer is not None:
            return _answered(answer, error.retry_after)
        return Failed(quote(str(error), 200), retry_after=error.retry_after)
    return Failed(quote(str(error), 200))


def _answered(error: XrpcError, retry_after: float | None = None) -> Gone | Failed:
    if error.error in UNSERVED:
        return Gone(error.error)
    return Failed(quote(str(error), 200), retry_after=retry_after or error.retry_after)

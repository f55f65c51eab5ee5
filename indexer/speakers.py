"""Who may speak for an account: a relay for all, a PDS for those whose DID document names it.

``#account`` events carry no signature, so that the source is all there is to believe. The rule
protected here: the PDS that an account has left neither hides nor deletes it, whichever arrives
first, its word or the news of the move.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from atdata.network.answers import Answers
from atdata.network.http import HttpClient
from atdata.protocol.errors import FetchFailed, IdentityUnavailable, NetworkError, XrpcError
from atdata.protocol.namespaces import COLLECTIONS
from indexer.listing import BY_COLLECTION

_METHOD = "com.atproto.server.describeServer"
_KNOWN_SECONDS = 3_600.0
_MAX_SOURCES = 1_000
_ANSWER_BYTES = 100_000
_ANSWER_SECONDS = 5.0
_NOT_IMPLEMENTED = 501
_REFUSED = frozenset({401, 403})
_PASSING = _REFUSED | {408, 429}  # what stands before a PDS may answer so for a while
_PATIENCE = 3  # times that a source does not say what it is, before it is asked otherwise
_REFUSED_SECONDS = 3_600.0  # after which one that refuses to say it is none that ever will


@dataclass(frozen=True, slots=True)
class Speaker:
    """A source. ``origins`` are those under which DID documents name it; None for a relay."""

    origins: frozenset[str] | None

    def speaks_for(self, pds: str | None) -> bool:
        """Whether an account whose DID document names ``pds`` is its own."""
        return self.origins is None or pds in self.origins


RELAY = Speaker(None)


@dataclass(frozen=True, slots=True)
class _Silence:
    """How often in a row a source did not say what it is, and since when it refuses to, in seconds;
    None if it did something else the last time."""

    times: int = 0
    refused_since: float | None = None


class Speakers:
    """Tells relays and PDSes apart: only a PDS describes itself (``describeServer``). Thread-safe.

    An answer counts for an hour; who has once described itself stays a PDS. Who says nothing is a
    relay if it lists repos by collection, which only relays do, or if it refuses for an hour.
    """

    def __init__(self, http: HttpClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._http, self._clock = http, clock
        self._known = Answers[Speaker](ttl=_KNOWN_SECONDS, max_entries=_MAX_SOURCES, clock=clock)
        self._pdses: dict[str, Speaker] = {}  # by origin, of sources that are configured
        self._silent: dict[str, _Silence] = {}

    def of(self, source: str) -> Speaker:
        """Who speaks at the firehose ``source``. Raises ``IdentityUnavailable`` if that could not
        be found out now."""
        return self._known.get(source, lambda: self._ask("http" + source.removeprefix("ws")))

    def _ask(self, origin: str) -> Speaker:
        try:
            answer = self._http.get_json(
                f"{origin}/xrpc/{_METHOD}", max_bytes=_ANSWER_BYTES, timeout=_ANSWER_SECONDS
            )
        except (FetchFailed, XrpcError) as error:
            if error.status is None or _may_pass(error.status):
                return self._otherwise(origin, error.status, error)
            found = RELAY
        except NetworkError as error:
            return self._otherwise(origin, None, error)
        else:
            found = _described(origin, answer)
        self._silent.pop(origin, None)
        if found is RELAY:
            return self._pdses.get(origin, RELAY)
        self._pdses[origin] = found
        return found

    def _otherwise(
        self, origin: str, status: int | None, error: NetworkError | XrpcError
    ) -> Speaker:
        """What ``origin`` is, as far as that shows in what else it does. Raises
        ``IdentityUnavailable``."""
        before, now = self._silent.get(origin, _Silence()), self._clock()
        first = now if before.refused_since is None else before.refused_since
        since = first if status in _REFUSED else None
        self._silent[origin] = _Silence(before.times + 1, since)
        if origin not in self._pdses:
            if since is not None and now - since >= _REFUSED_SECONDS:
                return RELAY
            if before.times + 1 >= _PATIENCE and self._lists_by_collection(origin):
                return RELAY
        raise IdentityUnavailable(f"{origin} does not say what it is: {error}") from error

    def _lists_by_collection(self, origin: str) -> bool:
        try:
            answer = self._http.get_json(
                f"{origin}/xrpc/{BY_COLLECTION}",
                params={"collection": next(iter(COLLECTIONS)), "limit": "1"},
                max_bytes=_ANSWER_BYTES,
                timeout=_ANSWER_SECONDS,
            )
        except (NetworkError, XrpcError):
            return False
        return isinstance(answer, Mapping) and isinstance(answer.get("repos"), list)


def _may_pass(status: int) -> bool:
    return status in _PASSING or (status >= 500 and status != _NOT_IMPLEMENTED)


def _described(origin: str, answer: object) -> Speaker:
    """A PDS names the domains of its handles. Its own DID, a did:web, is the origin that DID
    documents name, where the source was configured under another."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("availableUserDomains"), list):
        return RELAY
    host = str(answer.get("did")).removeprefix("did:web:").replace("%3A", ":")
    return Speaker(frozenset({origin, f"https://{host}", f"http://{host}"}))

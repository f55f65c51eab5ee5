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

_METHOD = "com.atproto.server.describeServer"
_KNOWN_SECONDS = 3_600.0
_MAX_SOURCES = 1_000
_ANSWER_BYTES = 100_000
_ANSWER_SECONDS = 5.0
_NOT_IMPLEMENTED = 501
_PASSING = frozenset({401, 403, 408, 429})  # what stands before a PDS may answer so for a while


@dataclass(frozen=True, slots=True)
class Speaker:
    """A source. ``origins`` are those under which DID documents name it; None for a relay."""

    origins: frozenset[str] | None

    def speaks_for(self, pds: str | None) -> bool:
        """Whether an account whose DID document names ``pds`` is its own."""
        return self.origins is None or pds in self.origins


RELAY = Speaker(None)


class Speakers:
    """Tells relays and PDSes apart: only a PDS describes itself (``describeServer``). Thread-safe.

    An answer counts for an hour; who has once described itself stays a PDS.
    """

    def __init__(self, http: HttpClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._known = Answers[Speaker](ttl=_KNOWN_SECONDS, max_entries=_MAX_SOURCES, clock=clock)
        self._pdses: dict[str, Speaker] = {}  # by origin, of sources that are configured

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
                raise IdentityUnavailable(f"{origin} does not say what it is: {error}") from error
            return self._pdses.get(origin, RELAY)
        except NetworkError as error:
            raise IdentityUnavailable(f"{origin} does not say what it is: {error}") from error
        found = _described(origin, answer)
        if found is RELAY:
            return self._pdses.get(origin, RELAY)
        self._pdses[origin] = found
        return found


def _may_pass(status: int) -> bool:
    return status in _PASSING or (status >= 500 and status != _NOT_IMPLEMENTED)


def _described(origin: str, answer: object) -> Speaker:
    """A PDS names the domains of its handles. Its own DID, a did:web, is the origin that DID
    documents name, where the source was configured under another."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("availableUserDomains"), list):
        return RELAY
    host = str(answer.get("did")).removeprefix("did:web:").replace("%3A", ":")
    return Speaker(frozenset({origin, f"https://{host}", f"http://{host}"}))

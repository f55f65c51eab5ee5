"""How many requests one client may make: a token bucket each, in bounded memory.

Rule: a client is an address (IPv6: its /64). A request that takes long counts as several, so that
nobody has more than half of a processor for long. Clients that have been away longest are forgotten
first, which can only give them a full bucket again.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atdata.protocol.errors import XrpcError
from search_api.config import SearchConfig
from search_api.lanes import Spent
from search_api.xrpc import error_response

MAX_CLIENTS = 20_000
SECONDS_OF_ONE = 0.025  # of processor time that count as one request
_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a client has left after a request: ``remaining`` requests now, the next one in ``wait``
    seconds, and ``reset`` seconds until its bucket is full again."""

    allowed: bool
    limit: int
    remaining: int
    wait: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


class Buckets:
    """Token buckets by client. ``clock`` gives seconds that only rise."""

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> Allowance:
        """Count one request of ``client``."""
        with self._lock:
            level = self._level(client)
            allowed = level >= 1
            level -= 1 if allowed else 0
            self._set(client, level)
        wait, reset = (math.ceil((full - level) / self._rate) for full in (1, self._burst))
        return Allowance(allowed, self._burst, max(0, int(level)), max(0, wait), reset)

    def charge(self, client: str, seconds: float) -> None:
        """The request that was counted took so much of the processor. What a client owes is never
        more than one bucket."""
        more = seconds / SECONDS_OF_ONE - 1
        if more > 0:
            with self._lock:
                self._set(client, max(-float(self._burst), self._level(client) - more))

    def _level(self, client: str) -> float:
        level, then = self._levels.get(client, (float(self._burst), self._clock()))
        return min(self._burst, level + (self._clock() - then) * self._rate)

    def _set(self, client: str, level: float) -> None:
        self._levels[client] = (level, self._clock())
        self._levels.move_to_end(client)
        if len(self._levels) > MAX_CLIENTS:
            self._levels.popitem(last=False)


class RateLimit:
    """ASGI middleware: counts requests by client, answers 429 above the limit. ``refuse`` makes
    that answer."""

    def __init__(
        self,
        app: ASGIApp,
        config: SearchConfig,
        refuse: Callable[[Request, XrpcError], Response],
    ) -> None:
        self._app, self._config, self._refuse = app, config, refuse
        self._buckets = Buckets(config.rate_per_second, config.rate_burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] in {"http", "websocket"}
        client = client_of(scope, self._config) if asks else None
        if client is None:
            await self._app(scope, receive, send)
            return
        allowance = self._buckets.take(client)

        async def with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                MutableHeaders(scope=message).update(allowance.headers)
            await send(message)

        if allowance.allowed:
            spent = Spent()
            spent.noted_in(scope)
            try:
                await self._app(scope, receive, with_headers)
            finally:
                self._buckets.charge(client, spent.seconds)
        else:
            await self._refused(scope, allowance)(scope, receive, with_headers)

    def _refused(self, scope: Scope, allowance: Allowance) -> Response:
        error = XrpcError(429, "RateLimitExceeded", f"too many requests; wait {allowance.wait} s")
        is_page = scope["type"] == "http"  # a WebSocket is refused by an answer, too
        response = self._refuse(Request(scope), error) if is_page else error_response(error)
        response.headers["Retry-After"] = str(allowance.wait)
        response.headers["Cache-Control"] = "no-store"
        return response


def client_of(scope: Scope, config: SearchConfig) -> str | None:
    """Whom to count a request for; None if it is not limited."""
    if config.rate_per_second == 0:
        return None
    peer = _address(scope["client"][0] if scope.get("client") else "")
    if config.trusted_proxy and (peer is None or peer.is_loopback):
        forwarded = Headers(scope=scope).get("x-forwarded-for", "")
        peer = _address(forwarded.rpartition(",")[2].strip()) or peer
    return _client(peer, config)


def client_at(host: str, config: SearchConfig) -> str | None:
    """Whom to count a connection from ``host`` for; None if it is not limited, as are those of a
    trusted proxy: who is behind it is known only from each request."""
    peer = _address(host)
    if config.trusted_proxy and (peer is None or peer.is_loopback):
        return None
    return _client(peer, config)


def _client(
    peer: ipaddress.IPv4Address | ipaddress.IPv6Address | None, config: SearchConfig
) -> str | None:
    if peer is None:  # a Unix socket or a test client: this machine
        return "local" if config.rate_loopback else None
    if peer.is_loopback and not config.rate_loopback:
        return None
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is None:
        return str(ipaddress.IPv6Network((peer, 64), strict=False))
    return str(peer)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

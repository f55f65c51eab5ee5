"""The one guarded HTTP client: every URL that came from the network is fetched through it.

Invariant 9: https only; the resolved address must be public, checked at connect and again at each
redirect; http and loopback only under ``Policy(dev=True)``. Size cap, time cap, redirects bounded,
retries with backoff that respect Retry-After. Thread-safe; urllib3 underneath. Proxies that the
environment names are not used: they would resolve names for us.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, TypeVar

from urllib3.exceptions import HTTPError

from atdata.network.addresses import Params, Target, redirected, target_of
from atdata.network.body import Body
from atdata.network.connections import (
    Budget,
    Connection,
    Connections,
    Dialer,
    Resolve,
    system_resolve,
)
from atdata.network.retries import delay_before_retry, is_broken, retry_after
from atdata.network.strict_json import parse_json
from atdata.protocol.errors import FetchFailed, FetchTimeout, NetworkError, XrpcError, quote

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_BYTES = 5_000_000
MAX_STREAM_BYTES = 1 << 40
MAX_ERROR_BYTES = 65_536
SECONDS = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Policy:
    """``dev`` allows http and loopback addresses; other private addresses stay refused."""

    dev: bool = False


class HttpClient:
    """GET, guarded. One client serves all threads and keeps connections open between requests.

    Every method raises ``BlockedAddress`` (the URL, an address or a redirect is refused),
    ``FetchFailed`` (error status, or broken connection; ``status`` and ``body`` say more),
    ``FetchTimeout`` and ``TooLarge``. Messages never hold a query, a header or a body.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        ca_file: str | None = None,
        resolve: Resolve = system_resolve,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``ca_file`` holds certificates (PEM) to trust beside the system's; ``resolve`` finds the
        addresses of a host, each of which is then checked; ``sleep`` waits before a retry."""
        self._policy = policy or Policy()
        self._sleep = sleep
        self._connections = Connections(
            Dialer(dev=self._policy.dev, resolve=resolve, ca_file=ca_file)
        )
        self._options = {"ca_file": ca_file, "resolve": resolve, "sleep": sleep}
        self._user_agent = f"atdata/{version('atdata')}"

    @property
    def policy(self) -> Policy:
        """What is allowed."""
        return self._policy

    def get_bytes(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = SECONDS,
    ) -> bytes:
        """The whole body, at most ``max_bytes``, all waiting and retrying within ``timeout`` s."""
        budget = Budget(timeout)
        return self._fetch(url, params, headers, budget, max_bytes, _whole_body)

    def get_json(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = SECONDS,
    ) -> Any:
        """The JSON value of the body. An error status with an XRPC body is an ``XrpcError``; a
        body that is no strict JSON (``strict_json``) is ``FetchFailed``."""
        try:
            data = self.get_bytes(
                url, params=params, headers=headers, max_bytes=max_bytes, timeout=timeout
            )
        except FetchFailed as error:
            if (answer := xrpc_error(error)) is not None:
                raise answer from error
            raise
        try:
            return parse_json(data)
        except ValueError as error:
            shown = target_of(url, dev=self._policy.dev)
            raise FetchFailed(f"{shown} did not answer with JSON: {quote(error)}") from error

    @contextmanager
    def stream(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        timeout: float = SECONDS,
    ) -> Iterator[Body]:
        """The body, to be read in pieces. Retries end where the body begins; with a ``Range``
        header look at ``body.status``: 206, or 200 from a host that does not know ranges.

        ``timeout`` bounds the waiting until the body begins and every stall in it. A long body
        may take as long as it brings 10 kB/s on average; the reader's own time does not count.
        """
        limit = MAX_STREAM_BYTES if max_bytes is None else max_bytes
        budget = Budget(timeout, earning=True)
        with self._fetch(url, params, headers, budget, limit, _same) as body:
            yield body

    def close(self) -> None:
        """Close idle connections. The client stays usable."""
        self._connections.idle.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._policy, self._options)

    def _fetch(
        self,
        url: str,
        params: Params | None,
        headers: Mapping[str, str] | None,
        budget: Budget,
        max_bytes: int,
        use: Callable[[Body], T],
    ) -> T:
        target = target_of(url, dev=self._policy.dev, params=params)
        attempt = 0
        while True:
            try:
                return use(self._follow(target, headers or {}, budget, max_bytes))
            except FetchFailed as error:
                delay = delay_before_retry(error, attempt)
                if delay is None or delay >= budget.left:
                    raise
            self._sleep(delay)
            budget.spend(delay)
            attempt += 1

    def _follow(
        self, target: Target, headers: Mapping[str, str], budget: Budget, max_bytes: int
    ) -> Body:
        """The first answer that is no redirect; an error status is raised."""
        for _ in range(MAX_REDIRECTS + 1):
            body = self._get(target, headers, budget, max_bytes)
            location = body.headers.get("Location")
            if body.status in REDIRECTS and location is not None:
                body.close()
                following = redirected(target, location, dev=self._policy.dev)
                if following.origin != target.origin:
                    headers = _without_credentials(headers)
                target = following
                continue
            with _closed_on_error(body):
                if not 200 <= body.status < 300:
                    raise _failure(target, body)
                body.check_length()
            return body
        raise FetchFailed(f"{target}: more than {MAX_REDIRECTS} redirects")

    def _get(
        self, target: Target, headers: Mapping[str, str], budget: Budget, max_bytes: int
    ) -> Body:
        """One request. A kept connection that the host has closed meanwhile is no failure."""
        kept = self._connections.idle.take(target.origin)
        if kept is not None:
            try:
                return self._request(kept, target, headers, budget, max_bytes)
            except FetchFailed as error:
                if not is_broken(error):
                    raise
        fresh = self._connections.new(target)
        return self._request(fresh, target, headers, budget, max_bytes)

    def _request(
        self,
        connection: Connection,
        target: Target,
        headers: Mapping[str, str],
        budget: Budget,
        max_bytes: int,
    ) -> Body:
        own = {"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        try:
            with _named_errors(target):
                connection.prepare(budget)
                connection.http.request("GET", target.path, headers={**own, **headers})
                response = connection.http.answer()
        except NetworkError:
            connection.close()
            raise

        def release(reusable: bool) -> None:
            response.close()  # of the answer only: the connection is ready for another request
            if reusable and not connection.http.is_closed:
                self._connections.idle.put(connection)
            else:
                connection.close()

        return Body(response, target.url, str(target), max_bytes, release)


def xrpc_error(failure: FetchFailed) -> XrpcError | None:
    """The XRPC error in the body of ``failure``, if it holds one: ``{error, message?}``."""
    if failure.status is None:
        return None
    try:
        answer = parse_json(failure.body)
    except ValueError:
        return None
    if not isinstance(answer, dict) or not isinstance(answer.get("error"), str):
        return None
    message = answer.get("message")
    return XrpcError(
        failure.status,
        _printable(answer["error"], 100),
        _printable(message, 300) if isinstance(message, str) else "",
    )


def _restore(policy: Policy, options: dict[str, Any]) -> HttpClient:
    return HttpClient(policy, **options)


def _whole_body(body: Body) -> bytes:
    with body:
        return body.read()


def _same(body: Body) -> Body:
    return body


def _failure(target: Target, body: Body) -> FetchFailed:
    asked = retry_after(body.headers.get("Retry-After"), datetime.now(UTC))
    return FetchFailed(
        f"{target} answered {body.status}",
        status=body.status,
        body=_beginning(body),
        retry_after=asked,
    )


def _beginning(body: Body) -> bytes:
    """As much of an error's body as is of use; that it cannot be read is not another error."""
    try:
        return body.read(MAX_ERROR_BYTES)
    except NetworkError:
        return b""


def _printable(text: str, limit: int) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:limit])


def _without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    return {n: v for n, v in headers.items() if n.lower() not in {"authorization", "cookie"}}


@contextmanager
def _closed_on_error(body: Body) -> Iterator[None]:
    try:
        yield
    except NetworkError:
        body.close()
        raise


@contextmanager
def _named_errors(target: Target) -> Iterator[None]:
    """Whatever goes wrong before the body begins, as our own errors."""
    try:
        yield
    except TimeoutError as error:
        raise FetchTimeout(f"{target}: too slow to answer") from error
    except (OSError, HTTPError, http.client.HTTPException, UnicodeError) as error:
        raise FetchFailed(f"{target}: {quote(error, 200)}") from error

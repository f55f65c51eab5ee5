"""The AT Protocol SDK behind one door: how it is imported, set up, and how its errors become ours.

Rule: no secret passes this door in a message. A host may echo what it was sent, and the SDK quotes
answers that it cannot read; so every text is cleaned, and no SDK exception is chained, neither as
cause nor as context.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from atdata.atmosphere.repository import MAX_ANSWER
from atdata.network.retries import MAX_RETRY_AFTER, retry_after
from atdata.protocol.errors import (
    FetchFailed,
    FetchTimeout,
    MissingExtra,
    NotLoggedIn,
    TooLarge,
    XrpcError,
)

try:
    import httpx
    from atproto import Client, Request, Session, SessionEvent  # type: ignore[import-untyped]
    from atproto.exceptions import (  # type: ignore[import-untyped]
        AtProtocolError,
        InvokeTimeoutError,
        LoginRequiredError,
        RequestErrorBase,
    )
except ImportError as missing:
    raise MissingExtra(
        "atdata.atmosphere needs the AT Protocol SDK: pip install 'atdata[atmosphere]'"
    ) from missing

__all__ = ["AtProtocolError", "Session", "SessionEvent", "guarded", "new_client", "refresh"]

# Seconds. A PDS answers an upload only when all of it is stored.
TIMEOUT = httpx.Timeout(30.0, read=300.0, write=300.0)
MAX_MESSAGE = 1000

T = TypeVar("T")


def new_client(base_url: str) -> Any:
    """A client of the SDK with limits of time and size that fit shards, not logged in."""
    request = Request(
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},  # compressed, a PDS is several times slower
        event_hooks={"response": [_check_answer]},
    )
    return Client(base_url=base_url, request=request)


def _check_answer(response: httpx.Response) -> None:
    """Before the body is read: a password, and what is written, goes to the host that the user
    named and to no other; and no answer fills the memory."""
    asked = response.request.url
    host = f"{asked.scheme}://{asked.netloc.decode()}"
    if response.is_redirect and response.request.method != "GET":
        why = "sends us to another address, where nothing is written: give that one as base_url"
        raise FetchFailed(f"{host} {why}", response.status_code)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchFailed(f"{host} answers in an encoding that was not asked for")
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _Limited(response.stream, host)


class _Limited(httpx.SyncByteStream):
    """The bytes of an answer, up to ``MAX_ANSWER``."""

    def __init__(self, stream: httpx.SyncByteStream, host: str) -> None:
        self._stream, self._host = stream, host

    def __iter__(self) -> Iterator[bytes]:
        left = MAX_ANSWER
        for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise TooLarge(f"{self._host} answers with more than {MAX_ANSWER} bytes")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def refresh(sdk: Any) -> None:
    """Ask for new tokens. The SDK does so by itself shortly before the old ones end by this
    machine's clock, and has no public way for when the PDS says that they have ended."""
    sdk._refresh_and_set_session()


def guarded(method: str, act: Callable[[], T], *secrets: str) -> T:
    """What ``act`` gives. The SDK's errors become ours, without the secrets that a host may echo.

    Raises ``XrpcError``, ``FetchFailed``, ``FetchTimeout``, ``NotLoggedIn``.
    """
    try:
        return act()
    except (AtProtocolError, httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        failure = _ours(error, method, secrets)
    except ValueError:  # a body that says it is JSON and is not
        failure = _unreadable(method)
    # Here and not above: the SDK's exception, which holds the answer, must not be the context.
    raise failure


def _ours(error: Exception, method: str, secrets: tuple[str, ...]) -> Exception:
    match error:
        case LoginRequiredError():
            return NotLoggedIn("log in first: client.login(handle, app_password)")
        case InvokeTimeoutError() | httpx.TimeoutException():
            return FetchTimeout(f"{method}: the PDS did not answer in time")
        case RequestErrorBase(response=response) if response is not None:
            return _answered(response, method, secrets)
        case RequestErrorBase():
            return FetchFailed(f"{method}: {_clean(error.__cause__ or error, secrets)}")
        case httpx.HTTPError() | httpx.StreamError() | httpx.InvalidURL():
            return FetchFailed(f"{method}: {_clean(error, secrets)}")
    return _unreadable(method)


def _unreadable(method: str) -> FetchFailed:
    return FetchFailed(f"{method}: the PDS gave an answer that the SDK can't read", 200)


def _answered(response: Any, method: str, secrets: tuple[str, ...]) -> Exception:
    content, status = response.content, int(response.status_code)
    name, message = getattr(content, "error", None), getattr(content, "message", None)
    rest = rest_asked_for(response.headers, time.time()) if status in (429, 503) else None
    if name:
        cleaned = _clean(name, secrets), _clean(message or "", secrets)
        return XrpcError(status, *cleaned, retry_after=rest)
    return FetchFailed(f"{method}: HTTP status {status}", status, retry_after=rest)


def rest_asked_for(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that a host wants to be left alone: ``Retry-After``, or ``RateLimit-Reset`` (the
    moment, in seconds since 1970), which is all that the reference PDS sends. Header names are in
    lower case, ``now`` in seconds since 1970."""
    asked = retry_after(headers.get("retry-after"), datetime.fromtimestamp(now, UTC))
    reset = headers.get("ratelimit-reset", "")
    if asked is None and reset.isascii() and reset.isdigit() and len(reset) < 16:
        return min(max(int(reset) - now, 0.0), MAX_RETRY_AFTER)
    return asked


def _clean(text: object, secrets: tuple[str, ...]) -> str:
    cleaned = str(text)
    for secret in filter(None, secrets):
        cleaned = cleaned.replace(secret, "•••")
    return cleaned[:MAX_MESSAGE]

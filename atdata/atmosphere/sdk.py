"""The AT Protocol SDK behind one door: how it is imported, set up, and how its errors become ours.

Rule: no secret passes this door in a message. A host may echo what it was sent, and the SDK quotes
answers that it cannot read; so every text is cleaned, and no SDK exception is chained.
"""

from __future__ import annotations

from typing import Any

from atdata.protocol.errors import (
    FetchFailed,
    FetchTimeout,
    MissingExtra,
    NotLoggedIn,
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

__all__ = ["AtProtocolError", "SdkErrors", "Session", "SessionEvent", "new_client"]

# Seconds. A PDS answers an upload only when all of it is stored.
TIMEOUT = httpx.Timeout(30.0, read=300.0, write=300.0)


def new_client(base_url: str) -> Any:
    """A client of the SDK with time limits that fit shards, not logged in."""
    return Client(base_url=base_url, request=Request(timeout=TIMEOUT))


class SdkErrors:
    """Turns the SDK's errors into ours, without the secrets that a host might echo.

    Never chained: the SDK's own exceptions can quote an answer that holds tokens.
    """

    def __init__(self, method: str, *secrets: str) -> None:
        self._method, self._secrets = method, secrets

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, AtProtocolError | httpx.HTTPError | httpx.InvalidURL):
            raise self._ours(error) from None

    def _ours(self, error: Exception) -> Exception:
        match error:
            case LoginRequiredError():
                return NotLoggedIn("log in first: client.login(handle, app_password)")
            case InvokeTimeoutError() | httpx.TimeoutException():
                return FetchTimeout(f"{self._method}: the PDS did not answer in time")
            case RequestErrorBase(response=response) if response is not None:
                return self._answered(response)
            case RequestErrorBase():
                return FetchFailed(f"{self._method}: {self._clean(error.__cause__ or error)}")
            case httpx.HTTPError() | httpx.InvalidURL():
                return FetchFailed(f"{self._method}: {self._clean(error)}")
        return FetchFailed(f"{self._method}: the PDS gave an answer that the SDK can't read")

    def _answered(self, response: Any) -> Exception:
        content, status = response.content, int(response.status_code)
        name, message = getattr(content, "error", None), getattr(content, "message", None)
        if name:
            return XrpcError(status, self._clean(name), self._clean(message or ""))
        return FetchFailed(f"{self._method}: HTTP status {status}", status)

    def _clean(self, text: object) -> str:
        cleaned = str(text)
        for secret in filter(None, self._secrets):
            cleaned = cleaned.replace(secret, "•••")
        return cleaned[:1000]

"""ETag and Cache-Control: what has not changed is not sent again, and nothing is kept unasked.

Rule: a cache must ask before it shows an answer once more (``no-cache``), since an account may be
hidden at any time; asking is cheap. Errors are not kept at all. Source: RFC 9110, RFC 9111.
"""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READS = frozenset({"GET", "HEAD"})
_KEPT_IN_304 = frozenset({b"etag", b"cache-control", b"content-location", b"vary"})


class HttpCache:
    """ASGI middleware. Answers that are sent in one piece have an ETag made of their bytes; those
    that have their own are conditional already (``not_modified``)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match")
        held: Message | None = None

        async def tagged(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                held = message
                return
            if held is not None:
                start, held = held, None
                if scope["method"] in _READS and not message.get("more_body"):
                    start, message = _conditional(start, message, known)
                _control(start)
                await send(start)
            await send(message)

        await self._app(scope, receive, tagged)


def _conditional(start: Message, body: Message, known: str | None) -> tuple[Message, Message]:
    """The answer with its ETag, or that the client has it already."""
    headers = MutableHeaders(scope=start)
    if start["status"] != 200 or "etag" in headers:
        return start, body
    digest = hashlib.sha256(body.get("body", b"")).hexdigest()[:32]
    headers["ETag"] = f'"{digest}"'
    if known is None or not is_known(headers["ETag"], known):
        return start, body
    kept = [(name, value) for name, value in start["headers"] if name.lower() in _KEPT_IN_304]
    return {**start, "status": 304, "headers": kept}, {**body, "body": b""}


def is_known(etag: str, header: str) -> bool:
    """Whether ``If-None-Match`` names ``etag`` (weak comparison)."""
    given = [part.strip().removeprefix("W/") for part in header.split(",")]
    return etag in given or "*" in given


def not_modified(request: Request, etag: str) -> Response | None:
    """The answer to a client that has ``etag`` already, whatever range it asks for: for files,
    which are not sent in one piece."""
    known = request.headers.get("if-none-match")
    if known is None or not is_known(etag, known):
        return None
    return Response(status_code=304, headers={"ETag": etag})


def _control(start: Message) -> None:
    headers = MutableHeaders(scope=start)
    fine = start["status"] in {200, 206, 304}
    headers.setdefault("Cache-Control", "no-cache" if fine else "no-store")

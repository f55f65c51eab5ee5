"""A host that takes blobs over real HTTP and says about each upload what a test wants it to say."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from atdata.atmosphere import AtmosphereClient
from atdata.protocol.cid import RAW, Cid

DID = "did:plc:" + "a" * 24

Answer = tuple[int, Any, dict[str, str]]
Decide = Callable[[int, str, bytes], Answer | None]
"""The number of the request, its method and its body → an answer, or None for the usual one."""


def token(expires: int, text: str) -> str:
    """A JSON Web Token that nobody has signed."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, {"exp": expires, "sub": text})]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"x"])


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gives an upload up is what some tests are for."""


class UploadHost:
    """``uploadBlob`` and ``refreshSession``, as a PDS answers them; ``bodies`` is what came."""

    def __init__(self, decide: Decide = lambda number, method, body: None) -> None:
        self.bodies: list[bytes] = []
        self.requests: list[tuple[str, str]] = []  # method and authorization
        self.most_at_once = 0
        self._now = 0
        self._decide, self._lock = decide, threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def client(self, access: str, refresh: str, **options: Any) -> AtmosphereClient:
        """A client with a session at this host."""
        client = AtmosphereClient(base_url=self.url, **options)
        client.login_with_session(":::".join(["a.test", DID, access, refresh, self.url]))
        return client

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with outer._lock:
                    outer._now += 1
                    outer.most_at_once = max(outer.most_at_once, outer._now)
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                code, answer, headers = outer._answer(
                    self.path.rpartition("/")[2], self.headers.get("Authorization", ""), body
                )
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                with outer._lock:
                    outer._now -= 1
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler

    def _answer(self, method: str, authorization: str, body: bytes) -> Answer:
        with self._lock:
            number = len(self.requests)
            self.requests.append((method, authorization))
        decided = self._decide(number, method, body)
        if decided is not None:
            return decided
        if method != "com.atproto.repo.uploadBlob":
            return 501, {"error": "MethodNotImplemented", "message": method}, {}
        with self._lock:
            self.bodies.append(body if len(body) < 1_000_000 else b"")
        link = {"$link": str(Cid.of(body, RAW))}
        blob = {"$type": "blob", "ref": link, "mimeType": "application/x-tar", "size": len(body)}
        return 200, {"blob": blob}, {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""A real HTTP server on loopback; each test writes out its answers, to the byte if need be."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Seen:
    """A request as it came in; ``client_port`` tells connections apart."""

    path: str
    headers: dict[str, str]
    client_port: int


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves in the middle, or refuses our certificate, is what tests are for."""


class LocalServer:
    """Answers GETs by path (the query aside); everything else is 404. ``seen`` is the log."""

    def __init__(self, routes: dict[str, Answer], certificate: Path | None = None) -> None:
        self.seen: list[Seen] = []
        self.routes = routes
        self._server = _Quiet(("127.0.0.1", 0), self._handler())
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 0

            def do_GET(self) -> None:
                port = self.client_address[1]
                outer.seen.append(Seen(self.path, dict(self.headers.items()), port))
                answer = outer.routes.get(self.path.partition("?")[0], status(404))
                try:
                    answer(self)
                except ConnectionError:  # the client has left, as many of these tests mean it to
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler

    def paths(self) -> list[str]:
        return [request.path for request in self.seen]

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


def content(data: bytes, code: int = 200, **headers: str) -> Answer:
    """``data`` with its length; ``retry_after="1"`` becomes ``retry-after: 1``."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


def status(code: int, data: bytes = b"", **headers: str) -> Answer:
    return content(data, code, **headers)


def redirect(location: str, code: int = 302) -> Answer:
    return content(b"", code, location=location)


def in_turn(*answers: Answer) -> Answer:
    """The first answer to the first request, and so on; the last one for ever."""
    left = list(answers)

    def answer(request: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def raw(*pieces: bytes, until: threading.Event | None = None, every: float = 0.02) -> Answer:
    """These bytes instead of an answer, then the end of the connection. With ``until`` the last
    piece is repeated ``every`` so many seconds until the event is set."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        for piece in pieces:
            request.wfile.write(piece)
        while until is not None and not until.wait(every):
            request.wfile.write(pieces[-1])

    return answer


def certificate(directory: Path, *hosts: str) -> Path:
    """A new self-signed certificate for ``hosts`` with its key, one PEM file that can be both what
    a server shows and what a client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{hosts[0]}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path

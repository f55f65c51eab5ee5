"""Sockets of the guarded client: where a connection may lead, and how long it may keep us waiting.

A name is resolved once, each of its addresses is checked, and a checked address is connected to, so
that no second answer of the name server (rebinding) can lead elsewhere. Every wait for bytes is
taken off a budget, so that a host that trickles is cut off wherever it does so.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection

from atdata.network.addresses import Target, refusal
from atdata.network.body import Answer
from atdata.protocol.errors import BlockedAddress, quote

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # for one wait
MIN_BYTES_PER_SECOND = 10_000  # what a body must keep up on average to earn its waiting time
MAX_ADDRESSES = 4
MAX_IDLE = 32
MAX_IDLE_SECONDS = 30.0

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port → texts of IP addresses. Raises ``OSError`` if there are none."""


def system_resolve(host: str, port: int) -> list[str]:
    """The system's own name resolution. How long that takes is the system's to bound."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class Budget:
    """Seconds that one fetch may still wait. With ``earning`` each byte that arrives gives time
    back, at ``MIN_BYTES_PER_SECOND`` and up to the first amount: a large body may take long, a
    slow one may not."""

    __slots__ = ("_cap", "_earning", "left")

    def __init__(self, seconds: float, *, earning: bool = False) -> None:
        self.left = self._cap = seconds
        self._earning = earning

    def spend(self, seconds: float) -> None:
        """Take off what was waited."""
        self.left -= seconds

    def earn(self, received: int) -> None:
        """Credit ``received`` bytes."""
        if self._earning:
            self.left = min(self._cap, self.left + received / MIN_BYTES_PER_SECOND)


class MeteredSocket(socket.socket):
    """A socket whose waits for bytes come out of a budget."""

    budget: Budget | None = None

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """As ``socket.recv_into``; raises ``TimeoutError`` when the budget is used up."""
        nbytes = nbytes or memoryview(buffer).nbytes  # a TLS socket takes 0 at its word
        if self.budget is None:
            return super().recv_into(buffer, nbytes, flags)
        if self.budget.left <= 0:
            raise TimeoutError("too slow")
        self.settimeout(min(READ_SECONDS, self.budget.left))
        started = time.monotonic()
        received = super().recv_into(buffer, nbytes, flags)
        self.budget.spend(time.monotonic() - started)
        self.budget.earn(received)
        return received


class MeteredTlsSocket(MeteredSocket, ssl.SSLSocket):
    """The same over TLS."""


class Dialer:
    """Opens connections, to addresses that are allowed and no others."""

    def __init__(self, *, dev: bool, resolve: Resolve, ca_file: str | None) -> None:
        self._dev, self._resolve, self._ca_file = dev, resolve, ca_file

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The system's certificates are trusted, and those of ``ca_file``; read on first use."""
        context = ssl.create_default_context()
        if self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        context.sslsocket_class = MeteredTlsSocket
        return context

    def dial(self, host: str, port: int, budget: Budget) -> MeteredSocket:
        """A connected socket. Raises ``BlockedAddress`` if any address of ``host`` is not allowed,
        otherwise ``OSError`` as the last address tried gave it."""
        addresses = list(self._resolve(host, port))
        for address in addresses:
            if (why := refusal(address, dev=self._dev)) is not None:
                raise BlockedAddress(f"{quote(host)}: {quote(address)} {why}")
        problem = OSError(f"{quote(host)} has no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                return self._connect(address, port, budget)
            except OSError as error:
                problem = error
        raise problem

    def _connect(self, address: str, port: int, budget: Budget) -> MeteredSocket:
        if budget.left <= 0:
            raise TimeoutError("no time left to connect")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connected = MeteredSocket(family, socket.SOCK_STREAM)
        started = time.monotonic()
        try:
            connected.settimeout(min(CONNECT_SECONDS, budget.left))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.connect((address, port))
        except OSError:
            connected.close()
            budget.spend(time.monotonic() - started)
            raise
        return connected


class _Guarded(HTTPConnection):
    """urllib3's connection, with the dialer in place of its own way to a socket, and answers that
    are read without copying them once more in place of its own."""

    response_class = Answer

    def __init__(self, dialer: Dialer, target: Target, **options: Any) -> None:
        super().__init__(target.host, target.port, **options)
        self._dialer = dialer
        self.budget = Budget(CONNECT_SECONDS)

    def answer(self) -> Answer:
        """The beginning of the answer to the request that was sent."""
        return cast("Answer", http.client.HTTPConnection.getresponse(self))

    def _new_conn(self) -> socket.socket:
        return self._dialer.dial(self._dns_host, self.port, self.budget)


class _GuardedTls(_Guarded, HTTPSConnection):
    """The same over TLS; the certificate must be for the host of the URL."""


class Connection:
    """One HTTP connection to the origin of ``target``; not connected before ``prepare``."""

    def __init__(self, dialer: Dialer, target: Target) -> None:
        self.origin = target.origin
        self.idle_since = 0.0
        if target.scheme == "https":
            self.http: _Guarded = _GuardedTls(dialer, target, ssl_context=dialer.tls)
        else:
            self.http = _Guarded(dialer, target)

    def prepare(self, budget: Budget) -> None:
        """Connect if need be. From here on, waits come out of ``budget``."""
        if self.http.is_closed:
            self._connect(budget)
        assert isinstance(self.http.sock, MeteredSocket)
        self.http.sock.budget = budget
        self.http.timeout = max(0.001, min(READ_SECONDS, budget.left))

    def _connect(self, budget: Budget) -> None:
        self.http.budget = budget
        before, started = budget.left, time.monotonic()
        try:
            self.http.connect()
        finally:  # name resolution and the TLS handshake count too
            budget.left = min(budget.left, before - (time.monotonic() - started))

    def is_usable(self, now: float) -> bool:
        """Whether it can carry another request."""
        return now - self.idle_since < MAX_IDLE_SECONDS and self.http.is_connected

    def close(self) -> None:
        """Close the socket."""
        self.http.close()


class Idle:
    """Open connections that wait for their next request; the longest unused one makes room."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Connection] = []

    def take(self, origin: str) -> Connection | None:
        """A usable connection to ``origin``, the last one used, or None."""
        while True:
            with self._lock:
                found = next((c for c in reversed(self._waiting) if c.origin == origin), None)
                if found is None:
                    return None
                self._waiting.remove(found)
            if found.is_usable(time.monotonic()):
                return found
            found.close()

    def put(self, connection: Connection) -> None:
        """Keep ``connection`` for later."""
        connection.idle_since = time.monotonic()
        with self._lock:
            self._waiting.append(connection)
            surplus = self._waiting[:-MAX_IDLE]
            del self._waiting[:-MAX_IDLE]
        for old in surplus:
            old.close()

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            closing, self._waiting = self._waiting, []
        for connection in closing:
            connection.close()


class Connections:
    """New and idle connections. Idle ones belong to one process: a fork begins with none, because
    two processes must not write into one stream."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._idle: dict[int, Idle] = {}

    @property
    def idle(self) -> Idle:
        """Those of this process."""
        return self._idle.setdefault(os.getpid(), Idle())

    def new(self, target: Target) -> Connection:
        """Not yet connected."""
        return Connection(self._dialer, target)

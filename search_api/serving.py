"""The HTTP server around the application: uvicorn, with bounds on what a connection may do.

Rule: whoever is let in must bring a request. A connection has ``request_seconds`` for the head of
each, and as long again for its body; between two requests uvicorn's own bound holds. Whoever takes
nothing of an answer for ``STUCK_SECONDS`` is cut off.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from search_api.config import SearchConfig
from search_api.connections import ACCEPTED, Door
from search_api.limits import client_at

STUCK_SECONDS = 60.0
SOCKET_MESSAGE = 4_096  # bytes; a subscriber has nothing to say at all
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n"
)


class ServerConfig(uvicorn.Config):
    """uvicorn's settings for this service. ``bounds`` should be within the files of the process
    (``connections.within_files``)."""

    def __init__(self, app: ASGIApp, bounds: SearchConfig, log_level: str = "warning") -> None:
        self.bounds = bounds
        self.door = Door(bounds.max_connections, bounds.client_connections)
        super().__init__(
            app,
            host=bounds.host,
            port=bounds.port,
            backlog=ACCEPTED,
            http=_Http,
            ws=_Socket,
            ws_max_size=SOCKET_MESSAGE,
            ws_max_queue=1,
            # A window of its own for each subscriber, and each frame packed once for each of them.
            ws_per_message_deflate=False,
            proxy_headers=False,
            log_level=log_level,
        )


class _Http(HttpToolsProtocol):
    """A connection: counted while it is open, closed when no request comes."""

    config: ServerConfig

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._counted: str | None = None
        self._is_in = False
        self._late: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or say that there is no room."""
        peer = transport.get_extra_info("peername")
        self._counted = client_at(peer[0] if isinstance(peer, tuple) else "", self.config.bounds)
        self._is_in = self.config.door.enter(self._counted)
        if not self._is_in:
            transport.write(_FULL)
            transport.close()
            return
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Not called where a WebSocket took over."""
        self._expected()
        self._goes_on()
        if self._is_in:
            self.config.door.leave(self._counted)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Whatever comes between two requests begins the next one."""
        if not self._is_in:
            return
        if self._late is None and (self.cycle is None or self.cycle.response_complete):
            self._expect()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is there: the body is next."""
        super().on_headers_complete()
        self._expect()

    def on_message_complete(self) -> None:
        """The request is there: from here on it is for the service to be quick."""
        self._expected()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """What is counted stays so until the socket ends."""
        self._expected()
        super().handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        assert isinstance(socket, _Socket)
        socket.counted = self._counted

    def pause_writing(self) -> None:
        """The client is behind with an answer."""
        super().pause_writing()
        self._stuck = self.loop.call_later(STUCK_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It takes the answer again."""
        super().resume_writing()
        self._goes_on()

    def timeout_keep_alive_handler(self) -> None:
        """Closing waits for what was not taken; that, too, has an end."""
        super().timeout_keep_alive_handler()
        if self._stuck is None and self.transport.get_write_buffer_size():
            self._stuck = self.loop.call_later(STUCK_SECONDS, self.transport.abort)

    def _goes_on(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _expect(self) -> None:
        self._expected()
        self._late = self.loop.call_later(self.config.bounds.request_seconds, self._end)

    def _expected(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        self._late = None
        self.transport.abort()


class _Socket(WebSocketsSansIOProtocol):
    """A WebSocket: counted since before it was one."""

    config: ServerConfig
    counted: str | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.config.door.leave(self.counted)

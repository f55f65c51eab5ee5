"""The node's own socket."""

from __future__ import annotations

import socket

from atdata.cli.node import _listen


def test_answers_on_kept_connections_do_not_wait_for_acknowledgements() -> None:
    with (
        _listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

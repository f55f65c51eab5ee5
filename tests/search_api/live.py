"""The search API behind a real server, on a port of its own, over an index built by hand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from search_api.app import create_app
from search_api.config import SearchConfig
from search_api.database import Database
from search_api.serving import ServerConfig
from search_api.text_index import TextIndex
from tests.search_api.index_builder import IndexBuilder


@contextmanager
def listening(app: FastAPI, config: SearchConfig | None = None) -> Iterator[str]:
    """``app`` on a thread; its origin, ``http://127.0.0.1:port``. ``config`` has its bounds."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the node does
    server = uvicorn.Server(ServerConfig(app, config or SearchConfig()))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)  # the test's own time limit ends this
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def live(index: IndexBuilder, folder: Path, **settings: Any) -> Iterator[str]:
    """The whole service over ``index``, text index and all; its origin."""
    database = Database(index.connection)
    text_index = TextIndex(folder / "live-text", database)
    text_index.catch_up()
    config = SearchConfig(**{"follow_seconds": 0.02, **settings})
    try:
        with listening(create_app(database, text_index, config), config) as origin:
            yield origin
    finally:
        text_index.close()

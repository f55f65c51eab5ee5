"""``atdata serve``: the node. One process, one DuckDB file: indexer on a thread, API beside it.

The composition root of the servers: everything is made here and handed to the parts. When the
indexer fails, the node says why and starts anew once (``indexer/restart``), or ends with status 1;
it never serves a dead index.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atdata.cli.output import EXIT_FAILED, Restarted, named_errors, needs_servers, say
from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.errors import StoreError
from atdata.settings import DEFAULT_PLC

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from prometheus_client import CollectorRegistry

    from indexer.config import IndexerConfig
    from indexer.pipeline import Indexer
    from indexer.recordings import ReplayServer
    from search_api.config import SearchConfig


class IndexerThread(threading.Thread):
    """An event loop of its own for the indexer. ``failure`` is what ended it, if that was not
    ``stop``; ``on_end`` is called in either case."""

    def __init__(self, work: Callable[[], Awaitable[None]], on_end: Callable[[], None]) -> None:
        super().__init__(name="indexer")
        self._work, self._on_end = work, on_end
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Called by ``start``."""

        async def main() -> None:
            await self._work()

        try:
            asyncio.run(main())
        except BaseException as failure:  # noqa: BLE001 - a thread's root; the node reports it
            self.failure = failure
        finally:
            self._on_end()


@named_errors
def serve(
    db: Annotated[Path, typer.Option(help="The index's DuckDB file.")] = Path("atdata.duckdb"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the page and the API; 0: a free one.")
    ] = 8000,
    source: Annotated[
        list[str] | None, typer.Option(help="A relay or PDS, wss://host (repeatable).")
    ] = None,
    plc: Annotated[str, typer.Option(help="The PLC directory.")] = DEFAULT_PLC,
    dev: Annotated[bool, typer.Option("--dev", help="Allow http and loopback addresses.")] = False,
    recording: Annotated[
        Path | None, typer.Option(help="Serve this recording as the network, and follow it.")
    ] = None,
    replay_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port of the recording's network (default: port + 1)."
        ),
    ] = None,
    restarted: Restarted = None,
) -> None:
    """Run the node: index what the sources send, serve the page and the API."""
    with needs_servers():
        from indexer.config import IndexerConfig
        from indexer.logs import configure_logging
        from indexer.machine import cores
        from search_api.config import SearchConfig
        from search_api.connections import raise_file_limit, within_files
    configure_logging()
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    replay = None
    if recording is not None:
        if replay_port is None and port == 65_535:
            say("atdata: the recording is served on --port + 1, and there is none: --replay-port")
            raise typer.Exit(EXIT_FAILED)
        replay = _replay(recording, port + 1 if replay_port is None else replay_port)
        source, plc, dev = [*(source or []), *replay.sources.values()], replay.origin, True
    db.parent.mkdir(parents=True, exist_ok=True)
    _run(
        IndexerConfig(sources=tuple(source or ()), db=db, plc=plc, dev=dev).on(cores()),
        within_files(SearchConfig(db=db, host=host, port=port, dev=dev), raise_file_limit()),
        listening,
        replay,
        restarted,
    )


def _listen(host: str, port: int) -> socket.socket:
    """Bound before anything else is opened, so that a port that is taken is said at once."""
    try:
        listening = socket.create_server((host, port))
        # Its connections have it from here. asyncio sets it only on sockets that were made for TCP
        # by name; without it every answer on a kept connection waits 40 ms for the client's ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        say(f"atdata: cannot listen on {host}:{port}: {error.strerror} (--port takes another)")
        raise typer.Exit(EXIT_FAILED) from error


def _replay(recording: Path, port: int) -> ReplayServer:
    from indexer.recordings import Recording, ReplayServer

    return ReplayServer(Recording.open(recording), port=port)


def _run(
    index: IndexerConfig,
    search: SearchConfig,
    listening: socket.socket,
    replay: ReplayServer | None,
    restarted: str | None,
) -> None:
    from prometheus_client import CollectorRegistry

    from indexer import memory, restart
    from indexer.pipeline import Indexer
    from indexer.recovery import open_or_restore

    with ExitStack() as stack:
        http = HttpClient(Policy(dev=index.dev))
        stack.callback(http.close)
        connection = open_or_restore(
            index.db,
            memory_limit=index.memory_limit or memory.SEARCHED,
            threads=index.threads,
            suspect=restart.is_suspect(restarted),
        )
        stack.callback(connection.close)
        registry = CollectorRegistry()
        resolver = Resolver(http, plc=index.plc)
        indexer = Indexer(index, connection, resolver, registry=registry)
        failure = _serve(indexer, connection, search, registry, listening, replay)
    if failure is not None:
        restart.instead_of(failure, time.time())
        if not isinstance(failure, StoreError | OSError):
            raise failure
        say(f"atdata: the indexer ended: {failure}")
        raise typer.Exit(EXIT_FAILED)


def _serve(
    indexer: Indexer,
    connection: DuckDBPyConnection,
    config: SearchConfig,
    registry: CollectorRegistry,
    listening: socket.socket,
    replay: ReplayServer | None,
) -> BaseException | None:
    """Both halves until a signal, or until one of them ends. Returns what ended the indexer."""
    import uvicorn

    from indexer.live import live_line
    from search_api.app import create_app
    from search_api.database import Database
    from search_api.serving import ServerConfig
    from search_api.text_index import TextIndex

    database = Database(connection, config.query_seconds)
    text_index = TextIndex(config.text_directory(), database)
    text_index.catch_up()
    app = create_app(database, text_index, config, registry)
    server = uvicorn.Server(ServerConfig(app, config))

    async def follow() -> None:
        async with AsyncExitStack() as stack:
            if replay is not None:
                await stack.enter_async_context(replay)
            await stack.enter_async_context(live_line(registry))
            await indexer.run()

    def end_server() -> None:
        server.should_exit = True

    gc.freeze()  # what is loaded now stays: no need to look at it again and again
    thread = IndexerThread(follow, end_server)
    # uvicorn ends at SIGTERM, then raises it again for whoever was there before it: us, so that the
    # cleanup below runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    thread.start()
    say(f"atdata: page and API on http://{config.host}:{config.port} (^C ends)")
    try:
        server.run(sockets=[listening])
    finally:
        indexer.stop()
        thread.join()
        text_index.close()
    return thread.failure

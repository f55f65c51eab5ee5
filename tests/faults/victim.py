"""``python -m tests.faults.victim DB SOURCE PLC GOAL``: indexers that are killed, one per line of
standard input.

A line is two numbers: the process ends by SIGKILL at that database statement, so many microseconds
later. Each is a fork, so that only the first pays for imports. At its end the signal that ended it
is printed, or 0 if it reached the cursor GOAL before.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import duckdb

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from indexer.config import IndexerConfig
from indexer.database import open_database
from indexer.pipeline import Indexer
from tests.indexer.network import until
from tests.indexer.repo_builder import NOW_US

GOAL_SECONDS = 60.0


@dataclass
class Life:
    """How many statements are left, and how long the last one is waited for."""

    statements: int
    microseconds: int

    def count(self) -> None:
        """A statement begins."""
        self.statements -= 1
        if self.statements == 0 and self.microseconds == 0:
            self.end()
        elif self.statements == 0:
            threading.Timer(self.microseconds / 1e6, self.end).start()

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A connection, or a cursor of it, whose statements are counted."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, life: Life) -> None:
        self._connection, self._life = connection, life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self) -> Mortal:
        return Mortal(self._connection.cursor(), self._life)

    def execute(self, *arguments: Any) -> duckdb.DuckDBPyConnection:
        self._life.count()
        return self._connection.execute(*arguments)


async def live(db: Path, source: str, plc: str, goal: int, life: Life) -> None:
    """Index, one frame per transaction, until killed, or until the cursor is ``goal``."""
    connection = open_database(db)
    mortal = cast(duckdb.DuckDBPyConnection, Mortal(connection, life))
    config = IndexerConfig(sources=(source,), db=db, plc=plc, dev=True, sweep=False, batch_events=1)
    resolver = Resolver(HttpClient(Policy(dev=True)), plc=plc)
    indexer = Indexer(config, mortal, resolver, clock=lambda: NOW_US)
    task = asyncio.create_task(indexer.run())
    await until(
        lambda: task.done() or indexer.status().sources[0].cursor == goal,
        lambda: str(indexer.status()),
        GOAL_SECONDS,
    )
    os._exit(task.done())


def main(db: str, source: str, plc: str, goal: str) -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the log
            asyncio.run(live(Path(db), source, plc, int(goal), Life(*map(int, line.split()))))
        _, status = os.waitpid(pid, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

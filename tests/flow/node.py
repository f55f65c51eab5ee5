"""A real node in a process of its own: ``atdata serve`` on free ports, stopped or killed by pid."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Node:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def metric(self, name: str) -> float:
        """The value of a metric that has no labels."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.split()[0] == name)

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, f"the node ended:\n{self.log.read_text()[-4000:]}"
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return "version" in self.get("/_health")
        except OSError:
            return False


def spawned(
    folder: Path, *arguments: str, port: int | None = None, files: tuple[int, int] | None = None
) -> Node:
    """``atdata serve --db folder/index.duckdb …``, just started: it may take a second to answer.
    ``files`` are how many it may open, and up to how many it may raise that."""

    def bounded() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, files)

    port = port or free_port()
    command = [sys.executable, "-m", "atdata.cli", "serve", "--port", str(port), "--dev"]
    command += ["--db", str(folder / "index.duckdb"), *arguments]
    log = folder / "node.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=dict(os.environ), preexec_fn=bounded
        )
    return Node(f"http://127.0.0.1:{port}", process, log)


@contextmanager
def node(
    folder: Path, *arguments: str, port: int | None = None, files: tuple[int, int] | None = None
) -> Iterator[Node]:
    """A node that is ready to answer, and ends with the block."""
    running = spawned(folder, *arguments, port=port, files=files)
    process = running.process
    try:
        running.wait_until(running.answers, "the node answers", READY_SECONDS)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def source_arguments(urls: Sequence[str]) -> list[str]:
    return [part for url in urls for part in ("--source", url)]

"""Previews made in processes of their own: this server parses no shard.

Rule: what such a process says is as hostile as the shard that it read. It gets no environment, no
secrets and no arguments but its request, and has a bounded time and a bounded answer.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

import structlog

from atdata.network.strict_json import parse_json
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.preview_views import PreviewAnswer
from atdata.protocol.views import DatasetDetail, from_json, to_json

MODULE = "atdata.preview_child"
SECONDS = 30.0  # a little more than the process gives itself
MAX_ANSWER = 8 << 20  # bytes
SHOWN_ERROR = 500  # bytes of what a process that failed said last

# Signals that end the process when it goes beyond its bounds: its own alarm and our kill, until
# which it has mostly waited; abort (no memory), too much processor time, too large a file.
_SLOW = frozenset({-signal.SIGALRM, -signal.SIGKILL})
_COSTLY = frozenset({-signal.SIGABRT, -signal.SIGXCPU, -signal.SIGXFSZ})

log = structlog.get_logger(__name__)


class PreviewMaker:
    """Makes previews, one process each. Any number of threads."""

    def __init__(self, *, dev: bool, seconds: float = SECONDS) -> None:
        """``dev`` allows http and loopback addresses."""
        self._dev, self._seconds = dev, seconds
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def make(self, detail: DatasetDetail) -> PreviewAnswer:
        """The preview of the dataset, or why there is none."""
        request = json.dumps({"detail": to_json(detail), "dev": self._dev}).encode()
        with tempfile.TemporaryDirectory(prefix="preview-") as folder:
            errors = Path(folder) / "errors"
            with errors.open("wb") as said:
                output, status = self._run(request, folder, said)
            if status == 0 and len(output) <= MAX_ANSWER:
                return _answer(output)
            last = errors.read_bytes()[-SHOWN_ERROR:].decode("utf-8", "replace")
        log.warning("preview.failed", uri=detail.dataset.uri, status=status, said=last)
        if status in _SLOW:
            return PreviewAnswer(reason="too_slow", message="it takes longer than is allowed")
        if status in _COSTLY:
            return PreviewAnswer(reason="too_costly", message="it takes more than is allowed")
        return PreviewAnswer(reason="broken", message="its first samples can't be read")

    def close(self) -> None:
        """End what is running."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()

    def _run(self, request: bytes, folder: str, errors: IO[bytes]) -> tuple[bytes, int]:
        """What the process wrote, at most a byte too much, and how it ended."""
        with subprocess.Popen(
            [sys.executable, "-I", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env={"HOME": folder, "TMPDIR": folder, "OPENBLAS_NUM_THREADS": "1", "LANG": "C.UTF-8"},
        ) as process:
            clock = threading.Timer(self._seconds, process.kill)
            clock.daemon = True
            clock.start()
            try:
                self._entered(process)
                return _exchange(process, request)
            finally:
                clock.cancel()
                process.kill()
                with self._lock:
                    self._running.discard(process)

    def _entered(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.add(process)
            if self._closed:
                process.kill()


def _exchange(process: subprocess.Popen[bytes], request: bytes) -> tuple[bytes, int]:
    # It reads all of its request before it writes, so that neither waits for the other.
    given, answered = process.stdin, process.stdout
    if given is None or answered is None:
        raise TypeError("the process has no pipes")
    try:
        given.write(request)
        given.close()
    except BrokenPipeError:
        pass  # it has ended; its status says how
    output = answered.read(MAX_ANSWER + 1)
    if len(output) > MAX_ANSWER:
        process.kill()
    return output, process.wait()


def _answer(output: bytes) -> PreviewAnswer:
    try:
        return from_json(PreviewAnswer, parse_json(output))
    except (ValueError, InvalidRecord) as error:
        log.warning("preview.malformed", why=str(error)[:SHOWN_ERROR])
        return PreviewAnswer(reason="broken", message="its preview can't be read")

"""Pulls in processes that may be killed: one child a line of JSON on standard input.

Everything is imported once; a child is forked from that, so that killing many costs little.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atdata import settings as settings_module
from atdata.download import pull
from atdata.settings import Settings

ROOT = Path(__file__).parents[2]


class Puller:
    """The process that forks. ``start`` gives the child's pid, ``end`` its exit status."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, host: str, uri: str, library: Path, workers: int, api: bool = True) -> int:
        """``host`` is the directory and, unless ``api`` is false, the index."""
        assert self._process.stdin is not None
        job = {"plc": host, "uri": uri, "library": str(library), "workers": workers}
        job |= {"api": host} if api else {}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._number()

    def end(self) -> int:
        """As ``os.waitstatus_to_exitcode``: negative for a signal."""
        return os.waitstatus_to_exitcode(self._number())

    def _number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def puller() -> Iterator[Puller]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.discovery.puller"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield Puller(process)
    finally:
        process.communicate(timeout=20)  # the end of its input ends it


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_pull(job))
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


def _pull(job: dict[str, str]) -> int:
    library = Path(job["library"])
    api = job.get("api")
    settings_module._Holder.current = Settings(api=api, plc=job["plc"], dev=True, library=library)
    try:
        pull(job["uri"], workers=int(job["workers"]))
    except BaseException:  # noqa: BLE001 - the root of a process
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()

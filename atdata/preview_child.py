"""``python -I -m atdata.preview_child``: one preview, made in a process of its own.

Reads one JSON document from standard input, what the index knows of the dataset (``Request``), and
writes one to standard output, a ``PreviewAnswer``.

Rule: before it looks at anything, the process binds itself: memory, processor, files, time. Whoever
started it needs to believe no more than the size and form of what it prints.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from dataclasses import dataclass

from atdata.find import found_in
from atdata.preview import SAMPLES, SHARD_BYTES, answer
from atdata.protocol.errors import AtdataError
from atdata.protocol.preview_views import MAX_SAMPLES, PreviewAnswer
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import DatasetDetail, from_json, to_json
from atdata.settings import configure

MEMORY = 1 << 30  # bytes of addresses
CPU_SECONDS = 15
SECONDS = 25  # in all, mostly waiting for a host
OPEN_FILES = 64
MAX_INPUT = 8 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """``detail`` is what the index answers about the dataset; ``dev`` allows http and loopback."""

    detail: DatasetDetail
    dev: bool = False
    samples: int = SAMPLES


def bind() -> None:
    """No more than this, from now on."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (SHARD_BYTES, SHARD_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SECONDS)


def answered(document: bytes) -> PreviewAnswer:
    """The preview that ``document`` asks for, or why there is none."""
    request = from_json(Request, json.loads(document))
    configure(dev=request.dev)
    try:
        found = found_in(request.detail, AtUri.parse(request.detail.dataset.uri))
    except AtdataError as error:
        return PreviewAnswer(reason="broken", message=str(error))
    return answer(found, min(request.samples, MAX_SAMPLES))


def main() -> None:
    """The whole of the process."""
    bind()
    try:
        made = answered(sys.stdin.buffer.read(MAX_INPUT))
    except MemoryError:
        made = PreviewAnswer(reason="too_costly", message="it takes more memory than is allowed")
    document = json.dumps(to_json(made), allow_nan=False, ensure_ascii=False)
    sys.stdout.buffer.write(document.encode("utf-8", "replace"))


if __name__ == "__main__":
    main()

"""Keeps the text index behind the database by no more than a fraction of a second.

Rule: a failure is said (log, ``failure``, health) and tried again, never passed over.
"""

from __future__ import annotations

import threading
import time

import structlog

from atdata.protocol.errors import StoreError
from search_api.text_index import TextIndex

RETRY_SECONDS = 2.0
# A round costs nearly the same for one change as for fifty, most of it statements of the database:
# under steady changes they come seldom, so that a search has the processor.
SHARE = 5
MOST_SECONDS = 0.5

log = structlog.get_logger(__name__)


class Follower:
    """A thread that calls ``catch_up`` again and again."""

    def __init__(self, text_index: TextIndex, seconds: float) -> None:
        self._text, self._seconds = text_index, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="text-index", daemon=True)
        self.failure: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the current round, and wait for it."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._seconds
        while not self._stopped.wait(pause):
            began = time.monotonic()
            try:
                self._text.catch_up()
            except (StoreError, ValueError, OSError) as error:
                log.error("text_index.behind", why=str(error))
                self.failure, pause = str(error), RETRY_SECONDS
            else:
                took = time.monotonic() - began
                self.failure, pause = None, max(self._seconds, min(SHARE * took, MOST_SECONDS))

"""How many connections the service takes, of whom, and for how long one may say nothing.

Rule: a connection costs an open file, and a process that has none left answers nobody and can't
write either. So all connections together stay below the limit of the process, those of one client
below a bound of their own, and one that brings no whole request is closed.
"""

from __future__ import annotations

import resource
from collections import Counter

from search_api.config import SearchConfig

FILES_WANTED = 65_536
# Connections are accepted so many at a time, before any is looked at: where there is no room, four
# times as many are open for a moment.
ACCEPTED = 100
# For those, and for what is no connection: database, text index, sources, fetches, previews.
FILES_KEPT = 512
SUBSCRIBED_SHARE = 0.75  # of all connections: subscriptions stay, searches come and go


def raise_file_limit() -> int:
    """Let this process open as many files as it may. Returns their number; changes it for the
    process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILES_WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def within_files(config: SearchConfig, files: int) -> SearchConfig:
    """``config`` with no more connections and subscribers than a process with so many ``files``
    has room for."""
    room = max(files - FILES_KEPT, files // 2)
    connections = min(config.max_connections, room)
    subscribers = min(config.max_subscribers, int(connections * SUBSCRIBED_SHARE))
    return config.model_copy(
        update={"max_connections": connections, "max_subscribers": subscribers}
    )


class Door:
    """Counts open connections: ``count`` of all, and those of each client. Belongs to one event
    loop."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._open: Counter[str | None] = Counter()
        self.count = 0

    def enter(self, client: str | None) -> bool:
        """Count one more of ``client`` (None: of nobody in particular) unless there are too many;
        whoever was let in leaves once."""
        alone = client is not None and self._open[client] >= self._most_of_one
        if alone or self.count >= self._most:
            return False
        self._open[client] += 1
        self.count += 1
        return True

    def leave(self, client: str | None) -> None:
        """One that was let in is gone."""
        self.count -= 1
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]

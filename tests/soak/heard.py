"""What live sources have said so far, heard beside the node that is being killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from atdata.protocol.records import moment
from indexer import frames
from indexer.rows import micros
from indexer.subscribe import METHOD
from tests.soak.versions import Versions

_PATIENCE = 20.0  # seconds until what was written by now is heard of


class Heard:
    """All sources, by URL, from their first event on. They must not fall silent."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._versions = Versions()
        self._until = dict.fromkeys(urls, 0)
        self._changed = threading.Condition()

    def behind(self, cursors: Mapping[str, int], held: Mapping[str, str]) -> list[str]:
        """Records that ``held`` (URI → CID, as it is now) has as they were before the cursors."""
        now = time.time_ns() // 1_000
        with self._changed:
            heard = self._changed.wait_for(
                lambda: all(until > now for until in self._until.values()), _PATIENCE
            )
            assert heard, f"nothing new was heard: {self._until}, now {now}"
            return self._versions.behind(cursors, held)

    def listen(self, url: str, connection: ClientConnection) -> None:
        """Until ``connection`` is closed."""
        try:
            for frame in connection:
                assert isinstance(frame, bytes)
                event = frames.parse(frame)
                at = moment(getattr(event, "time", "") or "")
                with self._changed:
                    self._versions.take(url, event)
                    if at is not None:
                        self._until[url] = micros(at)
                    self._changed.notify_all()
        except ConnectionClosed:
            return


@contextmanager
def hearing(urls: Sequence[str]) -> Iterator[Heard]:
    """Listen to ``urls`` (``ws…``) until the block ends."""
    heard = Heard(urls)
    with ExitStack() as stack:
        for url in urls:
            connection = stack.enter_context(connect(f"{url}{METHOD}?cursor=0", max_size=None))
            thread = threading.Thread(target=heard.listen, args=(url, connection), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(connection.close)
        yield heard

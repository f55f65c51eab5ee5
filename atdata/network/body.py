"""The body of an answer, read in pieces: never more than was allowed, never less than was promised.

Rule: an end is reported only where the host ended the body. A connection that breaks off before
the announced length is an error, and so is every byte over the cap.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from urllib3 import HTTPHeaderDict

from atdata.protocol.errors import FetchFailed, FetchTimeout, TooLarge

PIECE = 1 << 18


class Answer(http.client.HTTPResponse):
    """An answer whose body can be read straight from the socket into the reader's memory."""

    def readinto1(self, buffer: Any) -> int:
        """With at most one call of the system, as ``io.BufferedIOBase`` has it."""
        if self.fp is None or self.chunked or not self.length:
            return super().readinto1(buffer)
        count = self.fp.readinto1(memoryview(buffer)[: self.length])
        self.length -= count
        return count


class Body:
    """A readable stream of the bytes as sent. ``status`` is the HTTP status, ``headers`` look up
    without regard to case, ``content_length`` is what the host announced, in bytes, ``url`` where
    the bytes came from, after redirects. Not thread-safe. Closing it frees the connection."""

    def __init__(
        self,
        response: Answer,
        url: str,
        shown: str,
        max_bytes: int,
        release: Callable[[bool], None],
    ) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = HTTPHeaderDict(
            (name, " ".join(value.split())) for name, value in response.headers.items()
        )
        self.content_length: int | None = response.length
        self.url = url
        self._response, self._shown, self._release = response, shown, release
        self._max_bytes, self._received = max_bytes, 0
        self._open, self._ended = True, self.content_length == 0

    def check_length(self) -> None:
        """Raises ``TooLarge`` if already the announced length is over the cap."""
        if self.content_length is not None and self.content_length > self._max_bytes:
            raise self._too_large(f"{self.content_length} bytes")

    def read(self, size: int = -1) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end; everything for a negative ``size``.

        Raises ``FetchFailed`` if the connection breaks, ``FetchTimeout``, ``TooLarge``.
        """
        pieces, missing = [], size if size >= 0 else self._max_bytes + 1
        while missing > 0 and (piece := self._receive(min(missing, PIECE))):
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill the front of ``buffer`` with what has arrived, waiting for at least one byte.
        Returns how many; 0 at the end. Raises like ``read``."""
        if not self._is_due(len(buffer)):
            return 0
        with self._named_errors():
            count = self._response.readinto1(memoryview(buffer).cast("B"))
            self._take_in(count)
        return count

    def chunks(self, size: int = PIECE) -> Iterator[bytes]:
        """The rest of the body as it arrives, in pieces of at most ``size`` bytes."""
        while piece := self._receive(size):
            yield piece

    def close(self) -> None:
        """Free the connection: for reuse after the end of the body, closed before it."""
        if self._open:
            self._open = False
            self._release(self._ended)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self, size: int) -> bytes:
        if not self._is_due(size):
            return b""
        with self._named_errors():
            piece = self._response.read1(size)
            self._take_in(len(piece))
        return piece

    def _is_due(self, size: int) -> bool:
        """Whether there may be more to read, and it is asked for."""
        if not self._open:
            raise ValueError("read of a body that is closed or has failed")
        return size > 0 and not self._ended

    def _take_in(self, count: int) -> None:
        """Note that ``count`` bytes came, none of them at the end."""
        self._received += count
        if not count and self.content_length is not None:
            raise http.client.IncompleteRead(b"", self.content_length - self._received)
        self._ended = not count or self._received == self.content_length
        if self._received > self._max_bytes:
            self.close()
            raise self._too_large("more bytes")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """What goes wrong on the way, as our own errors, after which the body is closed."""
        try:
            yield
        except TimeoutError as error:
            self.close()
            raise FetchTimeout(f"{self._shown}: too slow after {self._received} bytes") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise FetchFailed(f"{self._shown}: broke off after {self._received} bytes") from error

    def _too_large(self, what: str) -> TooLarge:
        return TooLarge(f"{self._shown}: {what}, at most {self._max_bytes} are allowed")

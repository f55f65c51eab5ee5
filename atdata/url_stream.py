"""A body at an address as a file object that outlives its connection.

Rule: the bytes are those of one version from first to last. After a break the host is asked for the
rest by range, on condition that nothing has changed; a host that knows no ranges sends all of it
again, and what has been read is passed over. A version that has changed, or of which nobody can
say whether it has, is an error and never a seam.
Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (ranges).
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from atdata.network.body import Body
from atdata.network.http import HttpClient
from atdata.protocol.errors import FetchFailed, FetchTimeout

ATTEMPTS = 4  # in a row that bring nothing new
RECONNECTS = 100  # in all
FIRST_DELAY = 0.2  # seconds; doubled each time

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one version of the bytes from another: a strong ETag, else the time of the last
    change, and the number of bytes."""

    validator: str | None
    size: int | None

    @classmethod
    def of(cls, body: Body, size: int | None) -> Version:
        etag = body.headers.get("ETag", "")
        return cls(etag if etag.startswith('"') else body.headers.get("Last-Modified"), size)

    def may_be(self, other: Version) -> bool:
        """Whether what both of them say is the same, and that is anything at all."""
        pairs = ((self.validator, other.validator), (self.size, other.size))
        said = [pair for pair in pairs if None not in pair]
        return bool(said) and all(one == another for one, another in said)


def size_of_all(body: Body, start: int) -> int | None:
    """How many bytes there are in all, if this answer (206) holds those from ``start`` to the end;
    None if it holds others."""
    found = _CONTENT_RANGE.fullmatch(body.headers.get("Content-Range", ""))
    if found is None:
        return None
    first, last, size = map(int, found.groups())
    return size if (first, last) == (start, size - 1) else None


class UrlStream(io.RawIOBase):
    """The bytes at ``url`` in order, over as many connections as it takes.

    Raises ``NetworkError`` when it is made and while it is read: ``TooLarge`` for an answer of more
    than ``max_bytes``. ``sleep`` waits before another attempt. Closing it ends the request.
    """

    def __init__(
        self,
        url: str,
        client: HttpClient,
        *,
        max_bytes: int | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._url, self._client, self._sleep = url, client, sleep
        self._max_bytes = max_bytes
        self._at = self._failures = self._reconnects = 0
        self._request = ExitStack()
        self._body = self._open({})
        self._version = Version.of(self._body, self._body.content_length)

    @property
    def size(self) -> int | None:
        """How many bytes there are in all, if the host said so."""
        return self._version.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            try:
                if self._failures:
                    self._resume()
                count = self._body.readinto(buffer)
            except (FetchFailed, FetchTimeout) as error:
                self._wait_or_give_up(error)
                continue
            self._at += count
            self._failures = 0
            return count

    def close(self) -> None:
        if not self.closed:
            self._request.close()
        super().close()

    def _open(self, headers: dict[str, str]) -> Body:
        self._request.close()
        return self._request.enter_context(
            self._client.stream(
                self._url,
                headers={"Accept-Encoding": "identity", **headers},
                max_bytes=self._max_bytes,
            )
        )

    def _resume(self) -> None:
        """A connection whose next byte is the one after the last that came."""
        headers = {"Range": f"bytes={self._at}-"} if self._at else {}
        if self._at and self._version.validator is not None:
            headers["If-Range"] = self._version.validator
        self._body = body = self._open(headers)
        if body.status == 206:
            size = size_of_all(body, self._at)
            if size is None:
                raise self._broken("answered with another range than was asked for")
            self._check(Version.of(body, size))
            return
        self._check(Version.of(body, body.content_length))
        left = self._at
        while left:
            piece = len(body.read(min(left, 1 << 18)))
            if not piece:
                raise self._broken("has become shorter")
            left -= piece

    def _check(self, version: Version) -> None:
        if not self._version.may_be(version):
            raise self._broken(f"may have changed: {self._version} before, {version} now")

    def _broken(self, why: str) -> FetchFailed:
        # With a status, so that it is final.
        place = self._url.partition("?")[0]
        why = f"{place!a:.200} {why}; it broke off after {self._at} bytes and can't be resumed"
        return FetchFailed(why, status=self._body.status)

    def _wait_or_give_up(self, error: FetchFailed | FetchTimeout) -> None:
        """The client has tried again already where a host answers with an error."""
        final = isinstance(error, FetchFailed) and error.status is not None
        self._failures += 1
        self._reconnects += 1
        if final or self._failures > ATTEMPTS or self._reconnects > RECONNECTS:
            raise error
        self._sleep(FIRST_DELAY * (1 << (self._failures - 1)))

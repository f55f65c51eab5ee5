"""Where requests are worked on: lanes of threads, so that what takes long waits for its own kind.

Rule: a lane works on so many requests at a time, and so many wait; the others are told to come
again. A request whose client has gone while it waited is not worked on. What each took of the
processor is noted for whoever counts it (``limits``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

RETRY_SECONDS = 2
GONE = 499  # what is logged of a request that nobody waits for
_SPENT = "search_api.spent"

Answer = Callable[[Request], Response]


class Spent:
    """Seconds of processor time that a request took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def noted_in(self, scope: Scope) -> None:
        """Lanes add to it from now on."""
        scope[_SPENT] = self


class Lane:
    """``places`` threads for one kind of request. Belongs to one event loop."""

    def __init__(self, places: int, waiting: int) -> None:
        self._threads = CapacityLimiter(places)
        self._places, self._free = places, asyncio.Semaphore(places)
        self._most_waiting, self._waiting = waiting, 0

    def endpoint(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """``answer``, worked on here."""

        async def endpoint(request: Request) -> Response:
            return await self.answered(request, answer)

        return endpoint

    async def answered(self, request: Request, answer: Answer) -> Response:
        """What ``answer`` gives. Raises ``HTTPException`` 503 where too many wait."""
        if not self._free.locked():
            await self._free.acquire()
        elif self._waiting >= self._most_waiting:
            headers = {"Retry-After": str(RETRY_SECONDS)}
            message = f"too many such requests; try again in {RETRY_SECONDS} s"
            raise HTTPException(503, message, headers)
        elif not await self._waited(request.receive):
            return Response(status_code=GONE)
        try:
            return await to_thread.run_sync(partial(_timed, request, answer), limiter=self._threads)
        finally:
            self._free.release()

    async def _waited(self, receive: Receive) -> bool:
        """Whether the client is still there when it is its turn; the place is taken then."""
        self._waiting += 1
        turn = asyncio.create_task(self._free.acquire())
        leaving = asyncio.create_task(_left(receive))
        is_there = False
        try:
            await asyncio.wait({turn, leaving}, return_when=asyncio.FIRST_COMPLETED)
            is_there = not leaving.done()
        finally:
            self._waiting -= 1
            leaving.cancel()
            if not is_there and not turn.cancel():
                self._free.release()
        return is_there


def _timed(request: Request, answer: Answer) -> Response:
    began = time.thread_time()
    try:
        return answer(request)
    finally:
        spent = request.scope.get(_SPENT)
        if spent is not None:
            spent.seconds += time.thread_time() - began


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""``python -m indexer.intake_process FD``: the receiving process, told what to do over a socket.

Rule: it lives as long as the other end of that socket, and no longer, however that ends.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys

from indexer import intake_wire as wire
from indexer.intake import LocalIntake
from indexer.logs import configure_logging
from indexer.machine import microseconds
from indexer.tracked import Tracked


class Worker:
    """One intake, and the channel to the writer."""

    def __init__(self, channel: wire.Channel, start: wire.Start) -> None:
        self._channel = channel
        self._cursors, self._tracked = start.cursors, Tracked(start.tracked)
        self._intake = LocalIntake(
            start.settings,
            self._cursors.get,
            self._tracked,
            microseconds,
            numbered_from=start.numbered_from,
        )

    async def run(self) -> None:
        """Until the other side is gone. Raises what the intake raises."""
        running = asyncio.create_task(self._intake.run())
        listening = asyncio.create_task(self._listen())
        await asyncio.wait((running, listening), return_when=asyncio.FIRST_COMPLETED)
        for task in (running, listening):
            task.cancel()
        for ended in await asyncio.gather(running, listening, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _listen(self) -> None:
        taking: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while (data := await self._channel.receive()) is not None:
                match wire.order_of(data):
                    case wire.Take() as take:
                        taking = group.create_task(self._take(take))
                    case wire.Settle(cursors):
                        self._cursors.update(cursors)
                        self._intake.settle()
                    case wire.Track(dids):
                        self._tracked.update(dids)
                    case wire.Obey(orders):
                        self._intake.obey(orders)
            if taking is not None:
                taking.cancel()  # nobody is there for its answer, and it may wait for long

    async def _take(self, take: wire.Take) -> None:
        taken = await self._intake.take(take.rest, take.timeout)
        answer = wire.Answer(taken, self._intake.links, self._intake.waiting)
        self._channel.send(wire.packed_answer(answer))


async def serve(sock: socket.socket) -> None:
    """Until the other end of ``sock`` is closed."""
    channel = await wire.Channel.over(sock)
    first = await channel.receive()
    start = None if first is None else wire.order_of(first)
    if isinstance(start, wire.Start):
        gc.freeze()  # what is loaded now stays
        await Worker(channel, start).run()


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for the writer, which then lets go of us
    configure_logging()
    asyncio.run(serve(socket.socket(fileno=int(arguments[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Messages over one connection, many to a packet, in both directions; any thread may say one.

Messages that are said while a packet is on its way go with the next one. So the busier a connection
is, the more messages share a packet. A large packet goes in pieces, and each piece carries a stamp:
so both sides see that the other one is alive, however long a message takes.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Message", "NotUnderstoodError", "Stream"]

Message = tuple[Any, ...]

PIECE = 4 * 1024 * 1024  # bytes


class NotUnderstoodError(RuntimeError):
    """The other side has no handler for what it was asked."""


class Stream:
    """One end of a connection of Dask's.

    Args:
        comm: the connection.
        stamp: makes what goes with each piece.

    `heard` is told the stamp of each piece that comes.
    All but `say` is for the thread of the event loop that it is made in.
    """

    def __init__(self, comm: Any, stamp: Callable[[], float]) -> None:
        self.heard: Callable[[float], object] = lambda _: None
        self.comm = comm
        self._stamp = stamp
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[Message | None] = deque()
        self._bell = asyncio.Event()
        self._is_rung = False

    def say(self, *message: Any) -> None:
        """Have a message sent soon; in vain if the connection is gone."""
        self._unsent.append(message)
        self._ring()

    def hang_up(self) -> None:
        """Nothing more will be said: `send` is to end when all is sent."""
        self._unsent.append(None)
        self._ring()

    def _ring(self) -> None:
        # After `send` has emptied the queue, the bell is silent: the next message rings it.
        if not self._is_rung:
            self._is_rung = True
            try:
                self._loop.call_soon_threadsafe(self._bell.set)
            except RuntimeError:
                pass  # the event loop has ended, and with it the connection

    async def send(self) -> None:
        """Send what is said, until `hang_up`.

        Raises:
            OSError: the connection is gone.
        """
        while True:
            await self._bell.wait()
            self._bell.clear()
            self._is_rung = False
            batch: list[Message | None] = []
            while self._unsent:
                batch.append(self._unsent.popleft())
            is_over = bool(batch) and batch[-1] is None
            if is_over:
                batch.pop()
            if batch:
                await self._send(pickle.dumps(batch, 5))
            if is_over:
                return

    async def _send(self, packet: bytes) -> None:
        for at in range(0, len(packet), PIECE):
            end = at + PIECE
            piece = packet if len(packet) <= PIECE else packet[at:end]
            await self.comm.write((self._stamp(), end >= len(packet), piece))

    async def receive(self) -> list[Message]:
        """What the other side has said, as far as one packet goes.

        Raises:
            OSError: the connection is gone.
            NotUnderstoodError: the other side serves no such connections.
        """
        pieces = []
        is_last = False
        while not is_last:
            message = await self.comm.read()
            if message is None:  # that is how Dask answers then
                raise NotUnderstoodError("there is no handler for what was asked")
            stamp, is_last, piece = message
            self.heard(stamp)
            pieces.append(piece)
        packet = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        # From the other end of a connection of Dask's, who may run what it likes here anyway.
        batch: list[Message] = pickle.loads(packet)  # noqa: S301 - see above
        return batch

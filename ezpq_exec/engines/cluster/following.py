"""Follows the roster on Dask's scheduler, over one connection after another. On an event loop.

While the scheduler is away it is tried again and again, for so long as it may be away. A scheduler
that comes back begins its roster anew; what differs from the old one is told.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from . import roster
from .connecting import CONNECT, UnfitError, answered, connected, installed
from .stream import Message, NotUnderstoodError, Stream

__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "Following", "Listed", "Listener"]

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before something is tried again
# The scheduler sends PULSES messages in the time for which it may be away. After the part SILENT of
# that time without one, the connection counts as ended.
PULSES, SILENT = 8, 0.5

Listed = dict[str, dict[str, Any]]  # Dask workers by address, and what the scheduler says of each


class Listener(Protocol):
    """Is told which Dask workers there are."""

    def all_are(self, listed: Listed) -> None:
        """These workers are there, and no others."""

    def one_came(self, address: str, worker: dict[str, Any]) -> None:
        """A worker has come."""

    def one_left(self, address: str) -> None:
        """A worker has gone."""


class Following:
    """Follows the roster of one scheduler.

    Args:
        address: the scheduler's.
        connection: arguments for Dask's `connect`.
        patience: seconds for which it may be away.
        listener: is told which workers there are.
    """

    def __init__(
        self, address: str, connection: dict[str, Any], patience: float, listener: Listener
    ) -> None:
        self._address = address
        self._where = f"the Dask scheduler at {address}"
        self._connection = connection
        self._patience = patience
        self._listener = listener
        self._heard_at = time.monotonic()
        self._pause = FIRST_PAUSE

    async def run(self) -> None:
        """Follow the roster, until the scheduler is given up.

        Raises:
            OSError: the scheduler was away for too long.
            UnfitError: it is not one that can be used.
        """
        self._heard_at = time.monotonic()
        while True:
            try:
                await self._subscribe()
            except OSError as failure:
                if self._left <= 0:
                    raise self._away(failure) from failure
                await asyncio.sleep(min(self._pause, self._left))
                self._pause = min(2 * self._pause, LONGEST_PAUSE)

    @property
    def _left(self) -> float:
        """Seconds for which it may still be away."""
        return self._heard_at + self._patience - time.monotonic()

    def _away(self, failure: OSError) -> OSError:
        return ConnectionError(
            f"{self._where} could not be reached for {self._patience:g} s: {failure}"
        )

    async def _subscribe(self) -> None:
        """Follow it over one connection.

        Raises:
            OSError: that has ended; or there is none to be had.
            UnfitError: the scheduler is not one that can be used.
        """
        limit = min(CONNECT, self._patience)
        plugin = "run_function", roster.install, max(limit, self._left)
        await installed(self._address, self._where, self._connection, *plugin)
        subscribe = {"op": roster.SUBSCRIBE, "pulse": self._patience / PULSES}
        comm = await connected(self._address, self._connection, subscribe, limit)
        try:
            stream = Stream(comm, time.monotonic)
            listed: Listed | None = {}  # until all are known
            while True:
                for kind, *details in await self._receive(stream):
                    if kind == "complete" and listed is not None:
                        self._listener.all_are(listed)
                        listed = None
                    elif kind == "add" and listed is not None:
                        listed[details[0]] = details[1]
                    elif kind == "add":
                        self._listener.one_came(*details)
                    elif kind == "remove":
                        self._listener.one_left(*details)
        finally:
            comm.abort()

    async def _receive(self, stream: Stream) -> list[Message]:
        try:
            messages = await answered(stream.receive(), self._patience * SILENT)
        except NotUnderstoodError as failure:
            raise UnfitError(f"{self._where} has another version of ezpq_exec") from failure
        finally:
            # The end of a connection counts as a sign of life, too; and so does silence, since it
            # may have been this program that was stopped.
            self._heard_at = time.monotonic()
        self._pause = FIRST_PAUSE
        return messages

"""On the Dask scheduler: tells executors which workers there are, and of each that comes or goes.

It is a plugin of the scheduler's, which executors install when they first connect to it. (Dask has a
subscription of its own, but it is for one subscriber.)
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from distributed import SchedulerPlugin
from distributed.core import Status

import ezpq_exec

from .stream import Stream

__all__ = ["SUBSCRIBE", "Roster", "install"]

NAME = f"ezpq_exec-{ezpq_exec.__version__}"
SUBSCRIBE = f"{NAME}-subscribe"


class Roster(SchedulerPlugin):  # type: ignore[misc]
    """Those who want to know of the workers."""

    name = NAME

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._streams: set[Stream] = set()
        scheduler.handlers[SUBSCRIBE] = self.subscribe

    async def subscribe(self, comm: Any) -> Status:
        """Tell whoever is at the other end of this connection, for as long as there is one."""
        stream = Stream(comm, time.monotonic)
        for address in self._scheduler.workers:
            stream.say("add", address, self._describe(address))
        stream.say("complete")
        self._streams.add(stream)
        sender = asyncio.ensure_future(stream.send())
        try:
            await comm.read()  # nothing comes but the end
        except OSError:
            pass
        finally:
            self._streams.discard(stream)
            sender.cancel()
            await asyncio.wait([sender])
        return Status.dont_reply

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """One has come."""
        for stream in self._streams:
            stream.say("add", worker, self._describe(worker))

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """One has gone."""
        for stream in self._streams:
            stream.say("remove", worker)

    def _describe(self, address: str) -> dict[str, Any]:
        worker = self._scheduler.workers[address]
        return {
            "name": worker.name,
            "host": worker.host,
            "threads": worker.nthreads,
            "resources": dict(worker.resources),
        }


async def install(dask_scheduler: Any) -> None:
    """Have a roster on this scheduler, if there is none. Sent there by whoever connects."""
    if NAME not in dask_scheduler.plugins:
        dask_scheduler.add_plugin(Roster(dask_scheduler), name=NAME)

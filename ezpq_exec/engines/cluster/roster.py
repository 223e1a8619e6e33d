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

    async def subscribe(self, comm: Any, pulse: float) -> Status:
        """Tell whoever is at the other end of this connection, for as long as there is one.

        Something is said every `pulse` seconds, so that it is noticed when the scheduler stops.
        """
        stream = Stream(comm, time.monotonic)
        for address in self._scheduler.workers:
            stream.say("add", address, self._describe(address))
        stream.say("complete")
        self._streams.add(stream)
        tasks = [asyncio.ensure_future(each) for each in (stream.send(), _beat(stream, pulse))]
        try:
            await comm.read()  # nothing comes but the end
        except OSError:
            pass
        finally:
            self._streams.discard(stream)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
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


async def _beat(stream: Stream, pulse: float) -> None:
    while True:
        await asyncio.sleep(pulse)
        stream.say("pulse")


async def install(dask_scheduler: Any) -> str:
    """Install a roster on this scheduler, if there is none; returns the version that is there."""
    if NAME not in dask_scheduler.plugins:
        dask_scheduler.add_plugin(Roster(dask_scheduler), name=NAME)
    return ezpq_exec.__version__

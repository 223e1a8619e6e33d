"""On a Dask worker: the outposts, one for each executor, and the connections that command them.

It is a plugin of the Dask worker's, which executors install when they first connect to it. When the
Dask worker closes, every outpost kills what it runs and says so.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections import OrderedDict
from multiprocessing import util
from typing import Any

from distributed import WorkerPlugin
from distributed.core import Status

import ezpq_exec

from ... import exitorder, packing
from .. import close_leftovers
from ..base import Engine
from ..choice import choose
from .outpost import Outpost
from .stream import Stream

__all__ = ["FAREWELL", "GREETING", "Garrison", "install"]

NAME = f"ezpq_exec-{ezpq_exec.__version__}"
GREETING = f"{NAME}-greeting"
FAREWELL = f"{NAME}-farewell"
AFTER_EXECUTORS = 50  # in the order of multiprocessing's finalizers
REMEMBERED = 256  # outposts that are over, of which somebody may still ask


class Garrison(WorkerPlugin):  # type: ignore[misc]
    """The outposts on one Dask worker."""

    name = NAME

    def __init__(self) -> None:
        self._outposts: dict[str, Outpost] = {}
        self._ends: dict[str, asyncio.Event] = {}
        # Of outposts that are over: which jobs had begun, if that is known.
        self._begun: OrderedDict[str, frozenset[int] | None] = OrderedDict()

    def setup(self, worker: Any) -> None:
        """Dask has installed it on this worker."""
        worker.handlers[GREETING] = self.greet
        worker.handlers[FAREWELL] = self.bid_farewell

    async def teardown(self, worker: Any) -> None:
        """The Dask worker closes."""
        for outpost in self._outposts.values():
            outpost.give_up()
        for end in list(self._ends.values()):
            await end.wait()

    async def greet(self, comm: Any, session: str, setup: bytes, lease: float) -> Status:
        """An executor has connected: serve it over this connection until either is gone."""
        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        stream = Stream(comm, time.monotonic)

        def over() -> None:
            stream.hang_up()
            loop.call_soon_threadsafe(end.set)

        try:
            outpost = Outpost(_engine(), packing.unpack(setup), lease, stream.say, over)
            stream.heard = outpost.heard
            outpost.start()
        except Exception as failure:  # whatever this host lacks
            await comm.write({"failure": packing.pack_error(failure)})
            return Status.dont_reply
        self._outposts[session] = outpost
        self._ends[session] = end
        try:
            await self._serve(comm, stream, outpost, end)
        finally:
            del self._outposts[session], self._ends[session]
            self._begun[session] = outpost.begun
            while len(self._begun) > REMEMBERED:
                self._begun.popitem(last=False)
        await _leave(comm)
        return Status.dont_reply

    async def _serve(self, comm: Any, stream: Stream, outpost: Outpost, end: asyncio.Event) -> None:
        sender = asyncio.ensure_future(stream.send())
        try:
            await comm.write({"pid": os.getpid(), "name": socket.gethostname()})
            while not end.is_set():
                outpost.obey(await stream.receive())
        except OSError:
            pass  # the executor is gone, or has heard that all is over
        finally:
            outpost.give_up()
            await end.wait()
            await asyncio.wait([sender])
            sender.exception()  # it may not have got through
            await asyncio.get_running_loop().run_in_executor(None, outpost.join)

    async def bid_farewell(self, session: str) -> list[int] | None:
        """End an outpost, if it has not ended. Returns which of its jobs had begun.

        None if that outpost is not known here; then nobody can tell.
        """
        outpost = self._outposts.get(session)
        if outpost is None:
            begun = self._begun.get(session)
        else:
            outpost.give_up()
            await self._ends[session].wait()
            begun = outpost.begun
        return None if begun is None else sorted(begun)


async def _leave(comm: Any) -> None:
    """Read until the other side closes the connection; what it still sends is ignored.

    If the connection were closed here, the other side might not get what was sent to it last.
    """
    try:
        while True:
            await comm.read()
    except OSError:
        pass


def _engine() -> Engine:
    """A new engine for processes here, which must be able to do all that is promised.

    Raises:
        RuntimeError: it is not.
    """
    engine = choose("processes")
    if not engine.capabilities.own_deadlines:
        raise RuntimeError("this system has no keepers, which the promises about jobs need")
    return engine


async def install(dask_worker: Any) -> str:
    """Install a garrison on this Dask worker, if there is none; returns the version that is there."""
    if NAME not in dask_worker.plugins:
        # A nanny's worker ends as multiprocessing's processes do. There the root is ended after the
        # worker's own executors, by priority (see `exits`).
        util.Finalize(None, close_leftovers, exitpriority=AFTER_EXECUTORS)
        exitorder.call_at_exit(_close_leftovers)
        await dask_worker.plugin_add(plugin=Garrison(), name=NAME)
    return ezpq_exec.__version__


def _close_leftovers() -> None:
    """At the interpreter's exit, unless there is a module that sees to that, and to executors."""
    if "ezpq_exec.exits" not in sys.modules:
        close_leftovers()

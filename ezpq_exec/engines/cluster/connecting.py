"""Connections to Dask's processes, and how plugins of ours come there. On an event loop.

Dask forgets a connection that is cancelled while it is made, and its socket stays open until that is
collected. So whoever is cancelled here first waits a moment for the connection, to close it.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Coroutine
from typing import Any

from distributed import rpc
from distributed.core import connect

__all__ = ["CONNECT", "UnfitError", "connected", "installed"]

CONNECT = 5.0  # seconds that one try may take
MOMENT = 2.0  # seconds


class UnfitError(RuntimeError):
    """A Dask worker, or scheduler, cannot be used."""


async def connected(
    address: str, connection: dict[str, Any], first: dict[str, Any], timeout: float = CONNECT
) -> Any:
    """A connection to that address, over which the message `first` was sent.

    Raises:
        OSError: there is none to be had.
    """
    comm = await _seen_through(
        connect(address, timeout=timeout, **connection), lambda comm: comm.abort()
    )
    try:
        await comm.write(first)
    except BaseException:
        comm.abort()
        raise
    return comm


async def installed(
    address: str,
    where: str,
    connection: dict[str, Any],
    operation: str,
    install: Callable[..., object],
    timeout: float = CONNECT,
) -> None:
    """Have a plugin of ours installed there, by Dask's way of running a function.

    Args:
        address: of the scheduler, or a worker.
        where: what to call that in an error.
        connection: arguments for Dask's `connect`.
        operation: how running a function is called there.
        install: does it.
        timeout: seconds that connecting may take.

    Raises:
        OSError: it cannot be reached.
        UnfitError: it cannot be done there.
    """

    async def ask() -> Any:
        async with rpc(address, timeout=timeout, connection_args=connection) as server:
            return await getattr(server, operation)(function=pickle.dumps(install), wait=True)

    try:
        answer = await _seen_through(ask(), lambda _: None)
    except OSError:
        raise
    except Exception as failure:  # what it raised there, such as that there is no such module
        raise UnfitError(_unfit(where, repr(failure))) from failure
    if answer["status"] != "OK":
        raise UnfitError(_unfit(where, answer["exception_text"]))


def _unfit(where: str, why: str) -> str:
    return f"{where} cannot run jobs: {why}; ezpq_exec must be installed there, in this version"


async def _seen_through(making: Coroutine[Any, Any, Any], undo: Callable[[Any], object]) -> Any:
    task = asyncio.ensure_future(making)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=MOMENT)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        elif task.exception() is None:
            undo(task.result())
        raise

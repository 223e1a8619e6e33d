"""Connects to Dask's processes, and installs our plugins there. On an event loop.

If making a connection is cancelled, Dask forgets the connection, and its socket stays open until it
is garbage collected. So a cancelled task waits here a moment for the connection, to close it.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from distributed import rpc
from distributed.core import connect

import ezpq_exec

__all__ = ["CONNECT", "UnfitError", "answered", "connected", "installed"]

T = TypeVar("T")

CONNECT = 5.0  # seconds that one try may take
MOMENT = 2.0  # seconds that a cancelled task waits for its connection


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
    patience: float,
) -> None:
    """Have a plugin of ours installed there, by Dask's way of running a function.

    Args:
        address: of the scheduler, or a worker.
        where: what to call that in an error.
        connection: arguments for Dask's `connect`.
        operation: how running a function is called there.
        install: does it; what it returns is the version that is there.
        patience: seconds that all this may take.

    Raises:
        OSError: it cannot be reached, or does not answer.
        UnfitError: it cannot be done there.
    """
    limit = min(CONNECT, patience)

    async def ask() -> Any:
        async with rpc(address, timeout=limit, connection_args=connection) as server:
            return await getattr(server, operation)(function=pickle.dumps(install), wait=True)

    try:
        answer = await _seen_through(ask(), lambda _: None, patience)
    except OSError:
        raise
    except Exception as failure:  # what it raised there, such as that there is no such module
        raise UnfitError(_unfit(where, repr(failure))) from failure
    if answer["status"] != "OK":
        raise UnfitError(_unfit(where, answer["exception_text"]))
    if answer["result"] != ezpq_exec.__version__:
        raise UnfitError(_unfit(where, f"it has another version, {answer['result'] or 'unknown'}"))


def _unfit(where: str, why: str) -> str:
    return (
        f"{where} cannot run jobs: {why}; ezpq_exec must be installed there, in this version, "
        f"{ezpq_exec.__version__}"
    )


async def answered(coming: Coroutine[Any, Any, T], patience: float) -> T:
    """The result of `coming`, if it comes within `patience` seconds.

    Raises:
        TimeoutError: it does not.
    """
    # asyncio.wait_for may forget, up to Python 3.11, that it was cancelled.
    task = asyncio.ensure_future(coming)
    try:
        await asyncio.wait([task], timeout=patience)
    finally:
        is_late = await _stopped(task)
    if is_late:
        raise TimeoutError(f"there was no answer for {patience:g} s")
    return task.result()


async def _seen_through(
    making: Coroutine[Any, Any, T], undo: Callable[[T], object], patience: float | None = None
) -> T:
    """The result of `making`, within `patience` seconds. If this is cancelled, `undo` gets it."""
    task = asyncio.ensure_future(making)
    try:
        await asyncio.wait([task], timeout=patience)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=MOMENT)
        if not await _stopped(task) and task.exception() is None:
            undo(task.result())
        raise
    if await _stopped(task):
        raise TimeoutError(f"there was no answer for {patience:g} s")
    return task.result()


async def _stopped(task: asyncio.Task[Any]) -> bool:
    """Cancel a task if it is not done; True if it was cancelled."""
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
        return True
    if not task.cancelled():
        task.exception()  # so that asyncio does not complain that nobody has asked for it
    return task.cancelled()

"""`as_completed`: futures as they are done, and of those that are done the most urgent first."""

from __future__ import annotations

import heapq
import itertools
import queue
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FuturesTimeoutError
from typing import Any, TypeVar

from .future import JobFuture
from .jobs import DEFAULT_PRIORITY
from .mapping import check_wait

__all__ = ["as_completed"]

F = TypeVar("F", bound="Future[Any]")


def as_completed(fs: Iterable[F], timeout: float | None = None) -> Iterator[F]:
    """Give the futures as they are done; whenever several are, the one of best priority first.

    Args:
        fs: futures, of any executor; one given twice is yielded once. Those that are not
            `JobFuture`s have the default priority, 100.
        timeout: seconds from the first `next` until the last future must be done; None: no limit.

    Raises:
        TimeoutError: not all of them were done in time.
        TypeError: `fs` has something else than futures in it.

    >>> from ezpq_exec import PriorityExecutor
    >>> with PriorityExecutor(1, engine="threads") as ex:
    ...     jobs = [ex.options(priority=p).submit(str, p) for p in (3, 1, 2)]
    >>> [future.result() for future in as_completed(jobs)]
    ['1', '2', '3']
    """
    check_wait(timeout)
    if not isinstance(fs, Iterable):
        raise TypeError(f"as_completed takes an iterable of futures, not {fs!r}")
    futures = list(fs)
    for future in futures:
        if not isinstance(future, Future):
            raise TypeError(f"as_completed takes futures, not {future!r}")
    return _in_order(dict.fromkeys(futures), timeout)


def _priority(future: Future[Any]) -> Any:
    return future.priority if isinstance(future, JobFuture) else DEFAULT_PRIORITY


def _in_order(pending: dict[F, None], timeout: float | None) -> Iterator[F]:
    end = None if timeout is None else time.monotonic() + timeout
    total = len(pending)
    arrived: queue.SimpleQueue[F] = queue.SimpleQueue()
    best: list[tuple[Any, int, F]] = []
    order = itertools.count()

    def hear(future: Any) -> None:
        arrived.put(future)

    for future in pending:
        if isinstance(future, JobFuture):
            future.add_listener(hear)
        else:
            future.add_done_callback(hear)
    try:
        while pending or best:
            while not best or not arrived.empty():
                future = _next(arrived, end, len(pending), total)
                del pending[future]
                heapq.heappush(best, (_priority(future), next(order), future))
                del future  # what has been yielded is the caller's alone
            yield heapq.heappop(best)[2]
    finally:
        for future in pending:
            if isinstance(future, JobFuture):
                future.remove_listener(hear)


def _next(arrived: queue.SimpleQueue[F], end: float | None, left: int, total: int) -> F:
    try:
        return arrived.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
    except queue.Empty:
        raise FuturesTimeoutError(f"{left} (of {total}) futures unfinished") from None

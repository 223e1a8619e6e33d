"""`as_completed`: futures as they are done, and of those that are done the most urgent first."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FuturesTimeoutError
from typing import Any, TypeVar

from .future import JobFuture
from .inbox import Inbox
from .mapping import check_wait
from .options import DEFAULT_PRIORITY
from .progress import INTERVAL, Bar, bar
from .progress import check as check_progress

__all__ = ["as_completed"]

LONGEST_WAIT = 24 * 3600.0  # seconds, which no system's wait refuses; it is then begun again

F = TypeVar("F", bound="Future[Any]")


def as_completed(
    fs: Iterable[F], timeout: float | None = None, progress: bool = False
) -> Iterator[F]:
    """Give the futures as they are done; whenever several are, the one of best priority first.

    Args:
        fs: futures, of any executor; one given twice is yielded once. Those that are not
            `JobFuture`s have the default priority, 100.
        timeout: seconds from the first `next` until the last future must be done; None: no limit.
        progress: whether to show a bar, by tqdm, from the first `next` on. It moves whenever the
            iterator is asked for the next future, and while it waits for one.

    Raises:
        TimeoutError: not all of them were done in time.
        TypeError: `fs` has something else than futures in it, or `progress` is no bool.
        ImportError: tqdm is not installed (`pip install ezpq_exec[progress]`).

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
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be True or False, not {progress!r}")
    if not progress:
        return _in_order(dict.fromkeys(futures), timeout, None)
    check_progress()
    return _in_order(dict.fromkeys(futures), timeout, bar)


def _priority(future: Future[Any]) -> Any:
    return future.priority if isinstance(future, JobFuture) else DEFAULT_PRIORITY


def _in_order(
    pending: dict[F, None], timeout: float | None, begin: Callable[[int], Bar] | None
) -> Iterator[F]:
    end = None if timeout is None else time.monotonic() + timeout
    total = len(pending)
    done: Inbox[Any] = Inbox()
    best: list[tuple[Any, int, F]] = []
    order = itertools.count()
    hear = done.put  # kept, since `remove_listener` needs this very object
    shown = begin(total) if begin else None
    _listen(pending, hear)
    try:
        while pending or best:
            news = _take(done, 0 if best else _left(end), shown)
            while news:  # no variable keeps a future that was yielded: only the caller has it
                del pending[news[0]]
                heapq.heappush(best, (_priority(news[0]), next(order), news.pop(0)))
            if best:
                yield heapq.heappop(best)[2]
            elif end is not None and time.monotonic() >= end:
                raise FuturesTimeoutError(f"{len(pending)} (of {total}) futures unfinished")
    finally:
        done.close()
        if shown:
            shown.close()
        for future in pending:
            if isinstance(future, JobFuture):
                future.remove_listener(hear)


def _take(done: Inbox[F], timeout: float | None, shown: Bar | None) -> list[F]:
    if not shown:
        return done.take(timeout)
    news = done.take(INTERVAL if timeout is None else min(timeout, INTERVAL))
    if not news and timeout != 0:
        shown.refresh()  # draw what came too fast to be drawn at once
        news = done.take(None if timeout is None else max(0.0, timeout - INTERVAL))
    shown.update(len(news))
    return news


def _listen(futures: Iterable[F], hear: Callable[[Any], object]) -> None:
    for future in futures:
        if isinstance(future, JobFuture):
            future.add_listener(hear)
        else:
            future.add_done_callback(hear)


def _left(end: float | None) -> float | None:
    return None if end is None else min(max(0.0, end - time.monotonic()), LONGEST_WAIT)

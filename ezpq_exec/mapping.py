"""`map`: one job an item, or a chunk of items, and the results in the items' order."""

from __future__ import annotations

import itertools
import math
import numbers
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from .excerpt import shown

__all__ = ["Chunked", "check", "check_wait", "chunks", "flatten", "results"]


class Chunked:
    """Calls `func` for each of a list of argument tuples."""

    __slots__ = ("func",)

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, batch: list[tuple[Any, ...]]) -> list[Any]:
        """The results for a batch, in its order."""
        return [self.func(*args) for args in batch]


def check_wait(timeout: object) -> None:
    """Raise TypeError or ValueError unless `timeout` is a number of seconds, or None."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout must be a number of seconds or None, not {shown(timeout)}")
    if math.isnan(timeout):
        raise ValueError(f"timeout must be a number of seconds or None, not {shown(timeout)}")


def check(timeout: object, chunksize: object, buffersize: object) -> None:
    """Raise TypeError or ValueError unless these can be `map`'s, with the stdlib's words."""
    from .options import check_integer  # here, as workers import this module, for `Chunked`

    check_wait(timeout)
    if isinstance(chunksize, str):
        if chunksize != "auto":
            raise ValueError(
                f"chunksize must be an integer >= 1, or 'auto', not {shown(chunksize)}"
            )
    elif check_integer("chunksize", chunksize, "an integer >= 1, or 'auto'") < 1:
        raise ValueError(f"chunksize must be >= 1, or 'auto', not {shown(chunksize)}")
    if buffersize is not None and check_integer("buffersize", buffersize, "an integer or None") < 1:
        raise ValueError(f"buffersize must be None or > 0, not {shown(buffersize)}")


def chunks(items: Iterable[Any], size: int) -> Iterator[tuple[list[Any]]]:
    """`items` in lists of `size`, each in a tuple of one."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield (batch,)


def flatten(lists: Iterator[list[Any]]) -> Iterator[Any]:
    """Give the items of the lists one by one, and keep none of them."""
    for items in lists:
        items.reverse()
        while items:
            yield items.pop()


def results(
    submitted: Iterator[Future[Any]], timeout: float | None, buffersize: int | None
) -> Iterator[Any]:
    """Have calls submitted at once, or `buffersize` of them ahead of those that were asked for.

    What is submitted first is submitted now; the iterator that is returned gives the results. It
    raises TimeoutError when one is not there `timeout` seconds after this call; and whatever ends
    it, the jobs whose results were not given are cancelled.

    Args:
        submitted: submits the next call for each future that is taken from it, or before that.
    """
    end = None if timeout is None else time.monotonic() + timeout
    futures: deque[Future[Any]] = deque()
    try:
        futures.extend(itertools.islice(submitted, buffersize))
    except BaseException:  # raised by the items, or by `submit`: nobody will ask for the results
        for future in futures:
            future.cancel()
        raise
    return _give(futures, end, None if buffersize is None else submitted)


def _give(
    futures: deque[Future[Any]], end: float | None, more: Iterator[Future[Any]] | None = None
) -> Iterator[Any]:
    """The results in turn; for each one, another job is submitted, if there are `more`."""
    try:
        while futures:
            if more is not None:
                futures.extend(itertools.islice(more, 1))
            yield _result(futures.popleft(), end)
    finally:
        for future in futures:
            future.cancel()


def _result(future: Future[Any], end: float | None) -> Any:
    try:
        return future.result(None if end is None else end - time.monotonic())
    except BaseException:
        future.cancel()
        raise
    finally:
        del future  # break the cycle through an exception's traceback

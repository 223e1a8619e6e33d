"""`max_pending`: each job that is not done has a place, and there are only so many places."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from .condition import is_held
from .errors import ExecutorFull

__all__ = ["Places"]


class Places:
    """So many places, given in the order in which they were asked for.

    A place belongs to a job's number. It may be given back any number of times, and is free after
    the first. If an exception (Ctrl-C) interrupts that, the rest is done when the next place is
    given back; and the loop gives back the place of each job in the end.

    >>> places = Places(1, blocks=False)
    >>> places.take(1, lambda: True)
    >>> places.take(2, lambda: True)
    Traceback (most recent call last):
        ...
    ezpq_exec.errors.ExecutorFull: there are 1 jobs that are not done, which is max_pending
    >>> places.give_back(1)
    >>> places.take(2, lambda: True)
    """

    def __init__(self, count: int, *, blocks: bool) -> None:
        self._count = count
        self._blocks = blocks
        # Guards all below; no other lock is taken under it. It is re-entrant, since a finalizer may
        # submit or cancel in the middle of anything here. So a place is taken first, then counted.
        self._lock = threading.RLock()
        self._holders: set[int] = set()
        self._queue: OrderedDict[int, threading.Lock] = (
            OrderedDict()
        )  # a lock that is released, by number
        self._closed = False

    def take(self, number: int, may_wait: Callable[[], bool]) -> None:
        """Take a place for job `number`. Whatever ends this, `give_back` undoes it.

        If no more jobs are accepted, it returns without a place: the gate will raise the error.

        Raises:
            ExecutorFull: there is none, and this thread is not to wait for it, or may not.
        """
        if self._take_at_once(number):
            return
        if not self._blocks or not may_wait():
            raise ExecutorFull(
                f"there are {self._count} jobs that are not done, which is max_pending"
            )
        bell = threading.Lock()
        bell.acquire()
        with self._lock:
            if self._closed:
                return
            self._queue[number] = bell
            self._admit()  # a place may have come free meanwhile
        bell.acquire()

    def _take_at_once(self, number: int) -> bool:
        """Take a place if there is one, or if nobody is to have one any more; whether that is done."""
        with self._lock:
            if self._closed:
                return True
            if not self._queue:  # else those who wait come first
                self._holders.add(number)
                if len(self._holders) <= self._count:
                    return True
                self._holders.discard(number)
            return False

    @property
    def are_held(self) -> bool:
        """Whether this thread is in the midst of taking a place, or giving one back."""
        return is_held(self._lock)

    def give_back(self, number: int) -> None:
        """Job `number` needs no place, or no longer waits for one."""
        with self._lock:
            self._queue.pop(number, None)
            self._holders.discard(number)
            self._admit()

    def close(self) -> None:
        """Nobody is to wait any more: no job is taken."""
        with self._lock:
            self._closed = True
            for bell in self._queue.values():
                _ring(bell)

    def _admit(self) -> None:
        while self._queue and len(self._holders) < self._count:
            number, bell = next(iter(self._queue.items()))
            self._holders.add(number)
            _ring(bell)
            self._queue.pop(number, None)


def _ring(bell: threading.Lock) -> None:
    try:
        bell.release()
    except RuntimeError:
        pass  # it was done already, and an exception came before the next step

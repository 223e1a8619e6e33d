"""The condition that a future waits on. It takes almost no memory until somebody waits.

The stdlib makes a `threading.Condition`, of 1.4 KB, for each future. Of a million futures hardly
one has somebody waiting on it at any moment, and none is locked for more than an instant; so they
share one lock, and each has a list of its waiters only while there are any.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

__all__ = ["NOBODY", "SharedCondition", "is_held"]


class Owner(Protocol):
    """The loop that will resolve the future that is waited on."""

    def check_process(self) -> None:
        """Raise RuntimeError if there is nobody in this process who would resolve it."""


_lock = threading.RLock()


class SharedCondition:
    """As much of `threading.Condition` as futures need, over a lock shared by all.

    >>> condition = SharedCondition()
    >>> with condition:
    ...     condition.wait(timeout=0)
    False
    """

    __slots__ = ("_owner", "_waiters")

    # These are the lock's own methods, so that a `with` runs in C.
    acquire = _lock.acquire
    release = _lock.release
    __enter__ = _lock.__enter__
    __exit__ = _lock.__exit__

    @staticmethod
    def lock() -> AbstractContextManager[object]:
        """The lock that all share."""
        return _lock

    def __init__(self, owner: Owner | None = None) -> None:
        self._waiters: Sequence[threading.Lock] = ()
        self._owner = owner

    @staticmethod
    def is_held() -> bool:
        """Whether this thread holds the lock."""
        return is_held(_lock)

    def wait(self, timeout: float | None = None) -> bool:
        """Let go of the lock until notified, or for `timeout` seconds; False if not notified.

        Raises:
            RuntimeError: this process is a fork, in which nobody would notify.
        """
        if self._owner is not None:
            self._owner.check_process()
        waiter = threading.Lock()
        waiter.acquire()
        self._waiters = (*self._waiters, waiter)
        self.release()
        try:
            if timeout is None:
                return waiter.acquire()
            if timeout <= 0:
                return waiter.acquire(False)
            return waiter.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))  # no lock takes more
        finally:
            self.acquire()
            self._waiters = tuple(other for other in self._waiters if other is not waiter)

    def notify_all(self) -> None:
        """Wake all that wait. The lock is held by the caller."""
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            waiter.release()


NOBODY = SharedCondition()  # one for all futures that are done, since nobody waits on those


def is_held(lock: Any) -> bool:
    """Whether this thread holds `lock`, which is an RLock.

    >>> lock = threading.RLock()
    >>> with lock:
    ...     is_held(lock)
    True
    >>> is_held(lock)
    False
    """
    try:
        threading.Condition(lock).notify()  # the one public way to ask: it raises if it is not
    except RuntimeError:
        return False
    return True


def _renew_in_child() -> None:
    """Make a new lock: at the fork, a thread that the child has not may have held the old one."""
    global _lock
    fresh = _lock = threading.RLock()
    SharedCondition.acquire = fresh.acquire
    SharedCondition.release = fresh.release
    SharedCondition.__enter__ = fresh.__enter__
    SharedCondition.__exit__ = fresh.__exit__


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)

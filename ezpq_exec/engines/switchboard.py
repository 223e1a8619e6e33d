"""Calls a handler when a descriptor is ready (epoll). Any thread can end the wait, by `ring`."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from .jobqueue import CORES

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["BRIEF", "IN", "OUT", "Switchboard"]

BRIEF = 100e-6  # seconds: not worth sleeping for, which epoll does for a millisecond at least

T = TypeVar("T")

IN = select.EPOLLIN
OUT = select.EPOLLOUT


class Switchboard(Generic[T]):
    """Descriptors, each with a handler and the object for it. One thread calls all but `ring`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, tuple[Callable[[T, int], None], T]] = {}
        self._wanted: dict[int, int] = {}
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Guards that _bell is not used after it was closed; re-entrant, for finalizers.
        self._lock = threading.RLock()
        self._epoll.register(self._bell, IN)

    def watch(self, fd: int, handle: Callable[[T, int], None], whom: T) -> None:
        """Have `handle(whom, events)` called when `fd` is readable, or at its end."""
        self._handlers[fd] = handle, whom
        self._wanted[fd] = IN
        self._epoll.register(fd, IN)

    def await_room(self, fd: int, wanted: bool) -> None:
        """Have the handler called also when `fd` can be written to; or no longer."""
        self._want(fd, OUT, wanted)

    def listen(self, fd: int, wanted: bool) -> None:
        """Have the handler called when `fd` can be read, or only at its end. Ignored if it is not in."""
        if fd in self._handlers:
            self._want(fd, IN, wanted)

    def _want(self, fd: int, event: int, wanted: bool) -> None:
        events = self._wanted[fd] | event if wanted else self._wanted[fd] & ~event
        self._wanted[fd] = events
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Take `fd` out again, if it is in."""
        if self._handlers.pop(fd, None) is not None:
            del self._wanted[fd]
            self._epoll.unregister(fd)

    def wait(self, timeout: float | None) -> None:
        """Wait until something is ready, or `ring`, for `timeout` seconds at most; see to it."""
        if timeout is None or timeout > BRIEF:
            ready = self._epoll.poll(timeout)
        else:
            ready = self._look_out(timeout)
        for fd, events in ready:
            if fd == self._bell:
                os.eventfd_read(fd)
            elif fd in self._handlers:
                handle, whom = self._handlers[fd]
                handle(whom, events)

    def _look_out(self, timeout: float) -> list[tuple[int, int]]:
        """Look again and again, without sleeping: so short a timeout means that something is near."""
        ready = self._epoll.poll(0.0)
        if not ready and timeout and CORES > 1:
            end = time.monotonic() + timeout
            while not ready and time.monotonic() < end:
                os.sched_yield()
                ready = self._epoll.poll(0.0)
        return ready

    def ring(self) -> None:
        """End the wait that is under way, or the next; in vain once it is closed."""
        with self._lock:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Let go of everything; in vain if that is done."""
        self._epoll.close()
        with self._lock:
            if self._bell >= 0:
                os.close(self._bell)
                self._bell = -1

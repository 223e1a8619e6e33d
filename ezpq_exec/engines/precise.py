"""Waits for descriptors until a moment, which it meets to the microsecond.

`select.poll` counts in milliseconds, and would have each kill be late by half of one; to sleep for
the rest in a second call is to be woken twice. `select.select` takes no descriptor beyond 1023.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import sys

from .tree import libc

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["PrecisePoll"]


class _Descriptor(ctypes.Structure):
    """`struct pollfd`."""

    _fields_ = (("number", ctypes.c_int), ("wanted", ctypes.c_short), ("ready", ctypes.c_short))


class _Duration(ctypes.Structure):
    """`struct timespec`."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class PrecisePoll:
    """As `select.poll`, for reading; with a timeout in seconds, by `ppoll`."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._descriptors: ctypes.Array[_Descriptor] = (_Descriptor * 0)()

    def register(self, number: int) -> None:
        """Wait for this descriptor, too."""
        self._wait_for([*self._numbers, number])

    def unregister(self, number: int) -> None:
        """Wait for it no more."""
        self._wait_for([each for each in self._numbers if each != number])

    def _wait_for(self, numbers: list[int]) -> None:
        self._numbers = numbers
        self._descriptors = (_Descriptor * len(numbers))(
            *(_Descriptor(number, select.POLLIN, 0) for number in numbers)
        )

    def poll(self, timeout: float | None) -> list[int]:
        """Wait for `timeout` seconds at most, None for no limit; those that are ready, or at their end.

        After a signal it may return early, and say that none is.

        Raises:
            OSError: the system does not have that, or no memory for it.
        """
        limit = None
        if timeout is not None:
            nanoseconds = int(max(0.0, timeout) * 1e9)
            limit = ctypes.byref(_Duration(*divmod(nanoseconds, 10**9)))
        found = libc().ppoll(self._descriptors, len(self._numbers), limit, None)
        if found < 0 and ctypes.get_errno() != errno.EINTR:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return [each.number for each in self._descriptors if each.ready] if found > 0 else []

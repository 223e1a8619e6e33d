"""A page of memory that parent, keeper and worker share: it shows what the worker is doing.

The worker writes at the start and end of each job; the others read at any time, without a system
call. Each word is written whole. Two words are the keeper's: the job that it is about to kill, and when it will
look at the worker's memory; and one is the parent's: the job for whose answer a thread waits at the
queue.
"""

from __future__ import annotations

import mmap
import os
import sys

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Page"]

_SIZE = 4096
_BEGUN, _RUNNING, _CONDEMNED = 0, 1, 2  # of the integers: tickets, 0 for none
_STARTED, _DEADLINE = 3, 4  # of the floats: monotonic seconds
_DIRECT = 5  # of the integers: the ticket whose answer is to go by the queue
_LIMITED, _LIMIT = 6, 7  # of the integers: a ticket, and its bytes
_WEIGHED = 8  # of the floats: monotonic seconds, 0 for never
_CLAIMED, _CALLED_BACK, _DECLINED = 9, 10, 11  # of the integers: tickets


class Page:
    """The shared words, by name. A job goes by its ticket here: a number that grows with each run."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _SIZE)
        whole = memoryview(self._map)
        self._integers = whole.cast("Q")
        self._floats = whole.cast("d")

    @staticmethod
    def allocate() -> int:
        """A descriptor of fresh shared memory, which the caller closes once all have mapped it."""
        descriptor = os.memfd_create("ezpq_exec-page")
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, _SIZE)
        return descriptor

    def begin(self, ticket: int, started: float, deadline: float) -> None:
        """The worker begins the job of that ticket."""
        self._floats[_DEADLINE] = deadline
        self._floats[_STARTED] = started
        self._integers[_RUNNING] = ticket
        self._integers[_BEGUN] = ticket  # last: between the two, the job must not seem to be over

    def end(self) -> None:
        """The worker has ended its job."""
        self._integers[_RUNNING] = 0

    def clear(self) -> None:
        """A new worker takes over, which has begun nothing."""
        self._integers[_RUNNING] = self._integers[_CONDEMNED] = self._integers[_BEGUN] = 0
        self._integers[_DIRECT] = self._integers[_LIMITED] = 0
        self._floats[_WEIGHED] = 0.0

    def limit(self, ticket: int, memory: int) -> None:
        """The worker has just begun that job, which may have so many bytes."""
        self._integers[_LIMIT] = memory
        self._integers[_LIMITED] = ticket

    @property
    def memory_limit(self) -> int:
        """What the job that is being run may have, in bytes; 0: there is no limit, or no job."""
        if self._integers[_RUNNING] != self._integers[_LIMITED]:
            return 0
        return self._integers[_LIMIT]

    @property
    def weighed_at(self) -> float:
        """When the keeper will next measure the worker's memory, unless it is told to do so sooner."""
        return self._floats[_WEIGHED]

    @weighed_at.setter
    def weighed_at(self, moment: float) -> None:
        self._floats[_WEIGHED] = moment

    def ask_directly(self, ticket: int) -> None:
        """A thread waits at the queue for the answer to that job; 0: none does any more."""
        self._integers[_DIRECT] = ticket

    @property
    def direct(self) -> int:
        """The job whose answer is to go by the queue."""
        return self._integers[_DIRECT]

    def claim(self, ticket: int) -> None:
        """The worker is about to begin that job, unless it is called back."""
        self._integers[_CLAIMED] = ticket

    @property
    def claimed(self) -> int:
        """The job that the worker has claimed last."""
        return self._integers[_CLAIMED]

    def call_back(self, ticket: int) -> None:
        """The parent calls back that job, and all before it that are not claimed.

        Tickets only grow. So this concerns no job that is sent later, nor a later worker.
        """
        self._integers[_CALLED_BACK] = ticket

    @property
    def called_back(self) -> int:
        """The last job that is called back."""
        return self._integers[_CALLED_BACK]

    def decline(self, ticket: int) -> None:
        """The worker will not begin that job, which was called back, nor any before it."""
        self._integers[_DECLINED] = ticket

    def condemn(self, ticket: int) -> None:
        """The keeper is about to kill the worker for this job; 0: it is not, after all."""
        self._integers[_CONDEMNED] = ticket

    @property
    def condemned(self) -> int:
        """The job for which the worker is about to be killed."""
        return self._integers[_CONDEMNED]

    @property
    def running(self) -> int:
        """The job that is being run."""
        return self._integers[_RUNNING]

    @property
    def deadline(self) -> float:
        """When the job that is being run must have ended."""
        return self._floats[_DEADLINE]

    @property
    def last(self) -> int:
        """The job that was begun last."""
        return self._integers[_BEGUN]

    def has_ended(self, ticket: int) -> bool:
        """Whether its worker is done with that job: it has run it, or declined it, and may be at a later one."""
        last = self._integers[_BEGUN]
        if last > ticket or self._integers[_DECLINED] >= ticket:
            return True
        return last == ticket and self._integers[_RUNNING] != ticket

    def begun(self, ticket: int) -> float | None:
        """When that job began, if it was the last that did (monotonic seconds)."""
        started = self._floats[_STARTED]
        return started if self._integers[_BEGUN] == ticket else None

    def close(self) -> None:
        """Unmap."""
        self._integers.release()
        self._floats.release()
        self._map.close()

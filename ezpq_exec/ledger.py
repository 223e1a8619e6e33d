"""Which of a queue's three parts each job is in, and waiting until that changes.

A job is in one part at any moment: it moves under the lock, in one step. The lock is held for an
instant only, and nothing of an executor or of a future is called under it.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from typing import Any

from .errors import ExecutorFull
from .queue_record import Record
from .wallclock import offset

__all__ = ["Ledger"]


class Ledger:
    """The parts of one queue.

    Args:
        places: how many jobs may be counted as working.
        max_size: how many jobs may be in all three parts together; 0: any number.
        keeps: whether completed jobs are kept.
    """

    def __init__(self, places: int, max_size: int, *, keeps: bool) -> None:
        self._lock = threading.RLock()  # guards all that follows; re-entrant, for finalizers
        self._waiting: dict[int, Record] = {}
        # Waiting jobs that have begun while all places were taken: a job keeps its place until its
        # callback was called and its row was written.
        self._entering: dict[int, Record] = {}
        self._working: dict[int, Record] = {}
        self._completed: list[tuple[Any, int, dict[str, Any]]] = []  # a heap
        self._bells: list[tuple[Callable[[], bool], threading.Event]] = []
        self._latest = 0.0  # the latest time of submission
        self._max_size = max_size
        self._keeps = keeps
        self.places = places
        self.submitted = 0
        self.completed = 0

    # How a job goes through ------------------------------------------------------------------

    def enter(self, record: Record) -> None:
        """Number a job, and put it among those that wait.

        Raises:
            ExecutorFull: there is no room.
        """
        with self._lock:
            if self._max_size and self._total() >= self._max_size:
                raise ExecutorFull(
                    f"max_size={self._max_size} jobs are in this queue already (waiting: "
                    f"{len(self._waiting)}, working: {len(self._working)}, completed and not "
                    f"yet collected: {len(self._completed)})"
                )
            self.submitted += 1
            record.id = self.submitted
            record.entered = time.monotonic()
            record.submitted = self._latest = max(record.entered + offset(), self._latest)
            self._waiting[record.id] = record

    def withdraw(self, record: Record) -> None:
        """Take out a job that the executor did not accept."""
        with self._lock:
            if record.id is not None and self._waiting.pop(record.id, None) is not None:
                self.submitted -= record.id == self.submitted
                self._ring()

    def begin(self, record: Record) -> None:
        """A job has begun."""
        number = record.id
        with self._lock:
            if number is not None and number in self._waiting:
                self._entering[number] = record
                self._admit()

    def complete(self, record: Record, rank: Any) -> None:
        """A job has ended, its callback was called, and its row was written."""
        number = record.id
        if number is None:
            return
        with self._lock:
            found = self._working.pop(number, None) or self._waiting.pop(number, None)
            if found is None:
                return  # it was withdrawn, or the queue cleared
            self._entering.pop(number, None)
            self.completed += 1
            if self._keeps:
                heapq.heappush(self._completed, (rank, number, record.to_dict()))
            self._admit()
            self._ring()

    def pop(self) -> dict[str, Any] | None:
        """Take out the completed job of the lowest (priority, submitted), if there is one."""
        with self._lock:
            if not self._completed:
                return None
            job = heapq.heappop(self._completed)[2]
            self._ring()
            return job

    def clear(self) -> None:
        """Forget all that is completed, and the counts."""
        with self._lock:
            self._completed.clear()
            self.submitted = self.completed = 0
            self._ring()

    def resize(self, places: int) -> None:
        """Have so many places from now on."""
        with self._lock:
            self.places = places
            self._admit()
            self._ring()

    def _admit(self) -> None:
        while self._entering and len(self._working) < self.places:
            number = next(iter(self._entering))
            self._working[number] = self._entering.pop(number)
            del self._waiting[number]

    # What is asked ---------------------------------------------------------------------------

    def size(self, *, waiting: bool, working: bool, completed: bool) -> int:
        """How many jobs there are in these parts."""
        with self._lock:
            parts = (
                (waiting, self._waiting),
                (working, self._working),
                (completed, self._completed),
            )
            return sum(len(part) for wanted, part in parts if wanted)

    def _total(self) -> int:
        return len(self._waiting) + len(self._working) + len(self._completed)

    @property
    def pending(self) -> int:
        """How many jobs wait or work."""
        with self._lock:
            return len(self._waiting) + len(self._working)

    def waiting_records(self) -> list[Record]:
        """The jobs that wait."""
        with self._lock:
            return list(self._waiting.values())

    def pending_records(self) -> list[Record]:
        """The jobs that wait or work."""
        with self._lock:
            return [*self._waiting.values(), *self._working.values()]

    def is_busy(self) -> bool:
        """Whether something waits, or no place is free."""
        with self._lock:
            return bool(self._waiting) or len(self._working) >= self.places

    # Waiting ---------------------------------------------------------------------------------

    def wait_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Sleep until `condition`, which is asked whenever something has changed, is true.

        Args:
            condition: quick, and made of this ledger only: it is asked under the lock.
            timeout: seconds to wait at most; None: no limit.

        Returns:
            False if it is not true, and the time is over.
        """
        bell = threading.Event()
        entry = (condition, bell)
        with self._lock:
            if condition():
                return True
            self._bells.append(entry)
        try:
            bell.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        finally:
            with self._lock:
                self._bells.remove(entry)
        with self._lock:
            return bell.is_set() or condition()

    def _ring(self) -> None:
        for condition, bell in self._bells:
            if not bell.is_set() and condition():
                bell.set()

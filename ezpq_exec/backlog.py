"""What waits: jobs by priority, lower first, those of equal priority in order of submission."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .heap import Heap
from .jobs import Job

__all__ = ["Backlog"]


class Backlog:
    """The waiting jobs. A job is in it exactly while its `place` is set."""

    def __init__(self) -> None:
        self._heap: Heap[Job] = Heap()

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Job]:
        """The waiting jobs, in no order."""
        return iter(self._heap)

    def push(self, job: Job) -> None:
        """File `job` by its priority; among equals by its number, whenever it comes."""
        job.place = self._heap.push(job.priority, job.number, job)

    def pop(self) -> Job:
        """Take out the job that is to run next; IndexError if none waits."""
        job = self._heap.pop()
        job.place = None
        return job

    def peek(self) -> Job | None:
        """The job that is to run next, left where it is; None if none waits."""
        entry = self._heap.peek()
        return None if entry is None else entry[-1]

    def discard(self, job: Job) -> bool:
        """Take out `job`; False if it is not here."""
        if job.place is None:
            return False
        self._heap.remove(job.place)
        job.place = None
        return True

    def reprioritize(self, job: Job, priority: Any) -> bool:
        """File `job` under another priority; False, and nothing changed, if it is not here."""
        if not self.discard(job):
            return False
        job.priority = priority
        self.push(job)
        return True

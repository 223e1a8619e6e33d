"""The part of the scheduler that answers questions: which job is where, and how many there are."""

from __future__ import annotations

from .commands import Command
from .jobs import Job, State, Verdict
from .promises import Promises

__all__ = ["Overview"]


class Overview(Promises):
    """The part of the scheduler that says which jobs are where."""

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self.backlog) + sum(len(slot.ahead) for slot in self._ahead.values())

    @property
    def running(self) -> int:
        """How many jobs `running_jobs` has."""
        return len(self.running_jobs())

    @property
    def is_ahead(self) -> bool:
        """Whether anything is in a worker's queue, or has begun there unheard."""
        return bool(self._ahead)

    def running_jobs(self) -> list[Job]:
        """The jobs that are in a worker's hands, or have just left them, and are not settled."""
        jobs = (*(slot.job for slot in self.slots), *self.undecided.values())
        return [job for job in jobs if job is not None and job.state is State.RUNNING]

    def job_in(self, index: int, number: int) -> Job | None:
        """The job of that number, if a slot has it in hand."""
        slot = self.slots.get(index)
        job = slot.job if slot is not None else None
        return job if job is not None and job.number == number else None

    def unresolved(self) -> list[Job]:
        """All the jobs that are still in its hands."""
        queued = [job for slot in self.slots for job in slot.ahead]
        return [*self.backlog, *self.running_jobs(), *queued]

    def recounted(self, wrong: Verdict, right: Verdict, now: float) -> list[Command]:
        """A verdict turned out to be another, when the outcome was unpacked or delivered."""
        self.settled[wrong] -= 1
        self.settled[right] += 1
        return []

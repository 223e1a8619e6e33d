"""What can be asked of a queue: how many jobs are where, and whether there is room."""

from __future__ import annotations

from .ledger import Ledger
from .queue_settings import Settings

__all__ = ["QueueCounts"]


class QueueCounts:
    """The questions that a `Queue` answers from its ledger."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ledger = Ledger(settings.n_workers, settings.max_size, keeps=not settings.auto_remove)

    @property
    def qid(self) -> str:
        """The queue's id, which is in each job's dict."""
        qid: str = self._settings.qid
        return qid

    def size(self, waiting: bool = False, working: bool = False, completed: bool = False) -> int:
        """How many jobs are in the parts named, or in all of them when none is.

        A job is in one part at any moment. One that has ended works until its callback was called
        and its row was written.
        """
        if not (waiting or working or completed):
            waiting = working = completed = True
        return self._ledger.size(waiting=waiting, working=working, completed=completed)

    def n_workers(self) -> int:
        """How many jobs run at once."""
        return self._ledger.places

    def n_workers_free(self) -> int:
        """How many more jobs could run now."""
        return max(0, self._ledger.places - self.size(working=True))

    def n_submitted(self) -> int:
        """How many jobs were put into this queue."""
        return self._ledger.submitted

    def n_completed(self) -> int:
        """How many of them are completed, collected or not."""
        return self._ledger.completed

    def remaining_jobs(self) -> int:
        """How many of them are not."""
        return self._ledger.pending

    def has_waiting(self) -> bool:
        """Whether jobs wait."""
        return self.size(waiting=True) > 0

    def has_completed(self) -> bool:
        """Whether completed jobs are there to be collected."""
        return self.size(completed=True) > 0

    def has_work(self) -> bool:
        """Whether jobs wait or run."""
        return self._ledger.pending > 0

    def is_working(self) -> bool:
        """Whether jobs run."""
        return self.size(working=True) > 0

    def is_busy(self) -> bool:
        """Whether jobs wait, or no worker is free."""
        return self._ledger.is_busy()

    def is_empty(self) -> bool:
        """Whether there is no job in any part."""
        return self.size() == 0

    def is_full(self) -> bool:
        """Whether one more job would be too much."""
        return 0 < self._settings.max_size <= self.size()

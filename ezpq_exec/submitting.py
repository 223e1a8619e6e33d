"""What a thread does of a job that it submits: it posts it, or hands it over, and may fetch the answer."""

from __future__ import annotations

from collections.abc import Callable

from .commands import Command
from .condition import SharedCondition
from .engines.base import Engine, Line
from .jobs import Job
from .loop import Loop
from .offers import Handover
from .places import Places
from .scheduler import Scheduler

__all__ = ["Submitting"]


class Submitting(Loop):
    """A loop, with what submitting threads do by themselves."""

    def __init__(self, engine: Engine, scheduler: Scheduler, places: Places | None = None) -> None:
        self._is_submitting = False  # the gate's lock guards this and the next
        self._put_off: list[Callable[[float], list[Command]]] = []
        super().__init__(engine, scheduler, places)

    def check_open(self) -> None:
        """Raise RuntimeError unless jobs are taken."""
        self._gate.check()

    def submit(self, job: Job, error: BaseException | None) -> None:
        """A job, with its future, is the loop's from now on. `error`: why it cannot be run.

        Raises:
            RuntimeError: as `check_open`.
        """
        with self._gate.lock:
            self._gate.check()
            outer, self._is_submitting = self._is_submitting, True
            try:
                self._pass_on(job, error)
            finally:
                self._is_submitting = outer
                self._post_what_was_put_off()

    def submit_all(self, jobs: list[Job]) -> None:
        """As `submit` for each, in turn; all of them can be run."""
        if not jobs:
            return
        with self._gate.lock:
            self._gate.check()
            outer, self._is_submitting = self._is_submitting, True
            try:
                at = 0
                while at < len(jobs) and self._offers.are_there:
                    self._pass_on(jobs[at], None)
                    at += 1
                self._mail.post_all(jobs[at:])
            finally:
                self._is_submitting = outer
                self._post_what_was_put_off()

    def _pass_on(self, job: Job, error: BaseException | None) -> None:
        if error is not None:
            self.post(self._scheduler.rejected, job, error)
        elif job.options.is_plain and self._offers.are_there and not self._mail.is_unread:
            self._hand_over_here(job)
        else:
            self._mail.post(job)

    def _post_last(self, event: Callable[[float], list[Command]]) -> None:
        """Have the end begin. In a finalizer that interrupts `submit`, it comes after that job."""
        if self._is_submitting:
            self._put_off.append(event)
        else:
            self.post(event)

    def _post_what_was_put_off(self) -> None:
        while self._put_off and not self._is_submitting:
            self.post(self._put_off.pop(0))

    def _hand_over_here(self, job: Job) -> None:
        """Give the job to an idle slot on this thread. The loop reads the record behind the gate."""
        record = self._offers.take(job)
        # Where the worker has the job, its answer will wake the loop, or whoever fetches that;
        # unless there is a deadline to be kept.
        if not record.sent or job.options.timeout is not None:
            self._mail.wake()
        elif job.future is not None:
            job.future.handed_over(record)

    def fetch(self, record: Handover, timeout: float | None) -> None:
        """Wait for the answer to a job that was handed over on this side of the loop.

        The future is resolved then, or whoever is to resolve it knows of it; or the time is over.

        Raises:
            RuntimeError: this process is a fork of the executor's.
        """
        self._gate.check_process()
        with SharedCondition.lock():  # so that a finalizer that comes meanwhile does not wait
            line = self._engine.line(record.taken[0], record.job.number)
        if line is None:
            return
        try:
            try:
                record.line = line
                if not record.read:  # else the loop was quicker: it listens
                    line.wait(timeout)
            finally:
                line.over = True
                self._fetch_is_over(record, line)
        except BaseException:  # Ctrl-C, which may have cut short just that
            self.remind(record)
            raise

    def remind(self, record: Handover) -> None:
        """Have the loop look what became of a job that a thread was about to fetch the answer of."""
        self.post(self._handed.fetched, record)

    def _fetch_is_over(self, record: Handover, line: Line) -> None:
        outcome = line.outcome
        is_resolved = outcome is not None and self._resolver.resolve_here(record, outcome)
        if outcome is not None and not record.read:
            record.hand_back()
        if record.read:
            self.post(self._handed.fetched, record)
        elif not (is_resolved and self._offers.naps):
            self._mail.wake()

"""Turns each report of an engine into the event that it is for the scheduler, or for others."""

from __future__ import annotations

from .commands import Command
from .loglistener import LogListener
from .reports import (
    Broken,
    Capacity,
    Finished,
    FinishedInTurn,
    Lost,
    Ready,
    Report,
    Said,
    Stopped,
    Strayed,
    Unstartable,
)
from .scheduler import Scheduler

__all__ = ["Hearing"]


class Hearing:
    """Passes on reports, on the loop's thread."""

    def __init__(self, scheduler: Scheduler, listener: LogListener) -> None:
        self._scheduler = scheduler
        self._listener = listener
        self.is_over = False  # the engine has stopped

    def hear(self, report: Report, now: float) -> list[Command]:
        """Pass on what was reported."""
        scheduler = self._scheduler
        if isinstance(report, Finished):
            slot, number, outcome, ready = report
            return scheduler.finished(slot, number, outcome, ready, now)
        if isinstance(report, FinishedInTurn):
            return scheduler.finished_in_turn(*report, now)
        if isinstance(report, Ready):
            return scheduler.ready(report.slot, report.pid, now, report.host)
        if isinstance(report, Lost):
            return scheduler.lost(report.slot, report.loss, now)
        return self._hear_more(report, now)

    def _hear_more(self, report: Report, now: float) -> list[Command]:
        """What comes more rarely."""
        scheduler = self._scheduler
        match report:
            case Unstartable(slot, cause, fatal, died):
                # "can't start new thread" has no type of its own; WorkerDied is a RuntimeError, too.
                scarce = isinstance(cause, OSError) or type(cause) is RuntimeError
                why = scheduler.unready(cause)
                return scheduler.unstartable(slot, why, fatal, now, died=died, scarce=scarce)
            case Strayed():
                return scheduler.strayed(*report, now)
            case Said(slot, number):
                self._listener.take(report, scheduler.job_in(slot, number))
            case Capacity(slots):
                return scheduler.offered(slots, now)
            case Broken(cause):
                return scheduler.break_down(scheduler.unready(cause), now)
            case Stopped():
                self.is_over = True
        return []

"""What the scheduler is told of what an engine reports: to each report, its event."""

from __future__ import annotations

from typing import Union

from .commands import Command
from .reports import Finished, FinishedInTurn, Lost, Ready, Strayed, Unstartable
from .scheduler import Scheduler

__all__ = ["Fact", "hear"]

Fact = Union[Ready, Finished, FinishedInTurn, Lost, Strayed, Unstartable]


def hear(scheduler: Scheduler, report: Fact, now: float) -> list[Command]:
    """Tell `scheduler` what was reported; the commands that follow."""
    if isinstance(report, FinishedInTurn):
        return scheduler.finished_in_turn(*report, now)
    if isinstance(report, Finished):
        return scheduler.finished(*report, now)
    if isinstance(report, Ready):
        return scheduler.ready(report.slot, report.pid, now)
    if isinstance(report, Lost):
        return scheduler.lost(report.slot, report.loss, now)
    if isinstance(report, Strayed):
        return scheduler.strayed(*report, now)
    slot, why, fatal, died = report
    cause, scarce = scheduler.unready(why), isinstance(why, OSError)
    return scheduler.unstartable(slot, cause, fatal, now, died=died, scarce=scarce)

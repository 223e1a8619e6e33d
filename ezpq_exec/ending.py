"""Ending what runs: events that are made of others. Pure, as the scheduler is."""

from __future__ import annotations

from . import verdicts
from .commands import Command
from .jobs import Job, State, Verdict
from .reports import Loss
from .scheduler import Scheduler

__all__ = ["abort", "give_up"]


def abort(scheduler: Scheduler, now: float, *, gentle: bool = False) -> list[Command]:
    """No further job will come; those that wait are cancelled, and those that run are killed.

    Where the engine cannot kill, those that run go on. `gentle`: they are asked first, by SIGTERM.
    """
    if scheduler.closed:
        return []
    scheduler.closing = True
    scheduler.paused = False
    commands: list[Command] = []
    for job in sorted(scheduler.backlog, key=lambda job: (job.priority, job.number)):
        scheduler.withdraw(job)
        if job.announced and scheduler.can_kill:  # told to run, and taken back since
            job.condemned = Verdict.KILLED
            outcome = verdicts.condemned(job, Loss(begun=None, ended=now))
        else:
            outcome = verdicts.cancelled()
        commands.append(scheduler.settle(job, outcome, now))
    if scheduler.can_kill:
        for job in scheduler.running_jobs():
            if job.condemned is None:
                kill = scheduler.condemn(job, Verdict.KILLED, now)
                commands.append(kill._replace(gentle=gentle))
    return commands + scheduler.dispatch(now)


def give_up(scheduler: Scheduler, job: Job, now: float) -> list[Command]:
    """Cancel a job that waits, kill one that runs; of no effect on one that has ended."""
    if job.state is not State.WAITING or job.announced:
        return scheduler.kill(job, now)
    scheduler.withdraw(job)
    return [scheduler.settle(job, verdicts.cancelled(), now), *scheduler.dispatch(now)]

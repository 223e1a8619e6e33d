"""Ending what runs: events that are made of others. Pure, as the scheduler is."""

from __future__ import annotations

from . import verdicts
from .commands import Command, Kill
from .jobs import Job, State
from .scheduler import Scheduler

__all__ = ["abort", "give_up"]


def abort(scheduler: Scheduler, now: float, *, gentle: bool = False) -> list[Command]:
    """No further job will come; those that wait are cancelled, and those that run are killed.

    Where the engine cannot kill, those that run go on. `gentle`: they are asked first, by SIGTERM.
    """
    if scheduler.closed:
        return []
    scheduler.closing = scheduler.giving_up = True
    scheduler.paused = True  # so that no job starts in between
    commands: list[Command] = []
    waiting = sorted(scheduler.backlog, key=lambda job: (job.priority, job.number))
    for job in waiting:
        if not job.announced:
            scheduler.withdraw(job)
            commands.append(scheduler.settle(job, verdicts.cancelled(), now))
    # Those were taken back from a worker, or are to be tried again: they cannot be cancelled.
    told_to_run = [job for job in waiting if job.announced]
    for job in (*told_to_run, *scheduler.running_jobs()):
        commands += [_gently(command, gentle) for command in scheduler.kill(job, now)]
    scheduler.paused = False
    return commands + scheduler.dispatch(now)


def give_up(scheduler: Scheduler, job: Job, now: float) -> list[Command]:
    """Cancel a job that waits, kill one that runs; of no effect on one that has ended."""
    if job.state is not State.WAITING or job.announced:
        return scheduler.kill(job, now)
    scheduler.withdraw(job)
    return [scheduler.settle(job, verdicts.cancelled(), now), *scheduler.dispatch(now)]


def _gently(command: Command, gentle: bool) -> Command:
    return command._replace(gentle=gentle) if isinstance(command, Kill) else command

"""`Stats`: counts of an executor's jobs and workers at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .jobs import Verdict
from .scheduler import Scheduler

__all__ = ["Stats", "count"]


@dataclass(frozen=True)
class Stats:
    """What an executor's `stats` returns: counts of jobs and workers at one moment.

    Attributes:
        waiting, running: how many jobs wait, and how many run.
        settled: how many jobs have ended, by verdict; verdicts without jobs are left out.
        retried: attempts that were not a job's first.
        workers_started: workers that became ready.
        workers_retired: those that left in good order: replaced, idle, or after a `resize`.
        workers_killed: those killed for a timeout, for their memory, or on request.
        workers_died: those that ended by themselves.
    """

    waiting: int
    running: int
    settled: Mapping[Verdict, int]
    retried: int
    workers_started: int
    workers_retired: int
    workers_killed: int
    workers_died: int


def count(scheduler: Scheduler) -> Stats:
    """What `scheduler` counts now."""
    workers = scheduler.workers
    return Stats(
        waiting=scheduler.waiting,
        running=scheduler.running,
        settled={verdict: n for verdict, n in scheduler.settled.items() if n},
        retried=scheduler.retried,
        workers_started=workers["started"],
        workers_retired=workers["retired"],
        workers_killed=workers["killed"],
        workers_died=workers["died"],
    )

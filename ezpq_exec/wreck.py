"""When a defect of ours has struck the loop: nobody may be left waiting for what it was about to do.

A job may be in no list at that moment: taken from the mail, say, or settled by a command that the
loop has not carried out. So the garbage collector is asked for all jobs whose futures are open.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from . import verdicts
from .commands import Settle
from .engines.base import Engine
from .jobs import Job, State, Verdict
from .mailbox import Mailbox
from .reports import Stopped
from .resolver import Resolver
from .scheduler import Scheduler

if TYPE_CHECKING:
    from .future import JobFuture

__all__ = ["PATIENCE", "end", "settle_all"]

PATIENCE = 30.0  # seconds; jobs that cannot be killed may take longer, and go on by themselves


def settle_all(
    owner: object,
    scheduler: Scheduler,
    decided: Iterable[Settle],
    resolver: Resolver,
    why: BaseException,
) -> None:
    """Resolve every future of `owner`: as was decided, or else with `why`.

    Args:
        owner: the loop.
        scheduler: knows most jobs, also those that `gc.freeze` hides from the collector.
        decided: jobs that were settled, and whose futures were still to be resolved.
        resolver: resolves futures.
        why: the exception of all other jobs.
    """
    scheduler.paused = True  # it starts nothing from now on
    for job, outcome in decided:
        with contextlib.suppress(Exception):  # it may be what the defect has to do with
            resolver.settle(job, outcome)
    jobs = _open_jobs_of(owner)
    with contextlib.suppress(Exception):  # its state is not what it should be
        jobs += scheduler.unresolved()
    _fail([job for job in jobs if job.state is not State.DONE], resolver, why)
    resolver.deliver()  # those that are settled may be there
    _fail(_open_jobs_of(owner), resolver, why)


def _open_jobs_of(owner: object) -> list[Job]:
    jobs = [thing for thing in gc.get_objects() if type(thing) is Job]
    return [job for job in jobs if (future := _open_future_of(job)) and future.owner is owner]


def _open_future_of(job: Job) -> JobFuture[Any] | None:
    """The future of `job`, if it is not resolved, or is cancelled and its waiters may not know that.

    Other threads go on meanwhile. So `job.future` is read only once: a courier may set it to None.
    A job that a thread is just making does not have the attribute yet, and is not the loop's yet.
    """
    future: JobFuture[Any] | None = getattr(job, "future", None)
    return future if future is not None and _is_open(future) else None


def _is_open(future: JobFuture[Any]) -> bool:
    return future.cancelled() or not future.done()


def _fail(jobs: list[Job], resolver: Resolver, why: BaseException) -> None:
    for job in jobs:
        future = _open_future_of(job)
        if future is None:
            continue  # it is twice among them
        job.state, job.verdict, job.ahead = State.DONE, Verdict.BROKEN, False
        try:
            resolver.settle(job, verdicts.broken(why))
        except Exception:  # it may be the resolver that has the defect
            # After this check, no other thread can resolve the future or cancel the job.
            if not future.was_resolved_alone() and _is_open(future) and future.forestall():
                future.fail(why)


def end(engine: Engine, mail: Mailbox[Any], answer: Callable[[], object]) -> None:
    """Kill all its workers, and wait until nothing is left. `answer` is called again and again.

    Raises:
        TimeoutError: the engine does not end. The defect may be in the engine.
    """
    until = time.monotonic() + PATIENCE
    engine.close(kill=True)
    ended = False
    while not ended:
        mail.read()  # questions are also in another list, from which `answer` takes them
        answer()
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the engine did not end within {PATIENCE:g} s")
        reports = engine.wait(left if mail.fall_asleep() else 0.0)
        mail.wake_up()
        ended = any(isinstance(report, Stopped) for report in reports)

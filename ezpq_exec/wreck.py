"""When a defect of ours has struck the loop: nobody may be left waiting for what it was about to do.

Wherever in a turn that was, a job may be in no list any more: taken from the mail, or settled by a
decision that the loop has not heard. So all jobs whose futures are open are looked for in memory.
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
        scheduler: knows of most jobs; of those that the program has frozen, the collector does not.
        decided: what it had yet to pass on.
        resolver: by which futures are resolved.
        why: what those of jobs raise that have no other end.
    """
    scheduler.paused = True  # whatever it is asked from now on, it starts nothing
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
    """The future of `job` if it is to be resolved; that it is cancelled, some may not have heard.

    Others go on meanwhile. So it is looked up once, for a courier drops what it has resolved. And
    a job that some thread is just making has no such attribute yet; nor has the loop that job.
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
            # Whoever fetches the answer is too late from here on, and so is whoever cancels.
            if not future.was_resolved_alone() and _is_open(future) and future.forestall():
                future.fail(why)


def end(engine: Engine, mail: Mailbox[Any], answer: Callable[[], object]) -> None:
    """Kill all its workers, and wait until nothing is left; `answer` who asks something meanwhile.

    Raises:
        TimeoutError: its end does not come. The engine, too, may have been struck.
    """
    until = time.monotonic() + PATIENCE
    engine.close(kill=True)
    ended = False
    while not ended:
        for _ in mail.read():
            pass  # whoever asks has noted it elsewhere, too
        answer()
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the engine did not end within {PATIENCE:g} s")
        reports = engine.wait(left if mail.fall_asleep() else 0.0)
        mail.wake_up()
        ended = any(isinstance(report, Stopped) for report in reports)

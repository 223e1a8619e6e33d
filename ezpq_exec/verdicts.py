"""The outcomes of jobs that did not end by themselves, with the exceptions that explain them."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError

from .errors import (
    JobKilled,
    JobTimeout,
    LaneStopped,
    MemoryLimitExceeded,
    QueueTimeout,
    WorkerDied,
)
from .jobs import Job, Outcome, Verdict
from .lanes import Mishap
from .reports import Loss

__all__ = ["broken", "cancelled", "condemned", "expired", "skipped", "timed_out", "unready"]


def _label(job: Job) -> str:
    text = f"job {job.number} ({job.name})"
    if job.options.retries and job.attempt:
        text += f" at attempt {job.attempt} of {1 + job.options.retries}"
    return text


def _outcome(verdict: Verdict, error: BaseException, loss: Loss | None = None) -> Outcome:
    if loss is None:
        return Outcome(verdict, error)
    started = loss.begun or 0.0
    outcome = Outcome(verdict, error, started=started, ended=loss.ended, exitcode=loss.exitcode)
    outcome.output = loss.output
    return outcome


def _details(loss: Loss) -> str:
    text = ""
    if loss.survivors:
        text += f"; these processes could not be killed: {', '.join(map(str, loss.survivors))}"
    if loss.stack:
        text += f"\nIt was here:\n{loss.stack}"
    return text


def cancelled() -> Outcome:
    """Cancelled before it began."""
    return _outcome(Verdict.CANCELLED, CancelledError())


def unready(cause: BaseException) -> BaseException:
    """No worker can be started, and this is why."""
    error = BrokenExecutor(f"no worker can be started: {cause!r}")
    error.__cause__ = cause
    return error


def broken(cause: BaseException) -> Outcome:
    """No worker could be started for it. Each job gets an exception of its own to raise."""
    error = type(cause)(*cause.args)
    error.__cause__ = cause.__cause__
    return _outcome(Verdict.BROKEN, error)


def expired(job: Job) -> Outcome:
    """Waited for too long."""
    limit = job.options.queue_timeout
    text = f"{_label(job)} was not started within its queue_timeout of {limit:g} s"
    return _outcome(Verdict.EXPIRED, QueueTimeout(text, timeout=limit))


def skipped(job: Job, before: Mishap) -> Outcome:
    """Not run, for what became of the job before it in its lane."""
    first = before.first or before
    text = f"{_label(job)} was not run: before it in its lane, "
    if first is not before:
        text += f"job {before.number} ({before.name}) was not run either, since "
    text += f"job {first.number} ({first.name}) did not succeed ({first.verdict.value})"
    error = LaneStopped(
        text,
        predecessor=before.number,
        predecessor_name=before.name,
        verdict=before.verdict.value,
        first=first.number,
    )
    return _outcome(Verdict.SKIPPED, error)


def timed_out(job: Job, loss: Loss, *, killed: bool) -> Outcome:
    """Ran for too long; `killed`: and runs no more."""
    limit = job.options.timeout
    text = f"{_label(job)} ran for longer than its timeout of {limit:g} s"
    text += f" and was killed (pid {loss.pid})" if killed else "; it cannot be killed and runs on"
    error = JobTimeout(
        text + _details(loss),
        timeout=limit,
        pid=loss.pid,
        stack=loss.stack,
        survivors=loss.survivors,
    )
    return _outcome(Verdict.TIMED_OUT, error, loss)


def _out_of_memory(job: Job, loss: Loss) -> Outcome:
    """Had too much, with all that it had started."""
    limit = job.options.memory_limit
    text = f"{_label(job)} had {loss.peak} bytes of memory, more than its memory_limit of {limit}"
    error = MemoryLimitExceeded(
        f"{text}, and was killed (pid {loss.pid})" + _details(loss),
        limit=limit,
        peak=loss.peak,
        pid=loss.pid,
        stack=loss.stack,
        survivors=loss.survivors,
    )
    return _outcome(Verdict.OUT_OF_MEMORY, error, loss)


def condemned(job: Job, loss: Loss) -> Outcome:
    """Its worker is gone, for the reason that `job.condemned` has, or by itself."""
    if job.condemned is Verdict.TIMED_OUT:
        return timed_out(job, loss, killed=True)
    if job.condemned is Verdict.OUT_OF_MEMORY:
        return _out_of_memory(job, loss)
    if job.condemned is Verdict.KILLED:
        text = f"{_label(job)} was killed on request"
        text += f" (pid {loss.pid})" if loss.pid is not None else " while it waited"
        killed = JobKilled(
            text + _details(loss), pid=loss.pid, stack=loss.stack, survivors=loss.survivors
        )
        return _outcome(Verdict.KILLED, killed, loss)
    how = f"by {loss.signal}" if loss.signal else f"with exit code {loss.exitcode}"
    text = f"the worker of {_label(job)} died {how} (pid {loss.pid})"
    if loss.keeper_lost:
        text = f"the worker of {_label(job)} died (pid {loss.pid}): its keeper was lost"
    if loss.signal == "SIGKILL":  # not sent by us: the system kills like this for lack of memory
        text += ", perhaps killed by the system for lack of memory"
    if isinstance(loss.cause, ConnectionError) and loss.pid is not None:
        text = f"the worker of {_label(job)} was lost (pid {loss.pid}): {loss.cause}"
    elif loss.cause is not None and loss.pid is not None:
        text = f"the worker of {_label(job)} was ended (pid {loss.pid}), since what it sent"
        text += f" could not be read: {loss.cause!r}"
    elif loss.cause is not None:
        text = f"the executor that ran {_label(job)} failed under it: {loss.cause!r}"
    died = WorkerDied(
        text + _details(loss),
        pid=loss.pid,
        exitcode=loss.exitcode,
        signal=loss.signal,
        stack=loss.stack,
        survivors=loss.survivors,
    )
    died.__cause__ = loss.cause
    return _outcome(Verdict.DIED, died, loss)

"""The outcomes of jobs that did not end by themselves, with the exceptions that explain them."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError

from .errors import JobKilled, JobTimeout, QueueTimeout, WorkerDied
from .jobs import Job, Outcome, Verdict
from .reports import Loss

__all__ = ["broken", "cancelled", "condemned", "expired", "timed_out", "unready"]


def _label(job: Job) -> str:
    return f"job {job.number} ({job.name})"


def _outcome(verdict: Verdict, error: BaseException, loss: Loss | None = None) -> Outcome:
    if loss is None:
        return Outcome(verdict, error)
    return Outcome(
        verdict, error, started=loss.begun or 0.0, ended=loss.ended, exitcode=loss.exitcode
    )


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


def condemned(job: Job, loss: Loss) -> Outcome:
    """Its worker is gone, for the reason that `job.condemned` has, or by itself."""
    if job.condemned is Verdict.TIMED_OUT:
        return timed_out(job, loss, killed=True)
    if job.condemned is Verdict.KILLED:
        text = f"{_label(job)} was killed on request (pid {loss.pid})"
        killed = JobKilled(
            text + _details(loss), pid=loss.pid, stack=loss.stack, survivors=loss.survivors
        )
        return _outcome(Verdict.KILLED, killed, loss)
    how = f"by {loss.signal}" if loss.signal else f"with exit code {loss.exitcode}"
    text = f"the worker of {_label(job)} died {how} (pid {loss.pid})"
    if loss.cause is not None:
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

"""The exceptions: each says what happened to which job, and pickles with all it says."""

from __future__ import annotations

import builtins
import queue
from concurrent.futures import TimeoutError as FuturesTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

__all__ = [
    "ExecutorFull",
    "JobError",
    "JobKilled",
    "JobTimeout",
    "LaneStopped",
    "MemoryLimitExceeded",
    "QueueTimeout",
    "RemoteError",
    "SharedClosed",
    "UnsupportedOption",
    "WorkerDied",
]

if TYPE_CHECKING or FuturesTimeoutError is builtins.TimeoutError:

    class _Timeout(builtins.TimeoutError):
        """What callers catch as a time-out."""

else:  # pragma: no cover - Python 3.10 has two of them, and callers catch either

    class _Timeout(FuturesTimeoutError, builtins.TimeoutError):
        """What callers catch as a time-out, by either of its names."""


def _rebuild(kind: type[JobError], args: tuple[Any, ...], state: dict[str, Any]) -> JobError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class JobError(Exception):
    """A job that was accepted has no result, for a reason other than its own exception."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class JobTimeout(JobError, _Timeout):
    """The job ran for longer than its `timeout`.

    Attributes:
        timeout: the limit, in seconds.
        pid: the process that the job ran in.
        stack: where the job was just before it was killed, as text, most recent call first;
            None where it could not be taken.
        survivors: process ids that could not be killed; empty as a rule.
    """

    def __init__(
        self,
        message: str = "",
        *,
        timeout: float | None = None,
        pid: int | None = None,
        stack: str | None = None,
        survivors: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.timeout = timeout
        self.pid = pid
        self.stack = stack
        self.survivors = survivors


class QueueTimeout(JobTimeout):
    """The job waited for longer than its `queue_timeout`, and was never started."""


class JobKilled(JobError):
    """The job was ended by `JobFuture.kill()` or `PriorityExecutor.kill_workers()`.

    Attributes: `pid`, `stack` and `survivors`, as `JobTimeout` has them.
    """

    def __init__(
        self,
        message: str = "",
        *,
        pid: int | None = None,
        stack: str | None = None,
        survivors: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.stack = stack
        self.survivors = survivors


class MemoryLimitExceeded(JobError):
    """The job, with all that it had started, had more memory than its `memory_limit`.

    Attributes:
        limit: its `memory_limit`, in bytes.
        peak: the memory that it had when this was noticed, in bytes.
        pid, stack, survivors: as `JobTimeout` has them.
    """

    def __init__(
        self,
        message: str = "",
        *,
        limit: int | None = None,
        peak: int | None = None,
        pid: int | None = None,
        stack: str | None = None,
        survivors: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.peak = peak
        self.pid = pid
        self.stack = stack
        self.survivors = survivors


class WorkerDied(JobError, BrokenProcessPool):
    """The process that ran the job ended under it. Other jobs are not touched.

    Attributes:
        pid: the process that died.
        exitcode: its exit code; minus the signal's number where a signal ended it.
        signal: that signal's name, such as "SIGSEGV", or None.
        stack: the Python stack, where the crash left one (a segmentation fault does), or None.
        survivors: process ids that it left behind and that could not be killed.
    """

    def __init__(
        self,
        message: str = "",
        *,
        pid: int | None = None,
        exitcode: int | None = None,
        signal: str | None = None,
        stack: str | None = None,
        survivors: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode
        self.signal = signal
        self.stack = stack
        self.survivors = survivors


class LaneStopped(JobError):
    """The job was not run, since the one before it in its lane did not succeed.

    Attributes:
        predecessor: the id of that job.
        predecessor_name: its name.
        verdict: how it ended, as `JobInfo.to_dict()["verdict"]` has it; "skipped" where it was
            not run either.
        first: the id of the first job that failed: the predecessor, unless that was skipped, too.
    """

    def __init__(
        self,
        message: str = "",
        *,
        predecessor: int | None = None,
        predecessor_name: str = "",
        verdict: str = "",
        first: int | None = None,
    ) -> None:
        super().__init__(message)
        self.predecessor = predecessor
        self.predecessor_name = predecessor_name
        self.verdict = verdict
        self.first = first


class RemoteError(JobError):
    """The job raised an exception, or returned a result, that could not be carried over.

    Attributes:
        type_name: the qualified name of what could not be carried.
        text: its text.
        traceback: where it was raised, as text.
    """

    def __init__(
        self, message: str = "", *, type_name: str = "", text: str = "", traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.type_name = type_name
        self.text = text
        self.traceback = traceback


class UnsupportedOption(ValueError):
    """An option was asked for that the engine cannot honour. It is refused, never ignored."""


class SharedClosed(ValueError):
    """A handle of a shared object was used after it had been closed."""


class ExecutorFull(queue.Full):
    """There are `max_pending` jobs that are not done, and `submit` was not to wait, or could not."""

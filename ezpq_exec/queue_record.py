"""What ezpq knows of a job: the dict that users get, filled in from the job's future."""

from __future__ import annotations

import math
import numbers
import time
import traceback
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any

from .errors import UnsupportedOption
from .excerpt import shown
from .future import JobFuture
from .history import cause_of, traceback_of
from .jobs import JobInfo, Verdict
from .naming import function_name

__all__ = ["Record", "moment", "seconds"]

_CUT_SHORT = (Verdict.TIMED_OUT, Verdict.OUT_OF_MEMORY, Verdict.KILLED, Verdict.SKIPPED)


def seconds(name: str, value: object) -> float:
    """`value` as a number of seconds; 0, as ezpq has it for "no limit", where there is none.

    Raises:
        TypeError, ValueError: it is something else.
    """
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number of seconds (0: no limit), not {shown(value)}")
    if math.isnan(value):
        raise ValueError(f"{name} must be a number of seconds (0: no limit), not {shown(value)}")
    return max(0.0, float(value))


class Record:
    """One job of a queue. Only one thread writes to it at a time.

    Times are in seconds since the epoch. They are counted from `entered`, when it came into the
    queue, by the monotonic clock, so that they are in order even if the system's clock was set meanwhile.
    """

    __slots__ = (
        *("args", "callback", "cancelled", "ended", "entered", "exception", "exitcode", "function"),
        *("future", "id", "kwargs", "lane", "name", "output", "priority", "processed", "qid"),
        *("started", "stop_on_lane_error", "submitted", "suppress_errors", "timeout"),
    )

    def __init__(
        self,
        function: Callable[..., Any],
        args: list[Any] | None,
        kwargs: dict[str, Any] | None,
        *,
        name: Any = None,
        priority: Any = 100,
        lane: Hashable = None,
        timeout: Any = 0,
        suppress_errors: bool = False,
        stop_on_lane_error: bool = False,
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.name = name
        self.priority = priority
        self.lane = lane
        self.timeout = timeout
        self.suppress_errors = suppress_errors
        self.stop_on_lane_error = stop_on_lane_error
        self.qid: Any = None
        self.id: int | None = None
        self.future: JobFuture[Any] | None = None  # dropped once it is done
        self.entered = 0.0
        self.submitted: float | None = None
        self.started: float | None = None
        self.ended: float | None = None
        self.processed: float | None = None
        self.exitcode: int | None = None
        self.cancelled = False
        self.output: Any = None
        self.exception: str | None = None
        self.callback: Any = None

    def options(self, *, can_kill: bool) -> dict[str, Any]:
        """The executor's options for this job, without those that have their defaults.

        Raises:
            TypeError, ValueError: the timeout is none.
            UnsupportedOption: the job has a timeout, and its queue has threads.
        """
        wanted: dict[str, Any] = {}
        limit = seconds("timeout", self.timeout)
        if limit > 0:
            if not can_kill:
                raise UnsupportedOption(
                    f"timeout={shown(self.timeout)} cannot be kept with job_runner=threading.Thread, "
                    "since a thread cannot be killed: take multiprocessing.Process, or timeout=0"
                )
            wanted["timeout"] = limit
        if type(self.priority) is not int or self.priority != 100:
            wanted["priority"] = self.priority
        if self.name is not None:
            wanted["name"] = str(self.name)
        if self.lane is not None:
            wanted["lane"] = self.lane
            wanted["stop_on_lane_error"] = bool(self.stop_on_lane_error)
        return wanted

    def close(self, future: JobFuture[Any]) -> Verdict:
        """Fill in how it ended, from its future, which is done; its verdict."""
        self.future = None
        if future.cancelled():  # so it never ran; the executor may not know it yet
            self.cancelled = True
            return Verdict.CANCELLED
        info = future.info
        verdict = info.verdict
        self._take_times(info, future.submitted_at - self.entered)
        if verdict is None or verdict is Verdict.RETURNED:
            self.output, self.exitcode = future.result(), 0
            return Verdict.RETURNED
        self._take_failure(info, verdict)
        return verdict

    def _take_times(self, info: JobInfo, delay: float) -> None:
        """`delay`: from when it came into the queue until the executor had it."""
        if self.submitted is None or info.waited is None:
            return
        self.started = self.submitted + (delay + info.waited)
        if info.runtime is not None:
            self.ended = self.started + info.runtime

    def _take_failure(self, info: JobInfo, verdict: Verdict) -> None:
        error = info.exception
        if verdict is Verdict.RAISED:
            self.exitcode = -1 if self.suppress_errors else 1
            self.exception = _trace(error)
            return
        self.cancelled = verdict in _CUT_SHORT
        if verdict is not Verdict.SKIPPED:
            self.exitcode = 1 if info.exitcode is None else info.exitcode
            self.exception = str(error)

    def skipped(self, before: object, exitcode: int | None) -> None:
        """It was not run, since the job `before` it in its lane ended with `exitcode`."""
        self.exitcode = exitcode or 1
        self.exception = (
            f"stop_on_lane_error = True and preceding job ({before}) exit code is {self.exitcode}"
        )

    def stamp(self) -> None:
        """It is processed now."""
        self.processed = max(time.time(), *(t for t in (self.ended, self.submitted, 0.0) if t))

    @property
    def runtime(self) -> float | None:
        """Seconds from its start to its end."""
        if self.started is None or self.ended is None:
            return None
        return self.ended - self.started

    def to_dict(self) -> dict[str, Any]:
        """All of it, as ezpq's users know it."""
        return {
            "qid": self.qid,
            "id": self.id,
            "name": self.name,
            "priority": self.priority,
            "lane": self.lane,
            "timeout": self.timeout,
            "function": function_name(self.function, ("__name__",)),
            "args": self.args,
            "kwargs": self.kwargs,
            "submitted": moment(self.submitted),
            "started": moment(self.started),
            "ended": moment(self.ended),
            "processed": moment(self.processed),
            "exitcode": self.exitcode,
            "cancelled": self.cancelled,
            "runtime": self.runtime,
            "output": self.output,
            "exception": self.exception,
            "callback": self.callback,
        }


def moment(time_: float | None) -> datetime | None:
    """A time as ezpq has it: local, without its zone."""
    return None if time_ is None else datetime.fromtimestamp(time_)  # noqa: DTZ006


def _trace(error: BaseException | None) -> str:
    """The traceback's text, as it was where the job ran."""
    if error is None:
        return ""
    remote = cause_of(error)
    if type(remote).__name__ == "_RemoteTraceback":  # a worker's: see `packing`
        return str(remote).removeprefix('\n"""\n').removesuffix('"""')
    trace = traceback_of(error)
    if trace is not None and trace.tb_next is not None:
        trace = trace.tb_next  # the first frame is the engine's
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as failure:  # the user's class, which may raise what it likes
        return f"{type(error).__name__}, whose text cannot be had: {type(failure).__name__}"

"""`Job`: what to run in a queue and how, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime
from typing import Any

from .checks import check_callable
from .excerpt import shown
from .queue_record import Record, moment

__all__ = ["Job", "as_args"]


def as_args(args: object) -> list[Any] | None:
    """`args` as a list: what cannot be iterated over is the one argument.

    >>> as_args((1, 2)), as_args(3), as_args(None)
    ([1, 2], [3], None)
    """
    if args is None:
        return None
    if not isinstance(args, Iterable):
        return [args]
    return list(args)


class Job:
    """Says what to run in a `Queue`, and how. The same job may be submitted again.

    Args:
        function: what to call.
        args: its positional arguments; something that cannot be iterated over is the one argument.
        kwargs: its keyword arguments.
        name: what to call the job; default: its id.
        priority: any number; lower runs first.
        lane: anything hashable. Of the jobs of one lane, one runs at a time.
        timeout: seconds that the job may run; 0: no limit.
        suppress_errors: print no traceback if it raises, and have its exitcode be -1, not 1.
        stop_on_lane_error: do not run it if the job before it in its lane failed.

    Raises:
        TypeError: `function` cannot be called, or `kwargs` is no mapping.

    >>> from ezpq_exec import Queue
    >>> job = Job(pow, (2, 5), name="power")
    >>> with Queue(1) as queue:
    ...     number = queue.submit(job)
    ...     left = queue.wait()
    >>> number, left, job.is_processed(), job.get_exitcode(), job.to_dict()["output"]
    (1, 0, True, 0, 32)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        name: Any = None,
        priority: Any = 100,
        lane: Hashable = None,
        timeout: float | None = 0,
        suppress_errors: bool = False,
        stop_on_lane_error: bool = False,
    ) -> None:
        check_callable(function)
        if kwargs is not None and not isinstance(kwargs, Mapping):
            raise TypeError(f"kwargs must be a dict or None, not {shown(kwargs)}")
        self.function = function
        self.args = as_args(args)
        self.kwargs = None if kwargs is None else dict(kwargs)
        self.name = name
        self.priority = priority
        self.lane = lane
        self.timeout = timeout
        self.suppress_errors = suppress_errors
        self.stop_on_lane_error = stop_on_lane_error
        self.record = self.new_record()

    def new_record(self) -> Record:
        """A record of this job as it is now, for its next submission."""
        return Record(
            self.function,
            self.args,
            self.kwargs,
            name=self.name,
            priority=self.priority,
            lane=self.lane,
            timeout=self.timeout,
            suppress_errors=self.suppress_errors,
            stop_on_lane_error=self.stop_on_lane_error,
        )

    def is_running(self) -> bool:
        """Whether it runs now."""
        future = self.record.future
        return future is not None and future.running()

    def is_expired(self) -> bool:
        """Whether it runs, and has done so for longer than its timeout."""
        future, timeout = self.record.future, self.record.timeout
        if not timeout or timeout < 0 or future is None or not future.running():
            return False
        started = future.info.started
        return started is not None and time.time() - started.timestamp() > timeout

    def is_processed(self) -> bool:
        """Whether it is completed, its callback called."""
        return self.record.processed is not None

    def get_exitcode(self) -> int | None:
        """0, 1 (or -1) if it raised, minus the signal's number if it was killed; None so far."""
        return self.record.exitcode

    def run_time(self) -> float | None:
        """Seconds from its start to its end; None as long as it has not ended."""
        return self.record.runtime

    def waiting_time(self) -> float:
        """Seconds from its submission to its start, or until now; 0 before it is submitted."""
        return self._since_submission(self.record.started)

    def total_time(self) -> float:
        """Seconds from its submission to its end, or until now; 0 before it is submitted."""
        return self._since_submission(self.record.ended)

    def _since_submission(self, until: float | None) -> float:
        submitted = self.record.submitted
        if submitted is None:
            return 0.0
        return max(0.0, (time.time() if until is None else until) - submitted)

    def get_submit_time(self) -> datetime | None:
        """When it was submitted, in local time."""
        return moment(self.record.submitted)

    def get_start_time(self) -> datetime | None:
        """When it was started, in local time; None until it has ended."""
        return moment(self.record.started)

    def get_end_time(self) -> datetime | None:
        """When it ended, in local time."""
        return moment(self.record.ended)

    def get_processed_time(self) -> datetime | None:
        """When it was completed, in local time."""
        return moment(self.record.processed)

    def to_dict(self) -> dict[str, Any]:
        """The job's dict, as `Queue.get` gives it."""
        return self.record.to_dict()

    def __repr__(self) -> str:
        return str(self.to_dict())

"""`JobStack`, and the wait for the stacks of all running jobs at once, for `dump`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from .jobs import JobInfo

__all__ = ["Inquiry", "JobStack", "collect"]


@dataclass(frozen=True)
class JobStack:
    """Where a job was when `PriorityExecutor.dump` was called.

    Attributes:
        info: what is known of the job.
        stack: the Python stacks of its worker's threads as text, the most recent call first; of
            a job in a thread, that of its own. None where the job had not begun, had ended
            meanwhile, or its worker could not tell, as one that is stopped.

    >>> import threading
    >>> from ezpq_exec import PriorityExecutor
    >>> here, go_on = threading.Event(), threading.Event()
    >>> def stuck():
    ...     here.set()
    ...     go_on.wait()
    >>> with PriorityExecutor(1, engine="threads") as ex:
    ...     future, _ = ex.submit(stuck), here.wait()
    ...     print([(job.info.name, "in stuck" in job.stack) for job in ex.dump()])
    ...     go_on.set()
    [('stuck', True)]
    """

    info: JobInfo
    stack: str | None


class Inquiry:
    """The wait for one job's stack."""

    def __init__(self, info: JobInfo) -> None:
        self.info = info
        self.stack: str | None = None
        self._is_answered = threading.Event()

    def tell(self, stack: str | None) -> None:
        """Here is the answer."""
        self.stack = stack
        self._is_answered.set()

    def wait(self, timeout: float) -> None:
        """Sleep until there is an answer, for `timeout` seconds at most."""
        self._is_answered.wait(timeout)


def collect(inquiries: Iterable[Inquiry], timeout: float) -> list[JobStack]:
    """Wait for all the answers, for `timeout` seconds altogether."""
    until = time.monotonic() + timeout
    stacks = []
    for inquiry in inquiries:
        inquiry.wait(min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX))
        stacks.append(JobStack(inquiry.info, inquiry.stack))
    return stacks

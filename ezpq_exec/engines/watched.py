"""A keeper's view of its present worker, and the decision whether to kill it for its job.

A job may end just when it is to be killed. The keeper first condemns the job, on the page; then it
takes a stack dump, which gives the worker time to see that; then it looks whether the job still
runs. When a job ends, the worker first looks whether that job is condemned. If so, it waits for its
death; if not, it says on the page that nothing runs. It does the same before it declines a job. So a
job that is killed has not answered, and the worker is never killed for a job that has.
"""

from __future__ import annotations

import os
import sys
import time

from . import tree
from .alarm import DEADLINE, WEIGH
from .page import Page
from .scales import Scales
from .stackdump import Dump

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Watched"]


class Watched:
    """A worker, with what it tells its keeper, on the page and by its pipe.

    Attributes:
        pid: its process.
        pipe: from where its deadlines come.
        dump: where its stacks come from.
        scales: what its memory is weighed with.
        reason: why it is to be killed, as a verdict's name; None: it is not to be.
        is_rehearsed: what is done to kill it has been gone through.
        death: its end, if it is at hand.
    """

    def __init__(self, pid: int, pipe: int, dump: Dump, page: Page) -> None:
        self.pid = pid
        self.pipe = pipe
        self.dump = dump
        self.scales = Scales(page)
        self.reason: str | None = None
        self.is_rehearsed = False
        self.death: tree.Death | None = None
        self._page = page
        self._deadline: float | None = None

    def close(self) -> None:
        """Let go of it, once it is dead."""
        os.close(self.pipe)
        self.dump.close()
        if self.death is not None:
            self.death.close()

    @property
    def wake_at(self) -> float | None:
        """When its keeper has something to do, if nothing happens before (monotonic seconds)."""
        if self.reason is not None:
            return None  # its end is decided; the keeper only waits for it
        times = (self._deadline, self.scales.due)
        return min((moment for moment in times if moment is not None), default=None)

    def hear(self) -> bool:
        """Take over what it says of its deadlines; False if it can say no more."""
        told = os.read(self.pipe, 64 * DEADLINE.size)
        for (moment,) in DEADLINE.iter_unpack(told):
            if moment == WEIGH:
                self.scales.due = time.monotonic()
            else:
                self._deadline = moment
        return bool(told)

    def overhear(self) -> bool:
        """Take in what it writes unasked, or too late; False if it can write no more."""
        was_due = self.dump.is_due
        can_come = self.dump.drain()
        if was_due and not self.dump.is_due and self.reason is None:
            self.dump.forget()  # else a later crash would be shown with this old stack
        return can_come

    def stack(self, ticket: int) -> str | None:
        """Where the job of that ticket is, which goes on; None if it does not run."""
        if self._page.running != ticket:
            return None
        if self.reason is not None:
            return self.dump.text()  # it is about to be killed: its last stack is to be kept
        self.dump.take(self.pid)
        stack = self.dump.text()
        self.dump.forget()
        return stack if self._page.running == ticket else None

    def late_ticket(self, now: float) -> int:
        """The ticket of a job whose deadline has passed; 0: there is none."""
        if self._deadline is None or self._deadline > now:
            return 0
        self._deadline = None
        ticket, deadline = self._page.running, self._page.deadline
        if ticket and deadline > now:
            self._deadline = deadline if deadline != float("inf") else None
            return 0
        return ticket

    def heavy_ticket(self, now: float) -> int:
        """The ticket of a job that has too much memory; 0: there is none."""
        return self.scales.overweight(now)

    def rehearse(self) -> None:
        """Go through the motions of `condemn`, and of killing it: see `tree.rehearse`."""
        self.is_rehearsed = True
        self.death = tree.rehearse(self.pid)
        self._page.has_ended(0)
        self.dump.rehearse(self.pid)

    def condemn(self, ticket: int, reason: str) -> bool:
        """Decide whether to kill the worker for that job; False if the job has ended."""
        page = self._page
        if page.has_ended(ticket):
            return False  # its answer is on the way
        page.condemn(ticket)
        self.dump.take(self.pid)
        if page.has_ended(ticket):
            page.condemn(0)
            return False
        self.reason = reason
        return True

"""Idle slots that a submitting thread may fill by itself, so that the loop need not be woken.

While the loop sleeps and nothing waits, its idle slots are on offer. A submitting thread takes one,
hands its job over, and leaves the loop a letter that says so; the loop reads it when something
else wakes it, the answer as a rule. While it is awake nothing is on offer.

A thread that submits may be struck by an exception at any point (Ctrl-C). So each of its two steps
that matter, taking and sending, is one call that C code carries out and records; whatever happens
after that, the letter tells how far it came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

from .engines.base import Engine
from .jobs import Job
from .reports import Report, Stopped

__all__ = ["Offers"]


class Offers:
    """The slots on offer. The loop puts them and takes them back; others take one each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._free: deque[int] = deque()
        self._put: set[int] = set()
        self._taken: set[int] = set()  # by whom, a letter will tell
        self._early: list[Report] = []  # reports of those

    def put(self, slots: Iterable[int]) -> None:
        """Offer these slots; the loop is about to sleep."""
        self._put = set(slots)
        self._free.extend(self._put)

    def withdraw(self) -> set[int]:
        """Offer nothing any more; which slots were taken, of which a letter tells or will tell."""
        if not self._put:
            return self._put
        taken, self._put = self._put, set()
        while self._free:
            try:
                taken.discard(self._free.pop())
            except IndexError:  # somebody took the last one this very moment
                break
        self._taken |= taken
        return taken

    def told(self, slot: int) -> None:
        """The letter about `slot` was read."""
        self._taken.discard(slot)

    @property
    def is_waited_for(self) -> bool:
        """Whether something was reported of a slot about which no letter was read yet."""
        return bool(self._early)

    def sort(self, reports: Iterable[Report]) -> Iterable[Report]:
        """Put off those that are of slots about which no letter was read yet."""
        if not self._taken and not self._early:
            return reports
        ripe: list[Report] = []
        early, self._early = self._early, []
        for report in (*early, *reports):
            known = isinstance(report, Stopped) or report.slot not in self._taken
            (ripe if known else self._early).append(report)
        return ripe

    def take(self, job: Job, tell: Callable[[int, Job, bool], None]) -> bool:
        """Hand `job` over to a slot on offer; False if there is none.

        Args:
            job: new, and known to nobody else.
            tell: is told the slot that was taken, the job, and whether it was handed over.
        """
        if not self._free or job.future is None:
            return False
        taken: list[int] = []
        sent: list[object] = []
        try:
            taken.extend(islice(iter(self._free.pop, None), 1))
            job.announced = job.future.set_running_or_notify_cancel()
            timeout = job.options.timeout
            self._engine.hand_over(taken[0], job.number, job.payload, timeout, sent)
        except IndexError:  # somebody was quicker
            if taken:
                raise
            return False
        finally:
            if taken:
                tell(taken[0], job, bool(sent))
        return True

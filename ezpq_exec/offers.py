"""Idle slots that a submitting thread may fill by itself, so that the loop need not be woken.

While the loop sleeps and nothing waits, its idle slots are on offer. A submitting thread leaves the
loop a letter, then takes a slot and hands its job over; the loop reads the letter when something
else wakes it, the answer as a rule. While it is awake nothing is on offer.

A thread that submits may be struck by an exception at any point (Ctrl-C). The letter is there
before anything is done, and each step records itself, so the loop finds out how far it came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from .engines.base import Engine
from .jobs import Job
from .reports import Report, Stopped

__all__ = ["Handover", "Offers"]


class Handover:
    """A letter about a job that a submitting thread may have handed over by itself."""

    __slots__ = ("job", "sent", "taken")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.taken: list[int] = []  # the slot, if one was taken
        self.sent: list[object] = []  # something, if the job was sent there


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
    def are_there(self) -> bool:
        """Whether there seem to be any."""
        return bool(self._free)

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

    def take(self, handover: Handover) -> None:
        """Hand a job over to a slot on offer, if there is one; `handover` records how far it came.

        Wherever an exception strikes, what was done is recorded: taking and sending are one call
        each, which C code carries out with its record.
        """
        job = handover.job
        if job.future is None:
            return
        try:
            handover.taken.extend(islice(iter(self._free.pop, None), 1))
        except IndexError:  # none, or the loop was quicker
            return
        job.announced = job.future.announce()
        slot, timeout = handover.taken[0], job.options.timeout
        self._engine.hand_over(slot, job.number, job.payload, timeout, handover.sent)

"""Slots that submitting threads fill by themselves: what the scheduler offers, and then hears of.

A slot on offer that was taken is *promised*: it is busy, but its job is not known yet. When the
record of the thread that took it is read, it gets that job, or has run it, or is free again.
"""

from __future__ import annotations

from . import verdicts
from .commands import Command
from .jobs import Job, Outcome
from .slots import Phase, Slot
from .succession import Succession

__all__ = ["Promises"]

MOST_OFFERED = 4  # slots at a time: hardly ever do more threads submit at the same instant


class Promises(Succession):
    """The part of the scheduler that lets others hand jobs over while nothing waits."""

    def on_offer(self) -> list[int]:
        """Idle slots that a submitting thread may fill: a few, while nothing waits or ends."""
        if self.paused or self.closing or self.backlog.eligible or self.broken is not None:
            return []
        return [slot.index for slot in self.slots.idle[-MOST_OFFERED:]]

    def promised(self, index: int, now: float) -> list[Command]:
        """A slot on offer was taken, by one or several jobs in turn, as will be told of each."""
        slot = self.slots.get(index)
        if slot is not None:
            self.slots.move(slot, Phase.BUSY)
        return []

    def assigned(self, index: int, job: Job, sent: bool, now: float) -> list[Command]:
        """A promised slot has got this job, or was let go again, and then the job waits."""
        slot = self._promised_slot(index)
        if sent:
            self.assign(job, slot, now)
            return []
        self.free(slot, True, now)
        if self.broken is not None:
            settled = self.settle(job, verdicts.broken(self.broken), now)
            return [settled, *self.follow_up(slot, now)]
        self.wait(job)
        return self.follow_up(slot, now)

    def passed(self, index: int, job: Job, outcome: Outcome, now: float) -> list[Command]:
        """A promised slot has got this job and has run it, and is promised again."""
        slot = self._promised_slot(index)
        self.assign(job, slot, now)
        slot.job = None
        return [self.settle(job, outcome, now)]

    def _promised_slot(self, index: int) -> Slot:
        slot = self.slots.get(index)
        if slot is None or slot.phase is not Phase.BUSY or slot.job is not None:
            raise AssertionError(f"{slot!r} was not promised")
        return slot

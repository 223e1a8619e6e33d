"""Jobs that ended one after another in a worker's queue, and are heard of together."""

from __future__ import annotations

from collections.abc import Sequence

from .commands import Settle
from .jobs import RUNNING, Outcome
from .lookahead import Lookahead
from .slots import Slot

__all__ = ["Succession"]


class Succession(Lookahead):
    """The part of the scheduler that settles such jobs."""

    def settle_in_turn(
        self, slot: Slot, numbers: Sequence[int], outcomes: Sequence[Outcome]
    ) -> list[Settle]:
        """Settle these jobs, up to the first whose end means more than that the next has begun.

        The effect is that of `Scheduler.finished` for each of them, but for feeding the slot, and for
        any word on those that have begun and ended in between.
        """
        settles: list[Settle] = []
        ahead = slot.ahead
        for number, outcome in zip(numbers, outcomes, strict=True):
            job = slot.job
            if (
                not ahead
                or job is None
                or job.number != number
                or job.condemned is not None
                or job.state is not RUNNING
                or not job.options.may_be_queued
            ):
                break
            job.started = outcome.started
            job.ended = outcome.ended
            self._note_end(job, outcome)
            settles.append(tuple.__new__(Settle, (job, outcome)))  # no more than `Settle` does
            follower = slot.job = ahead.popleft()
            self._set_running(follower, slot)
        return settles

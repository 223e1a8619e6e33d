"""Jobs that ended one after another in a worker's queue, and are heard of together."""

from __future__ import annotations

from collections.abc import Sequence

from .commands import Settle
from .jobs import Outcome, State, Verdict
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
        any word on those that have begun and ended in between. It is done in one place, since most
        of what a job of microseconds costs the scheduler is this.
        """
        settles: list[Settle] = []
        returned = 0
        ahead = slot.ahead
        for number, outcome in zip(numbers, outcomes, strict=True):
            job = slot.job
            if (
                not ahead
                or job is None
                or job.number != number
                or job.condemned is not None
                or job.state is not State.RUNNING
                or not job.options.may_be_queued
            ):
                break
            job.started = outcome.started
            job.ended = outcome.ended
            job.cpu_time = outcome.cpu_time
            job.max_rss = outcome.max_rss
            job.exitcode = outcome.exitcode
            job.verdict = verdict = outcome.verdict
            if outcome.pid is not None:
                job.pid = outcome.pid
            job.state = State.DONE
            if verdict is Verdict.RETURNED:
                returned += 1
            else:
                self.settled[verdict] += 1
            settles.append(tuple.__new__(Settle, (job, outcome)))  # no more than `Settle` does
            job = slot.job = ahead.popleft()  # from here on, as `_set_running`
            job.state = State.RUNNING
            job.attempt += 1
            job.slot = slot.index
            job.pid, job.host = slot.pid, slot.host
        self.settled[Verdict.RETURNED] += returned
        self._forget_if_empty(slot)
        return settles

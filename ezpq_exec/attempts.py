"""What becomes of a job whose attempt has ended: it is settled, or waits for another attempt.

A job that is tried again keeps its number, and by that its place among its equals. Its future goes
on saying that it runs. What its attempts came to is kept, each as the context of the next.

Which exception a job has raised is not known before it is unpacked, which may run a user's code.
So that is done elsewhere, while the slot is free for others; the job is *undecided* so long.
"""

from __future__ import annotations

from . import verdicts
from .commands import Command, Unpack
from .decisions import Decisions
from .errors import RemoteError
from .history import put_before
from .jobs import Job, Outcome, State, Verdict
from .reports import Loss

__all__ = ["Attempts"]

_WORTH_IT = frozenset((Verdict.DIED, Verdict.TIMED_OUT, Verdict.OUT_OF_MEMORY))
MOST_LOST_UNBEGUN = 3  # workers that may die with the same job in hand, before they begin it


class Attempts(Decisions):
    """The part of the scheduler that decides whether a job is tried again."""

    def conclude(self, job: Job, outcome: Outcome, now: float) -> list[Command]:
        """An attempt of `job` has ended with `outcome`."""
        if not job.options.retries:
            return [self.settle(job, outcome, now)]
        self.deadlines.clear(job)
        left = job.attempt <= job.options.retries and not self.giving_up
        if outcome.verdict is Verdict.RAISED and left and job.options.retry_on:
            if outcome.packed:
                self.undecided[job.number] = job
                job.started = outcome.started
                return [Unpack(job, outcome)]
            worth_it = _is_one_of(outcome.value, job.options.retry_on)
        else:
            worth_it = outcome.verdict in _WORTH_IT
        if left and worth_it:
            return self._try_again(job, outcome, now)
        return [self.settle(job, outcome, now)]

    def unpacked(self, job: Job, outcome: Outcome, now: float) -> list[Command]:
        """The exception of an undecided job is unpacked: decide now, unless the job was killed meanwhile."""
        if self.undecided.pop(job.number, None) is None:
            return []
        concluded = self.conclude(job, outcome, now)
        return [*concluded, *self.dispatch(now)]

    def _try_again(self, job: Job, failure: Outcome, now: float) -> list[Command]:
        before = self.failures.get(job.number)
        if before is not None:
            put_before(failure.value, before.value)
        self.failures[job.number] = failure
        self.retried += 1
        job.condemned = None
        return self.wait_again(job, now)

    def wait_again(self, job: Job, now: float) -> list[Command]:
        """`job` left the backlog and did not run to its end: it waits again, at its old place."""
        job.state = State.WAITING
        job.slot = job.pid = job.host = job.started = None
        if self.broken is not None:
            return [self.settle(job, verdicts.broken(self.broken), now)]
        self.wait(job)
        return []

    def bereave(self, job: Job, loss: Loss, reason: Verdict | None, now: float) -> list[Command]:
        """Decide on the job of a worker that is gone."""
        self.deadlines.clear(job)
        if loss.begun is None and reason is None and self.broken is None:
            job.lost_unbegun += 1
            if job.lost_unbegun < MOST_LOST_UNBEGUN:  # nothing of it has run: it is safe
                job.attempt -= 1
                return self.wait_again(job, now)
        on_request = job.condemned is Verdict.KILLED
        job.condemned = reason
        outcome = verdicts.condemned(job, loss)
        if on_request:
            return [self.settle(job, outcome, now)]
        return self.conclude(job, outcome, now)


def _is_one_of(error: object, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether `except kinds` would catch `error`. As there, no metaclass has a say in it."""
    if any(each is kind for each in type(error).__mro__ for kind in kinds):
        return True
    if not isinstance(error, RemoteError):  # that stands for an exception that does not pickle
        return False
    return error.type_name in {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}

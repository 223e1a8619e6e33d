"""Retries, as plain examples: what is tried again, when, and what is told of it in the end."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from typing import Any

import pytest

from ezpq_exec.commands import Close, Command, Recall, Run, Settle, Unpack
from ezpq_exec.decisions import QUICK
from ezpq_exec.history import put_before
from ezpq_exec.jobs import Call, Job, Outcome, State, Verdict
from ezpq_exec.lanes import Lane
from ezpq_exec.options import Options
from ezpq_exec.reports import Loss
from ezpq_exec.scheduler import Scheduler


class Rig:
    """A scheduler with warm slots and a clock."""

    def __init__(self, slots: int = 1, **settings: Any) -> None:
        self.scheduler = Scheduler(slots, **{"can_kill": True, **settings})
        self.now = 100.0
        self.numbers = 0
        first = [self.submit() for _ in range(slots)]
        for index, job in enumerate(first):
            self.scheduler.ready(index, 1000 + index, self.now)
            self.end(job)

    def submit(self, lane: Lane | None = None, **options: Any) -> Job:
        """A job that waits or runs."""
        self.numbers += 1
        terms = Options(lane=lane.key if lane else None, **options)
        job = Job(self.numbers, Call(int, (), {}), terms, b"", self.now)
        job.lane = lane
        self.scheduler.submitted(job, self.now)
        job.announced = job.state is State.RUNNING
        return job

    def end(self, job: Job, error: Exception | None = None, packed: bool = False) -> list[Command]:
        """It returns, or raises."""
        assert job.slot is not None
        job.announced = True
        verdict = Verdict.RAISED if error else Verdict.RETURNED
        outcome = Outcome(verdict, error, packed, started=self.now - QUICK / 2, ended=self.now)
        return self.scheduler.finished(job.slot, job.number, outcome, True, self.now)

    def lose(self, job: Job, reason: Verdict | None = None, begun: bool = True) -> list[Command]:
        """Its worker dies; another comes up."""
        assert job.slot is not None
        job.announced = True
        slot = job.slot
        loss = Loss(self.now if begun else None, self.now, pid=7, exitcode=-9, reason=reason)
        commands = self.scheduler.lost(slot, loss, self.now)
        return commands + self.scheduler.ready(slot, 8, self.now)


def runs(commands: list[Command]) -> list[Job]:
    """Who is told to run."""
    return [command.job for command in commands if isinstance(command, Run)]


def outcome_of(commands: list[Command]) -> Outcome:
    """Of the only job that is settled."""
    [outcome] = [command.outcome for command in commands if isinstance(command, Settle)]
    return outcome


def test_queue_timeout_is_for_the_first_start_only() -> None:
    """A job that waits for another attempt may wait as long as that takes."""
    rig = Rig()
    job = rig.submit(retries=1, queue_timeout=5.0, timeout=2.0)
    urgent = rig.submit(priority=0)
    rig.lose(job, Verdict.TIMED_OUT)
    assert (job.state, urgent.state) == (State.WAITING, State.RUNNING)
    assert rig.scheduler.next_deadline() is None
    rig.now += 50
    assert rig.scheduler.tick(rig.now) == []
    assert runs(rig.end(urgent)) == [job]


def test_a_job_whose_worker_died_unbegun_still_has_all_its_attempts() -> None:
    """Nothing of it has run, so nothing was tried."""
    rig = Rig()
    job = rig.submit(retries=1)
    rig.lose(job, begun=False)
    assert (job.attempt, rig.scheduler.retried) == (1, 0)
    rig.lose(job)
    assert (job.attempt, rig.scheduler.retried) == (2, 1)
    assert outcome_of(rig.lose(job)).verdict is Verdict.DIED


def test_a_job_asked_to_be_killed_is_not_tried_again_if_its_timeout_was_quicker() -> None:
    """Whoever was told that it will not run on was told the truth."""
    rig = Rig()
    job = rig.submit(retries=3, timeout=5.0)
    rig.scheduler.kill(job, rig.now)
    assert outcome_of(rig.lose(job, Verdict.TIMED_OUT)).verdict is Verdict.TIMED_OUT
    assert rig.scheduler.retried == 0


def test_closing_waits_for_undecided_jobs() -> None:
    """Their slot is free, but they may need it again."""
    rig = Rig()
    job = rig.submit(retries=1, retry_on=ValueError)
    commands = rig.scheduler.close(rig.now) + rig.end(job, ValueError(), packed=True)
    [unpack] = commands
    assert isinstance(unpack, Unpack)
    unpack.outcome.packed = False
    assert runs(rig.scheduler.unpacked(job, unpack.outcome, rig.now)) == [job]
    assert [type(command) for command in rig.end(job)] == [Settle, Close]


def test_a_lane_waits_while_its_job_is_undecided() -> None:
    """Nobody can say yet whether the next one's predecessor has failed."""
    rig = Rig(2)
    lane = Lane("a")
    job = rig.submit(lane, retries=1, retry_on=ValueError)
    behind, other = rig.submit(lane, stop_on_lane_error=True), rig.submit()
    [unpack] = rig.end(job, ValueError(), packed=True)
    assert (behind.state, other.state) == (State.WAITING, State.RUNNING)
    assert (rig.scheduler.running, rig.scheduler.waiting) == (2, 1)
    assert isinstance(unpack, Unpack)
    unpack.outcome.packed = False
    assert runs(rig.scheduler.unpacked(job, unpack.outcome, rig.now)) == [job]
    assert runs(rig.end(job)) == [behind]


def test_only_what_it_was_said_to_be_tried_again_for_is_worth_it() -> None:
    """Any other exception ends it at its first attempt, and is what its future raises."""
    rig = Rig()
    job, error = rig.submit(retries=1, retry_on=ValueError), KeyError("x")
    outcome = outcome_of(rig.end(job, error))
    assert (outcome.verdict, outcome.value) == (Verdict.RAISED, error)
    assert rig.scheduler.retried == 0


def test_a_job_is_tried_as_often_as_it_may() -> None:
    """Once, and as many times more as it has retries."""
    rig = Rig()
    job = rig.submit(retries=2)
    assert [outcome_of(rig.lose(job)) if job.attempt == 3 else rig.lose(job) for _ in range(3)]
    assert (job.state, job.attempt, job.verdict) == (State.DONE, 3, Verdict.DIED)


def test_a_job_that_can_have_no_other_worker_says_what_it_had_come_to() -> None:
    """It fails as all do that wait, with its own failure before that."""
    rig = Rig()
    job, other = rig.submit(retries=3), rig.submit(priority=0)
    assert job.slot is not None
    slot = job.slot
    rig.lose(job)
    assert other.state is State.RUNNING
    rig.scheduler.lost(slot, Loss(rig.now, rig.now), rig.now)
    commands = rig.scheduler.unstartable(slot, BrokenExecutor("no"), True, rig.now)
    outcome = outcome_of(commands)
    assert outcome.verdict is Verdict.BROKEN
    assert "attempt 1 of 4" in str(outcome.context)
    assert not rig.scheduler.failures


def test_all_is_forgotten_of_a_job_that_succeeds_at_last() -> None:
    """Its failures are kept no longer than it is."""
    rig = Rig()
    job = rig.submit(retries=3, retry_on=ValueError)
    assert runs(rig.end(job, ValueError("first"))) == [job]
    rig.end(job)
    assert job.verdict is Verdict.RETURNED
    assert not rig.scheduler.failures
    assert not rig.scheduler.undecided


@pytest.mark.parametrize("lane", [None, Lane("a")])
def test_who_waits_again_more_urgently_than_queued_jobs_has_them_taken_back(
    lane: Lane | None,
) -> None:
    """It is a job that is tried again, or the next of a lane, whose turn has come."""
    rig = Rig(2, queues=True)
    quick, job = rig.submit(priority=0), rig.submit(lane, priority=0, retries=int(lane is None))
    for _ in range(3):
        rig.submit()
    next_ = rig.submit(lane, priority=1) if lane else job
    rig.end(quick)
    ((_, queued),) = rig.scheduler.look_ahead(rig.now)
    assert len(queued) == 2
    assert job.slot is not None
    loss = Loss(rig.now, rig.now)
    commands = rig.scheduler.lost(job.slot, loss, rig.now)
    assert next_.state is State.WAITING
    assert any(isinstance(command, Recall) for command in commands)


@pytest.mark.parametrize("options", [{"retries": 1}, {"lane": "a"}])
def test_jobs_with_a_lane_or_retries_are_never_handed_over_ahead(options: dict[str, Any]) -> None:
    """Nor does any stand behind them."""
    rig = Rig(queues=True)
    retries, lane = options.get("retries", 0), Lane("a") if "lane" in options else None
    for special in (0, 1):
        running = rig.submit(priority=0)
        job, behind = (
            rig.submit(lane, retries=retries) if number == special else rig.submit()
            for number in range(2)
        )
        assert runs(rig.end(running)) == [job]
        assert rig.scheduler.look_ahead(rig.now) == []
        rig.end(job)
        rig.end(behind)


# What comes before an exception ------------------------------------------------------------------


def test_contexts_and_causes_that_are_there_stay() -> None:
    """The earlier failure goes to the end of what a traceback shows."""
    earlier, cause, error = KeyError("earlier"), OSError("cause"), ValueError("error")
    context = RuntimeError("context")
    error.__cause__, error.__context__ = cause, context
    put_before(error, earlier)
    assert (error.__cause__, error.__context__) == (cause, context)
    assert cause.__context__ is earlier


def test_no_circle_is_made() -> None:
    """Of exceptions that have something in common nothing is changed, nor of a circle."""
    error, other = ValueError("error"), KeyError("other")
    put_before(error, error)
    assert error.__context__ is None
    other.__context__ = error
    put_before(error, other)
    assert error.__context__ is None
    put_before(other, error)
    assert other.__context__ is error
    ring = OSError("ring")
    ring.__cause__ = back = OSError("back")
    back.__context__ = ring
    put_before(ring, other)
    assert (ring.__context__, back.__context__) == (None, ring)

"""What waits, held to a list that is sorted anew each time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ezpq_exec.backlog import Backlog
from ezpq_exec.jobs import Call, Job
from ezpq_exec.options import Options


def make(number: int, priority: object = 100) -> Job:
    """A job that does nothing."""
    return Job(number, Call(int, (), {}), Options(priority=priority), None, 1.0)


def drained(backlog: Backlog) -> list[int]:
    """The numbers of the jobs, in the order in which they come out."""
    return [backlog.pop().number for _ in range(len(backlog))]


def test_lower_priority_comes_first() -> None:
    """The lower number is the more urgent."""
    backlog = Backlog()
    for number, priority in enumerate([5, -1, 2.5]):
        backlog.push(make(number, priority))
    assert drained(backlog) == [1, 2, 0]


def test_equals_come_in_order_of_submission() -> None:
    """Jobs of equal priority come by their numbers, whenever they were filed."""
    backlog = Backlog()
    for number in [3, 1, 2]:
        backlog.push(make(number))
    assert drained(backlog) == [1, 2, 3]


def test_numbers_of_all_kinds_compare() -> None:
    """Priorities of different types rank by value, and equal values are equals."""
    backlog = Backlog()
    priorities = [float("inf"), Decimal("1.5"), Fraction(3, 2), True, 1, 1.5, float("-inf")]
    for number, priority in enumerate(priorities):
        backlog.push(make(number, priority))
    assert drained(backlog) == [6, 3, 4, 1, 2, 5, 0]


def test_discarded_job_does_not_come() -> None:
    """A job that was taken out is gone; taking it out again is refused."""
    backlog = Backlog()
    jobs = [make(0), make(1)]
    for job in jobs:
        backlog.push(job)
    assert backlog.discard(jobs[0])
    assert not backlog.discard(jobs[0])
    assert drained(backlog) == [1]


def test_popped_job_cannot_be_discarded() -> None:
    """A job that came out has no place any more."""
    backlog = Backlog()
    backlog.push(make(0))
    job = backlog.pop()
    assert job.place is None
    assert not backlog.discard(job)


def test_reprioritized_job_moves() -> None:
    """Another priority puts a job before or behind the others."""
    backlog = Backlog()
    jobs = [make(0), make(1), make(2)]
    for job in jobs:
        backlog.push(job)
    assert backlog.reprioritize(jobs[0], 101)
    assert backlog.reprioritize(jobs[2], 99)
    assert jobs[2].priority == 99
    assert drained(backlog) == [2, 1, 0]


def test_reprioritized_job_keeps_its_rank_among_equals() -> None:
    """A job that comes to another priority stands there by its number."""
    backlog = Backlog()
    jobs = [make(0, 5), make(1, 1), make(2, 1)]
    for job in jobs:
        backlog.push(job)
    backlog.reprioritize(jobs[0], 1)
    assert drained(backlog) == [0, 1, 2]


@pytest.mark.parametrize("priorities", [[100], [5, 100], [5, 6, 5.0]])
def test_reprioritized_job_may_come_back_to_a_priority(priorities: list[float]) -> None:
    """A job may be given a priority that it has, or had before."""
    backlog = Backlog()
    job = make(0)
    backlog.push(make(1, 0))
    backlog.push(job)
    for priority in priorities:
        assert backlog.reprioritize(job, priority)
    assert drained(backlog) == [1, 0]


def test_stranger_is_not_reprioritized() -> None:
    """A job that does not wait keeps its priority."""
    job = make(0, 5)
    assert not Backlog().reprioritize(job, 1)
    assert job.priority == 5


def test_empty_backlog() -> None:
    """Popping from an empty backlog raises IndexError."""
    with pytest.raises(IndexError):
        Backlog().pop()


class BacklogAgainstList(RuleBasedStateMachine):
    """Whatever is done to a backlog, a sorted list says what must come of it."""

    priorities = st.integers(-2, 2) | st.sampled_from([0.5, float("inf"), Fraction(1, 2)])

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.here: list[tuple[float | Fraction, int]] = []
        self.jobs: list[Job] = []

    @rule(priority=priorities)
    def push(self, priority: float) -> None:
        """One more job."""
        job = make(len(self.jobs), priority)
        self.jobs.append(job)
        self.backlog.push(job)
        self.here.append((priority, job.number))

    @precondition(lambda self: self.here)
    @rule()
    def pop(self) -> None:
        """The best comes out."""
        best = min(self.here)
        self.here.remove(best)
        assert self.backlog.pop() is self.jobs[best[1]]

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        """Any job is taken out, if it is here."""
        job = data.draw(st.sampled_from(self.jobs))
        assert self.backlog.discard(job) is self.forget(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), priority=priorities)
    def reprioritize(self, data: st.DataObject, priority: float) -> None:
        """Any job is moved, if it is here."""
        job = data.draw(st.sampled_from(self.jobs))
        was_here = self.forget(job)
        if was_here:
            self.here.append((priority, job.number))
        assert self.backlog.reprioritize(job, priority) is was_here

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def push_again(self, data: st.DataObject) -> None:
        """A job that came out is filed again, under its own number."""
        job = data.draw(st.sampled_from(self.jobs))
        if job.place is None:
            self.backlog.push(job)
            self.here.append((job.priority, job.number))

    def forget(self, job: Job) -> bool:
        """Take `job` out of the list; whether it was there."""
        found = [pair for pair in self.here if pair[1] == job.number]
        for pair in found:
            self.here.remove(pair)
        return bool(found)

    @invariant()
    def agrees(self) -> None:
        """Those that are here are those of the list, and each knows that it is."""
        assert len(self.backlog) == len(self.here)
        assert {job.number for job in self.backlog} == {number for _, number in self.here}
        numbers = {number for _, number in self.here}
        assert all((job.place is not None) == (job.number in numbers) for job in self.jobs)

    def teardown(self) -> None:
        """All that are left come out in order."""
        assert drained(self.backlog) == [number for _, number in sorted(self.here)]


TestBacklogAgainstList = BacklogAgainstList.TestCase
TestBacklogAgainstList.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)

"""Lanes in the backlog, held to a list that is sorted anew each time; and keys."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ezpq_exec.backlog import Backlog
from ezpq_exec.jobs import Call, Job, Verdict
from ezpq_exec.lanes import Lane
from ezpq_exec.lanetable import LaneTable
from ezpq_exec.options import Options


def make(number: int, lane: Lane | None, priority: object = 100) -> Job:
    """A job that does nothing."""
    job = Job(number, Call(int, (), {}), Options(priority=priority), None, 1.0)
    job.lane = lane
    return job


class BacklogAgainstList(RuleBasedStateMachine):
    """Whatever comes and goes: the best of those whose lanes are free is next."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.lanes = [Lane(number) for number in range(3)]
        self.waiting: list[Job] = []
        self.running: list[Job] = []
        self.numbers = 0

    @rule(lane=st.integers(-1, 2), priority=st.integers(0, 3))
    def push(self, lane: int, priority: int) -> None:
        """A job comes."""
        job = make(self.numbers, None if lane < 0 else self.lanes[lane], priority)
        self.numbers += 1
        self.waiting.append(job)
        self.backlog.push(job)

    def eligible(self) -> list[Job]:
        """Who could run, in order."""
        taken = [job.lane for job in self.running if job.lane is not None]
        ranked = sorted(self.waiting, key=lambda job: (job.priority, job.number))
        found: list[Job] = []
        for job in ranked:
            if job.lane is None or job.lane not in taken:
                found.append(job)
                taken += [job.lane] if job.lane is not None else []
        return found

    @precondition(lambda self: self.eligible())
    @rule()
    def pop(self) -> None:
        """The best runs."""
        best = self.eligible()[0]
        assert self.backlog.peek() is best
        assert self.backlog.pop() is best
        self.waiting.remove(best)
        self.running.append(best)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), again=st.booleans())
    def end(self, which: int, again: bool) -> None:
        """One that ran has ended, or waits again."""
        job = self.running.pop(which % len(self.running))
        if again:
            self.waiting.append(job)
            self.backlog.push(job)
        elif job.lane is not None:
            job.verdict = Verdict.RAISED
            self.backlog.leave(job)

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 9), priority=st.none() | st.integers(0, 3))
    def change(self, which: int, priority: int | None) -> None:
        """One that waits goes away, or gets another priority."""
        job = self.waiting[which % len(self.waiting)]
        if priority is not None:
            assert self.backlog.reprioritize(job, priority)
            return
        self.waiting.remove(job)
        assert self.backlog.discard(job)
        assert not self.backlog.discard(job)

    @invariant()
    def is_right(self) -> None:
        """Counts, and who is next."""
        assert self.backlog.advance() == []
        eligible = self.eligible()
        assert self.backlog.eligible == len(eligible)
        assert self.backlog.peek() is (eligible[0] if eligible else None)
        assert len(self.backlog) == len(self.waiting)
        assert set(self.backlog) == set(self.waiting)


TestBacklogAgainstList = BacklogAgainstList.TestCase
TestBacklogAgainstList.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)


def test_a_lane_goes_with_its_last_job() -> None:
    """Nothing of it is left in the backlog."""
    backlog, lane = Backlog(), Lane("a")
    gone = weakref.ref(lane)
    jobs = [make(number, lane) for number in range(200)]
    del lane
    for job in jobs:
        backlog.push(job)
    backlog.advance()
    for job in jobs:
        assert backlog.pop() is job
        job.verdict = Verdict.RAISED
        backlog.leave(job)
        backlog.advance()
    assert gone() is None


# Keys ----------------------------------------------------------------------------------------------


class Key:
    """Remembers who compares it."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.threads: set[int] = set()

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        self.threads.add(threading.get_ident())
        return isinstance(other, Key) and other.value == self.value


def test_equal_keys_have_the_same_lane_while_it_lives() -> None:
    """And another one afterwards; of lanes that are gone nothing is kept."""
    table = LaneTable()
    first, other = table.lane(("a", 1)), table.lane("b")
    assert table.lane(("a", 1.0)) is first
    assert first is not other
    key = Key(1)
    gone = weakref.ref(key)
    lane = table.lane(key)
    assert len(table) == 3
    del lane, key, first, other
    gc.collect()
    assert gone() is None
    assert len(table) == 0


def test_a_lane_whose_last_job_ends_while_it_is_looked_up_is_not_handed_out() -> None:
    """Whoever looks it up gets a lane that lives, and the next one finds that."""
    table = LaneTable()
    lanes = [table.lane("a")]

    def end_the_last_job(_frame: object, event: str, called: object) -> None:
        if event == "c_return" and getattr(called, "__name__", "") == "setdefault":
            sys.setprofile(None)
            lanes.clear()  # as another thread may, between the two steps of the look-up

    sys.setprofile(end_the_last_job)
    try:
        found = table.lane("a")
    finally:
        sys.setprofile(None)
    assert lanes == []
    assert table.lane("a") is found
    assert len(table) == 1


def test_a_lane_is_equal_to_lanes_of_its_key_alone() -> None:
    """To the key itself it is not, though a table finds it by that."""
    assert Lane("a") == Lane("a") != Lane("b")
    assert Lane("a") != "a"


def test_keys_are_compared_only_where_they_are_looked_up() -> None:
    """When a lane goes, its key is taken out without a look at others, though all hashes agree."""
    table = LaneTable()
    keys = [Key(number) for number in range(20)]
    lanes = [table.lane(key) for key in keys]
    for key in keys:
        key.threads.clear()
    lanes.reverse()
    while lanes:
        lanes.pop()
    assert len(table) == 0
    assert not any(key.threads for key in keys)

"""Jobs ahead of their turn: promises one by one, and then against a world that hypothesis moves.

`World` is a fake engine. Each of its workers takes by itself from a queue of its own; what has
begun there, and what can still be taken back, is plain to see. It obeys as the loop does, and
takes everything back before each letter, except one that brings a job that may stand behind.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ezpq_exec.commands import (
    Begin,
    Close,
    Command,
    Kill,
    Queue,
    Recall,
    Retire,
    Run,
    Settle,
    Start,
)
from ezpq_exec.decisions import QUICK
from ezpq_exec.jobs import Call, Job, Outcome, State, Verdict
from ezpq_exec.lanes import Lane
from ezpq_exec.lookahead import DEPTH, FEW, PATIENCE
from ezpq_exec.options import Options
from ezpq_exec.reports import Loss
from ezpq_exec.scheduler import Scheduler


class Rig:
    """A scheduler with warm slots and a clock."""

    def __init__(self, slots: int = 1) -> None:
        self.scheduler = Scheduler(slots, can_kill=True, queues=True)
        self.now = 100.0
        self.numbers = 0
        self.first = [self.submit(priority=-9) for _ in range(slots)]
        for index in range(slots):
            self.scheduler.ready(index, 1000 + index, self.now)

    def submit(self, **options: Any) -> Job:
        """A job that waits or runs."""
        self.numbers += 1
        job = Job(self.numbers, Call(int, (), {}), Options(**options), b"", self.now)
        self.scheduler.submitted(job, self.now)
        return job

    def finish(self, job: Job, took: float = QUICK / 10) -> list[Command]:
        """It returns."""
        assert job.slot is not None
        outcome = Outcome(Verdict.RETURNED, None, started=self.now - took, ended=self.now)
        return self.scheduler.finished(job.slot, job.number, outcome, True, self.now)

    def look(self) -> list[tuple[int, Job]]:
        """What is queued, and where, before the loop sleeps; the most urgent first, as in each slot."""

        def urgency(place: tuple[int, Job]) -> tuple[Any, int]:
            return place[1].priority, place[1].number

        queued: list[tuple[int, Job]] = []
        for slot, jobs in self.scheduler.look_ahead(self.now):
            share = [(slot, job) for job in jobs]
            assert share
            assert share == sorted(share, key=urgency)
            queued += share
        return sorted(queued, key=urgency)

    def recall(self, index: int, *jobs: Job) -> list[Command]:
        """These were taken back there."""
        return self.scheduler.recalled(index, [job.number for job in jobs], self.now)

    def fed(self, count: int) -> tuple[Job, list[Job]]:
        """One slot that runs a job, with so many behind it."""
        jobs = [self.submit() for _ in range(count + 1)]
        self.finish(self.first[0])
        assert self.look() == [(0, job) for job in jobs[1:]]
        return jobs[0], jobs[1:]


def runs(commands: Iterable[Command]) -> list[Job]:
    """The jobs that are told to run."""
    return [command.job for command in commands if isinstance(command, Run)]


def settled(commands: Iterable[Command]) -> list[tuple[Job, Verdict]]:
    """The jobs that are settled, with their verdicts."""
    settles = [command for command in commands if isinstance(command, Settle)]
    return [(command.job, command.outcome.verdict) for command in settles]


def test_only_quick_workers_are_fed() -> None:
    """Nothing stands behind a job whose predecessor was slow, or has not ended."""
    rig = Rig(3)
    jobs = [rig.submit() for _ in range(3)]
    rig.finish(rig.first[0], took=QUICK * 2)
    assert rig.look() == []
    rig.finish(rig.first[1])
    assert rig.look() == [(1, jobs[2])]


def test_what_stands_behind_a_job_stays_there_as_long_as_all_of_it_should_take() -> None:
    """Where workers share a queue, the jobs of all the others may come first. After that it is had back."""
    rig = Rig()
    jobs = [rig.submit() for _ in range(DEPTH + 1)]
    rig.finish(rig.first[0], took=QUICK / 10)
    assert len(rig.look()) == DEPTH
    expected = DEPTH * QUICK / 10
    assert expected > PATIENCE
    for _ in range(2):  # the first look only notes which job it is
        deadline = rig.scheduler.next_deadline()
        assert deadline is not None
        assert deadline == pytest.approx(rig.now + expected, abs=PATIENCE / 10, rel=0)
        assert jobs[0].slot == 0
        rig.now = deadline
        recalls = rig.scheduler.tick(rig.now)
    assert recalls == [Recall(0)]


def test_the_best_are_dealt_out_in_turn() -> None:
    """Each worker gets the best that is left, one at a time, up to a number."""
    rig = Rig(2)
    jobs = [rig.submit(priority=-number) for number in range(2 * DEPTH + 4)][::-1]
    for job in rig.first:
        rig.finish(job)
    queued = rig.look()
    assert [job for _, job in queued] == jobs[2 : 2 * DEPTH + 2]
    assert [index for index, _ in queued] == [0, 1] * DEPTH
    assert all(job.state is State.WAITING for _, job in queued)
    assert rig.scheduler.waiting == 2 * DEPTH + 2


def test_no_worker_is_dealt_more_than_it_has_room_for() -> None:
    """Once one has all that it may have, the others share what is left."""
    rig = Rig(2)
    jobs = [rig.submit(priority=number) for number in range(DEPTH + 20)]
    rig.finish(rig.first[0])
    assert rig.look() == [(0, job) for job in jobs[1 : DEPTH + 1]]
    rig.finish(jobs[0])
    rig.finish(jobs[1])  # so there is room for two
    rig.finish(rig.first[1])
    assert jobs[DEPTH + 1].slot == 1
    assert rig.look() == [
        *zip([0, 1, 0, 1], jobs[DEPTH + 2 : DEPTH + 6], strict=True),
        *[(1, job) for job in jobs[DEPTH + 6 :]],
    ]


def test_nothing_is_fed_while_paused() -> None:
    """A pause is for queues too."""
    rig = Rig()
    running, _ = rig.submit(), rig.submit()
    rig.finish(rig.first[0])
    rig.scheduler.pause(rig.now)
    assert rig.look() == []
    assert running.state is State.RUNNING


@pytest.mark.parametrize("limit", ["timeout", "queue_timeout"])
def test_a_job_with_a_limit_stands_behind_none(limit: str) -> None:
    """It is handed over in its turn, and none overtakes it."""
    rig = Rig()
    first, second = rig.submit(), rig.submit()
    rig.submit(**{limit: 5.0})
    rig.submit()
    rig.finish(rig.first[0])
    assert rig.look() == [(0, second)]
    assert first.state is State.RUNNING


@pytest.mark.parametrize("limit", ["timeout", "queue_timeout"])
def test_none_stands_behind_a_job_with_a_limit(limit: str) -> None:
    """Its worker may be killed for it."""
    rig = Rig()
    rig.submit(**{limit: 5.0})
    rig.submit()
    rig.finish(rig.first[0])
    assert rig.look() == []


def test_what_comes_back_to_a_scheduler_that_is_broken_is_broken_too() -> None:
    """Jobs that stood behind another when no more workers could be had wait for nothing."""
    rig = Rig()
    running, queued = rig.fed(2)
    rig.scheduler.break_down(OSError("no more processes"), rig.now)
    commands = rig.scheduler.lost(0, Loss(None, rig.now), rig.now)
    assert settled(commands)[:2] == [(job, Verdict.BROKEN) for job in queued]
    assert settled(commands)[2][0] is running
    assert rig.scheduler.unresolved() == []


def test_what_could_not_be_queued_in_a_slot_that_is_gone_has_been_seen_to() -> None:
    rig = Rig()
    assert rig.scheduler.unqueued(7, rig.submit(), rig.now) == []


def test_what_is_had_back_from_a_slot_that_is_gone_has_been_seen_to() -> None:
    rig = Rig()
    assert rig.recall(7, rig.submit()) == []


def test_a_slot_too_many_leaves_when_its_job_has_come_back() -> None:
    """Its worker had begun nothing of what it was given, and there is one too many by now."""
    rig = Rig(2)
    job, _ = rig.submit(), rig.submit()
    rig.finish(rig.first[0])
    rig.scheduler.resize(1, rig.now)
    assert Retire(0) in rig.recall(0, job)
    assert job.state is State.WAITING


def test_a_more_urgent_job_goes_first() -> None:
    """It may not stand behind those that are queued; once they are back, it runs before them."""
    rig = Rig()
    running, queued = rig.fed(2)
    new = Job(50, Call(int, (), {}), Options(priority=1), b"", rig.now)
    assert not rig.scheduler.may_stand_behind(new)
    assert rig.scheduler.recall_all() == [Recall(0)]
    rig.recall(0, *queued)
    rig.scheduler.submitted(new, rig.now)
    assert runs(rig.finish(running)) == [new]


def test_what_was_not_had_back_is_not_asked_for_again() -> None:
    """It has begun. Only when others have been queued is there something to be had."""
    rig = Rig()
    running, queued = rig.fed(3)
    assert rig.scheduler.recall_all() == [Recall(0)]
    rig.recall(0, *queued[1:])  # the worker has taken the first
    assert rig.scheduler.recall_all() == []
    rig.finish(running)
    assert rig.look() != []
    assert rig.scheduler.recall_all() == [Recall(0)]


def test_an_equal_may_stand_behind() -> None:
    """Nothing is taken back for one that would wait longer anyway."""
    rig = Rig()
    rig.fed(1)
    for priority in (100, 101):
        job = Job(50, Call(int, (), {}), Options(priority=priority), b"", rig.now)
        assert rig.scheduler.may_stand_behind(job)


def test_jobs_taken_back_keep_their_rank() -> None:
    """They wait where they would, had they never been queued."""
    rig = Rig()
    running, queued = rig.fed(3)
    rig.recall(0, *queued)
    late = rig.submit()
    assert rig.scheduler.recall_all() == []
    for job, following in zip([running, *queued], [*queued, late], strict=True):
        assert runs(rig.finish(job, took=1.0)) == [following]


def test_a_queued_job_begins_when_that_before_it_has_ended() -> None:
    """Its worker has it in hand by then; it counts as running, and settles once."""
    rig = Rig()
    running, [queued] = rig.fed(1)
    begin, settle = rig.finish(running)
    assert begin == Begin(queued)
    assert settled([settle]) == [(running, Verdict.RETURNED)]
    assert (queued.state, queued.slot, queued.pid) == (State.RUNNING, 0, 1000)
    assert queued.attempt == 1
    assert rig.scheduler.recall_all() == []
    assert settled(rig.finish(queued)) == [(queued, Verdict.RETURNED)]
    assert rig.scheduler.unresolved() == []


def test_another_may_have_begun_before_the_job_that_was_told_to() -> None:
    """What was taken back waits, though it was told to run; what was not has begun."""
    rig = Rig()
    running, [second, third] = rig.fed(2)
    assert rig.recall(0, running, third) == [Begin(second)]
    assert (running.state, running.slot, running.attempt) == (State.WAITING, None, 0)
    assert second.state is State.RUNNING
    assert runs(rig.finish(second, took=1.0)) == [running]
    assert runs(rig.finish(running, took=1.0)) == [third]


def test_a_job_may_end_before_the_one_that_it_stands_behind() -> None:
    """Where workers share a queue, whoever takes it; it begins and ends, and the rest stays."""
    rig = Rig()
    running, [second, third] = rig.fed(2)
    outcome = Outcome(Verdict.RETURNED, None, started=rig.now, ended=rig.now)
    commands = rig.scheduler.finished(0, third.number, outcome, True, rig.now)
    assert commands[0] == Begin(third)
    assert settled(commands) == [(third, Verdict.RETURNED)]
    assert (third.attempt, running.state, second.state) == (1, State.RUNNING, State.WAITING)
    assert Begin(second) in rig.finish(running)
    assert settled(rig.finish(second)) == [(second, Verdict.RETURNED)]
    assert rig.scheduler.unresolved() == []


def test_a_job_may_be_lost_alone() -> None:
    """What was given to the same slot goes on, whether it was the first there or not."""
    rig = Rig()
    running, [second, third] = rig.fed(2)
    loss = Loss(begun=rig.now, ended=rig.now)
    assert settled(rig.scheduler.strayed(0, third.number, loss, rig.now)) == [(third, Verdict.DIED)]
    commands = rig.scheduler.strayed(0, running.number, loss, rig.now)
    assert commands[0] == Begin(second)
    assert settled(commands) == [(running, Verdict.DIED)]
    assert settled(rig.finish(second)) == [(second, Verdict.RETURNED)]
    assert rig.scheduler.unresolved() == []
    assert rig.scheduler.strayed(0, 99, loss, rig.now) == []
    assert rig.scheduler.strayed(0, 99, None, rig.now) == [Recall(0)]


def test_a_slot_whose_only_job_is_lost_takes_the_next() -> None:
    """Its worker is still there: it runs what waits, and the other is settled."""
    rig = Rig()
    [running], waiting = rig.first, rig.submit()
    loss = Loss(begun=rig.now, ended=rig.now)
    commands = rig.scheduler.strayed(0, running.number, loss, rig.now)
    assert runs(commands) == [waiting]
    assert settled(commands) == [(running, Verdict.DIED)]


def test_what_is_said_to_be_lost_in_a_slot_that_is_gone_changes_nothing() -> None:
    """Whatever it was, it had been settled before the slot left."""
    rig = Rig(2)
    rig.finish(rig.first[1])
    assert rig.scheduler.resize(1, rig.now) == [Retire(1)]
    loss = Loss(begun=rig.now, ended=rig.now)
    assert rig.scheduler.strayed(1, rig.first[1].number, loss, rig.now) == []
    assert rig.scheduler.unresolved() == rig.first[:1]


def test_a_slot_whose_only_job_came_back_is_free() -> None:
    """It was told to run, and did not begin: it runs there again."""
    rig = Rig()
    running, [second] = rig.fed(1)
    assert rig.recall(0, second) == []
    assert runs(rig.recall(0, running)) == [running]
    assert (running.state, running.attempt) == (State.RUNNING, 1)
    assert runs(rig.finish(running, took=1.0)) == [second]


def test_queued_jobs_outlive_their_worker() -> None:
    """They have not begun, so they wait again, and nothing is held against them."""
    rig = Rig()
    running, queued = rig.fed(2)
    loss = Loss(begun=rig.now, ended=rig.now)
    assert settled(rig.scheduler.lost(0, loss, rig.now)) == [(running, Verdict.DIED)]
    assert [job.lost_unbegun for job in queued] == [0, 0]
    assert rig.scheduler.recall_all() == []
    assert runs(rig.scheduler.ready(0, 2, rig.now)) == queued[:1]


def test_none_stays_behind_a_slow_job() -> None:
    """Jobs that have stood behind the same one for a while are taken back."""
    rig = Rig()
    rig.fed(1)
    recalls: list[Command] = []
    for _ in range(2):
        deadline = rig.scheduler.next_deadline()
        assert deadline is not None
        assert deadline <= rig.now + FEW * QUICK * 1.01
        rig.now = deadline
        recalls += rig.scheduler.tick(rig.now)
    assert recalls == [Recall(0)]


def test_a_job_that_is_being_killed_and_comes_back_unbegun_is_not_run() -> None:
    """Its worker had declined it: whoever killed it was told that it would not end by itself."""
    rig = Rig()
    running, queued = rig.fed(2)
    rig.finish(running)
    assert rig.scheduler.kill(queued[0], rig.now) == [Kill(0, queued[0], Verdict.KILLED)]
    settled, run, *more = rig.recall(0, *queued)
    assert isinstance(settled, Settle)
    assert (settled.job, settled.outcome.verdict) == (queued[0], Verdict.KILLED)
    assert (runs([run]), more) == ([queued[1]], [])


def test_those_that_end_in_turn_are_told_with_all_that_is_known_of_them() -> None:
    """Each ran where its outcome says, as with workers that are lent; or else where its slot is."""
    rig = Rig()
    running, queued = rig.fed(2)
    ended = [running, *queued]
    outcomes = [
        Outcome(Verdict.RETURNED, None, False, 100.0 + n, 101.0 + n, 0.5, 2**20, 0, pid=pid)
        for n, pid in enumerate((7, None, 9))
    ]
    rig.scheduler.finished_in_turn(0, [job.number for job in ended], outcomes, rig.now)
    assert [job.pid for job in ended] == [7, 1000, 9]
    for job, outcome in zip(ended, outcomes, strict=True):
        assert (job.state, job.verdict, job.attempt) == (State.DONE, Verdict.RETURNED, 1)
        assert (job.started, job.ended) == (outcome.started, outcome.ended)
        assert (job.cpu_time, job.max_rss, job.exitcode) == (0.5, 2**20, 0)
    assert rig.scheduler.settled[Verdict.RETURNED] == 1 + len(ended)


def test_each_that_ends_in_turn_is_counted_as_it_ended() -> None:
    """Those that raised among those that returned."""
    rig = Rig()
    running, queued = rig.fed(4)
    ended = [running, *queued]
    verdicts = [Verdict.RETURNED, Verdict.RAISED, Verdict.RETURNED, Verdict.RAISED, Verdict.RAISED]
    outcomes = [Outcome(verdict, None, started=100.0, ended=100.1) for verdict in verdicts]
    commands = rig.scheduler.finished_in_turn(0, [job.number for job in ended], outcomes, rig.now)
    assert settled(commands) == list(zip(ended, verdicts, strict=True))
    assert rig.scheduler.settled[Verdict.RETURNED] == 1 + 2
    assert rig.scheduler.settled[Verdict.RAISED] == 3


def test_an_idle_slot_takes_from_the_queues() -> None:
    """None waits behind another while a slot is idle."""
    rig = Rig(2)
    running, queued = rig.fed(1)
    commands = rig.finish(rig.first[1], took=1.0)
    assert Recall(0) in commands
    assert runs(rig.recall(0, *queued)) == queued
    assert (queued[0].slot, running.slot) == (1, 0)


def test_a_slot_whose_job_was_cancelled_takes_from_the_queues() -> None:
    """A job that is told to run declines, as its future was cancelled; and nothing else waits."""
    rig = Rig(2)
    _, queued = rig.fed(1)
    declines = rig.submit()
    assert runs(rig.finish(rig.first[1], took=1.0)) == [declines]
    assert Recall(0) in rig.scheduler.cancelled(declines, rig.now)
    assert runs(rig.recall(0, *queued)) == queued


def test_close_cancels_what_was_queued() -> None:
    """Closing finds what was taken back among what waits."""
    rig = Rig()
    running, queued = rig.fed(2)
    rig.recall(0, *queued)
    commands = rig.scheduler.close(rig.now, cancel=True)
    assert settled(commands) == [(job, Verdict.CANCELLED) for job in queued]
    assert [type(command) for command in rig.finish(running)] == [Settle, Close]


def test_closing_waits_for_what_is_queued() -> None:
    """It is not over while a job stands behind another."""
    rig = Rig()
    running, [queued] = rig.fed(1)
    assert not any(isinstance(c, Close) for c in rig.scheduler.close(rig.now))
    assert not any(isinstance(c, Close) for c in rig.finish(running))
    assert any(isinstance(c, Close) for c in rig.finish(queued))


def test_a_pause_holds_what_was_queued() -> None:
    """Taken back, it does not start before the pause is over."""
    rig = Rig()
    running, queued = rig.fed(1)
    rig.recall(0, *queued)
    rig.scheduler.pause(rig.now)
    assert runs(rig.finish(running)) == []
    assert rig.look() == []
    assert runs(rig.scheduler.resume(rig.now)) == queued


def test_a_slot_too_many_leaves_with_nothing_queued() -> None:
    """After fewer slots were asked for, none is fed, and the surplus one goes when it is free."""
    rig = Rig(2)
    running, queued = rig.fed(2)
    rig.recall(0, *queued)
    rig.scheduler.resize(1, rig.now)
    assert Retire(0) in rig.finish(running)
    assert rig.look() == []
    assert runs(rig.finish(rig.first[1])) == queued[:1]


def test_a_job_that_ends_among_others_and_was_to_be_killed_is_called_killed() -> None:
    """Whoever was told so is told no lie, though several answers are heard together."""
    rig = Rig(1)
    for _ in range(3):
        rig.submit()
    rig.finish(rig.first[0])
    (_, second), (_, third) = rig.look()[:2]
    running = rig.scheduler.running_jobs()[0]
    rig.scheduler.kill(running, rig.now)
    outcomes = [Outcome(Verdict.RETURNED, None, started=rig.now, ended=rig.now) for _ in range(3)]
    numbers = [running.number, second.number, third.number]
    told = settled(rig.scheduler.finished_in_turn(0, numbers, outcomes, rig.now))
    assert told == [
        (running, Verdict.KILLED),
        (second, Verdict.RETURNED),
        (third, Verdict.RETURNED),
    ]


def test_a_job_that_was_taken_back_can_be_killed() -> None:
    """It was told to run, so it cannot be cancelled any more: it is settled as killed, at once."""
    rig = Rig()
    running, [second] = rig.fed(1)
    running.announced = True
    rig.recall(0, running)
    assert settled(rig.scheduler.kill(running, rig.now)) == [(running, Verdict.KILLED)]
    assert runs(rig.finish(second)) == []
    assert rig.scheduler.unresolved() == []


def test_a_job_that_could_not_be_queued_waits() -> None:
    """A full queue is no harm: the job is handed over in its turn."""
    rig = Rig()
    running, [queued] = rig.fed(1)
    assert rig.scheduler.unqueued(0, queued, rig.now) == []
    assert runs(rig.finish(running)) == [queued]


def test_no_job_is_forgotten_when_no_worker_can_be_started_any_more() -> None:
    """A queued job whose worker dies after that is settled, since no other will come."""
    rig = Rig(2)
    rig.fed(2)
    scheduler = rig.scheduler
    commands = scheduler.lost(1, Loss(rig.now, rig.now), rig.now)
    commands += scheduler.unstartable(1, OSError(), True, rig.now)
    for command in commands:
        if isinstance(command, Recall):
            rig.recall(command.slot, *scheduler.slots.get(command.slot).ahead)  # type: ignore[union-attr]
    scheduler.lost(0, Loss(rig.now, rig.now), rig.now)
    scheduler.unstartable(0, OSError(), True, rig.now)
    assert scheduler.unresolved() == []


def test_a_worker_that_was_taken_for_ready_too_early_takes_no_job_along() -> None:
    """It has begun nothing, so its jobs wait; and as there will be no other, they are settled."""
    rig = Rig(2)
    running, queued = rig.fed(2)
    commands = rig.scheduler.unstartable(0, OSError(), True, rig.now)
    assert settled(commands)[:1] == [(running, Verdict.BROKEN)]
    assert {job for job, _ in settled(commands)} >= {running, *queued[:1]}


def test_urgency_is_compared_with_all_that_is_queued() -> None:
    """After some were taken back and queued anew, the least urgent may be an earlier one."""
    rig = Rig(2)
    running = [rig.submit(priority=0) for _ in range(2)]
    first, second, third, fourth = (rig.submit(priority=number) for number in range(1, 5))
    for job in rig.first:
        rig.finish(job)
    assert rig.look() == [(0, first), (1, second), (0, third), (1, fourth)]
    rig.recall(0, first, third)
    assert Begin(second) in rig.finish(running[1])
    assert rig.look() == [(1, first), (1, third)]
    new = Job(50, Call(int, (), {}), Options(priority=3), b"", rig.now)
    assert not rig.scheduler.may_stand_behind(new)


def test_an_idle_slot_gets_the_best_of_all_that_is_taken_back() -> None:
    """Not the best of the first queue that was emptied: another's may be more urgent."""
    rig = Rig(3)
    running = [rig.submit(priority=0) for _ in range(3)]
    jobs = [rig.submit(priority=number) for number in range(1, 5)]
    rig.finish(rig.first[0])
    rig.finish(rig.first[1])
    rig.finish(rig.first[2], took=1.0)
    assert rig.look() == [(0, jobs[0]), (1, jobs[1]), (0, jobs[2]), (1, jobs[3])]
    rig.finish(running[0])
    recalls = [c for c in rig.finish(running[2], took=1.0) if isinstance(c, Recall)]
    queued = {0: jobs[2:3], 1: [jobs[1], jobs[3]]}
    started = [
        job for recall in recalls for job in runs(rig.recall(recall.slot, *queued[recall.slot]))
    ]
    assert started == [jobs[1]]


# Against a world ------------------------------------------------------------------------------


@dataclass(eq=False)
class Worker:
    """What a worker has, and what its link knows: `current` and `ahead`, the rest is its own."""

    index: int
    up: bool = False
    fifo: deque[int] = field(default_factory=deque)
    hand: int | None = None
    answers: deque[int] = field(default_factory=deque)
    current: int | None = None
    ahead: deque[int] = field(default_factory=deque)


class World:
    """The engine, obedient as under the loop."""

    def __init__(self, slots: int) -> None:
        self.scheduler = Scheduler(slots, can_kill=True, queues=True)
        self.jobs: list[Job] = []
        self.workers: dict[int, Worker] = {}
        self.now = 100.0
        self.began: Counter[int] = Counter()
        self.settled: Counter[int] = Counter()
        self.cancelled: set[int] = set()
        self.told: set[int] = set()
        self.unheard: list[Job] = []
        self.closes = 0
        self.closing = False
        self.refuses = False
        self.between = 0  # which of those that are recalled the worker is quicker to take, as bits
        self.doomed: list[Worker] = []
        self.lanes = {"a": Lane("a"), "b": Lane("b")}

    def obey(self, commands: Sequence[Command]) -> None:
        """Obey, and whatever follows from that."""
        queue = deque(commands)
        while queue:
            queue.extend(self.do(queue.popleft()))
        while self.doomed:
            self.die(self.doomed.pop(), Verdict.KILLED)

    def turn(self, commands: list[Command]) -> None:
        """As a turn of the loop ends."""
        self.obey(commands)
        self.obey(self.scheduler.look_ahead(self.now))

    def letter(self, event: Any, *args: Any) -> None:
        """As the loop reads one."""
        commands = [] if self.stands_behind(event, args) else self.recall_all()
        self.turn([*commands, *event(*args, self.now)])

    def letters(self, jobs: Sequence[Job]) -> None:
        """As it reads those that bring jobs, one after another."""
        behind = [job for job in jobs if self.scheduler.may_stand_behind(job)]
        self.turn(self.scheduler.submitted_in_turn(behind, self.now))
        for job in jobs:
            if job not in behind:
                self.letter(self.scheduler.submitted, job)

    def stands_behind(self, event: Any, args: Any) -> bool:
        """Whether nothing is taken back for it."""
        return event == self.scheduler.submitted and self.scheduler.may_stand_behind(args[0])

    def recall_all(self) -> list[Command]:
        """Everything is taken back."""
        return [c for recall in self.scheduler.recall_all() for c in self.do(recall)]

    def do(self, command: Command) -> list[Command]:
        """Obey one command."""
        match command:
            case Run(slot, job):
                return self.run(self.workers[slot], job)
            case Queue(slot, jobs):
                return [command for job in jobs for command in self.queue(slot, job)]
            case Begin(job):
                job.ahead = False
                job.announced = True
            case Recall(slot):
                numbers = self.recall(self.workers[slot])
                return self.scheduler.recalled(slot, numbers, self.now)
            case _:
                self.do_more(command)
        return []

    def do_more(self, command: Command) -> None:
        """Obey what cannot lead to more."""
        match command:
            case Settle(job, _):
                self.settled[job.number] += 1
            case Start(slot):
                self.workers[slot] = Worker(slot)
            case Retire(slot):
                assert self.workers.pop(slot).current is None
            case Kill(slot, job, _, _):
                assert self.workers[slot].current == job.number
                self.doomed.append(self.workers[slot])
            case Close():
                self.closes += 1

    def run(self, worker: Worker, job: Job) -> list[Command]:
        """The best is handed over, unless it was cancelled meanwhile."""
        waiting = [
            other for other in self.jobs if other.place is not None and self.could_run(other)
        ]
        assert not [other for other in waiting if other.priority < job.priority]
        if job.number in self.cancelled:
            assert not job.announced
            return self.scheduler.cancelled(job, self.now)
        job.announced = True
        assert worker.up
        assert worker.current is None
        worker.current = job.number
        worker.fifo.append(job.number)
        return []

    def queue(self, slot: int, job: Job) -> list[Command]:
        """A job is to stand behind those of that worker."""
        worker = self.workers[slot]
        assert job.options.lane is None
        assert job.options.retries == 0
        if self.refuses or job.number in self.cancelled:
            return self.scheduler.unqueued(slot, job, self.now)
        assert worker.current is not None
        worker.ahead.append(job.number)
        worker.fifo.append(job.number)
        return []

    def could_run(self, job: Job) -> bool:
        """Whether its lane is free."""
        taken = {other.options.lane for other in self.jobs if other.state is State.RUNNING}
        return job.options.lane is None or job.options.lane not in taken

    def work(self, worker: Worker) -> None:
        """It ends what it has in hand, or takes the next."""
        if worker.hand is not None:
            worker.answers.append(worker.hand)
            worker.hand = None
        elif worker.fifo:
            self.take(worker)

    def take(self, worker: Worker) -> None:
        """It begins the next; where it has one in hand, it ends that."""
        if worker.hand is not None:
            worker.answers.append(worker.hand)
        worker.hand = worker.fifo.popleft()
        self.began[worker.hand] += 1
        assert worker.hand not in self.cancelled
        assert self.began[worker.hand] <= 1 + self.jobs[worker.hand].options.retries

    def recall(self, worker: Worker) -> list[int]:
        """Take back what has not begun, while the worker goes on taking."""
        if not worker.ahead:
            return []
        back: set[int] = set()
        bits = self.between
        while worker.fifo:
            if bits % 2:
                self.take(worker)
            else:
                back.add(worker.fifo.popleft())
            bits //= 2
        assert worker.current is not None
        order = [worker.current, *worker.ahead]
        rest = deque(number for number in order if number not in back)
        if not rest:
            back.remove(worker.current)
            worker.fifo.append(worker.current)
            rest.append(worker.current)
        worker.current = rest.popleft()
        worker.ahead = rest
        return [number for number in order if number in back]

    def deliver(self, worker: Worker, took: float) -> list[Command]:
        """Its oldest answer is heard."""
        return self.scheduler.finished(worker.index, *self.answer(worker, took), True, self.now)

    def deliver_in_turn(self, worker: Worker, took: float, count: int) -> list[Command]:
        """So many answers are heard together, each of a job that was queued behind the one before."""
        answers = [self.answer(worker, took) for _ in range(count)]
        numbers, outcomes = [n for n, _ in answers], [outcome for _, outcome in answers]
        return self.scheduler.finished_in_turn(worker.index, numbers, outcomes, self.now)

    def answer(self, worker: Worker, took: float) -> tuple[int, Outcome]:
        """Its oldest answer."""
        number = worker.answers.popleft()
        assert number == worker.current
        worker.current = worker.ahead.popleft() if worker.ahead else None
        return number, Outcome(Verdict.RETURNED, None, started=self.now - took, ended=self.now)

    def die(self, worker: Worker, reason: Verdict | None) -> None:
        """It is gone, after its last words."""
        while worker.answers:
            self.obey(self.deliver(worker, 0.0))
        if self.workers.get(worker.index) is not worker:
            return
        begun = self.now if worker.hand is not None and worker.hand == worker.current else None
        self.workers[worker.index] = Worker(worker.index)
        loss = Loss(begun, self.now, reason=reason)
        self.turn(self.scheduler.lost(worker.index, loss, self.now))

    def check(self) -> None:
        """Each job is in one place, and nowhere when it is over."""
        slots = list(self.scheduler.slots)
        for job in self.jobs:
            places = [slot for slot in slots if slot.job is job]
            queues = [slot for slot in slots for other in slot.ahead if other is job]
            waits, runs_, is_over = job.place is not None, bool(places), job.state is State.DONE
            assert [waits, runs_, bool(queues), is_over].count(True) == 1, job
            assert len(places) <= 1
            assert len(queues) <= 1
            assert runs_ == (job.state is State.RUNNING)
            assert self.settled[job.number] == is_over
        for slot in slots:
            worker = self.workers.get(slot.index)
            if worker is not None:
                current = slot.job.number if slot.job is not None else None
                assert worker.current == current
                assert list(worker.ahead) == [job.number for job in slot.ahead]
        waiting = sum(job.state is State.WAITING for job in self.jobs)
        assert self.scheduler.waiting == waiting
        assert self.closes == (self.closing and all(j.state is State.DONE for j in self.jobs))
        held_up = [
            job
            for job in self.jobs
            if job.state is State.WAITING and not self.began[job.number] and self.could_run(job)
        ]
        assert not (self.scheduler.slots.idle and held_up and not self.scheduler.paused)


picks = st.integers(0, 31)


class LookaheadAgainstWorld(RuleBasedStateMachine):
    """Whatever happens in whatever order, no job is lost, begun twice, or begun after all."""

    world: World

    @initialize(slots=st.integers(1, 3), count=st.integers(0, 12))
    def begin(self, slots: int, count: int) -> None:
        """Warm workers, and jobs to begin with."""
        self.world = World(slots)
        self.submit(count, 1, limited=False)
        self.ready()

    def pick(self, things: list[Any], number: int) -> Any:
        """One of them, or None."""
        return things[number % len(things)] if things else None

    @precondition(lambda self: not self.world.closing)
    @rule(
        count=st.integers(1, 6),
        priority=st.integers(0, 2),
        limited=st.sampled_from([False] * 9 + [True]),
        lane=st.sampled_from([None] * 6 + ["a", "b"]),
        retries=st.sampled_from([0] * 6 + [1]),
        together=st.booleans(),
    )
    def submit(
        self,
        count: int,
        priority: int,
        limited: bool,
        lane: str | None = None,
        retries: int = 0,
        together: bool = False,
    ) -> None:
        """Jobs come."""
        world = self.world
        for _ in range(count):
            timeout = 1e6 if limited else None
            options = Options(priority=priority, timeout=timeout, lane=lane, retries=retries)
            job = Job(len(world.jobs), Call(int, (), {}), options, b"", world.now)
            job.lane = None if lane is None else world.lanes[lane]
            world.jobs.append(job)
            if not together:
                world.letter(world.scheduler.submitted, job)
        if together:
            world.letters(world.jobs[-count:])

    @rule()
    def ready(self) -> None:
        """Workers come up."""
        world = self.world
        for worker in list(world.workers.values()):
            if not worker.up and worker.index in world.workers:
                worker.up = True
                world.turn(world.scheduler.ready(worker.index, 1, world.now))

    @rule(number=picks, steps=st.integers(1, 8))
    def work(self, number: int, steps: int) -> None:
        """A worker goes on, and nobody hears of it."""
        worker = self.pick(list(self.world.workers.values()), number)
        for _ in range(steps if worker else 0):
            self.world.work(worker)

    @rule(
        number=picks,
        count=st.integers(1, 4),
        quick=st.sampled_from([True, True, True, False]),
        together=st.booleans(),
    )
    def hear(self, number: int, count: int, quick: bool, together: bool = False) -> None:
        """Answers of a worker are heard, several in one turn."""
        world = self.world
        worker = self.pick([w for w in world.workers.values() if w.answers], number)
        commands: list[Command] = []
        if worker is not None and together:
            count = min(count, len(worker.answers), 1 + len(worker.ahead))
            commands += world.deliver_in_turn(worker, QUICK / 2 if quick else QUICK * 2, count)
            count = 0
        while worker is not None and worker.answers and count:
            commands += world.deliver(worker, QUICK / 2 if quick else QUICK * 2)
            count -= 1
        world.turn(commands)

    @rule(number=picks, steps=st.integers(1, 3))
    def flow(self, number: int, steps: int) -> None:
        """A worker does a job, which is heard at once; again and again."""
        for _ in range(steps):
            self.work(number, 2)
            self.hear(number, 1, quick=True)

    @rule(between=st.integers(0, 1023), refuses=st.sampled_from([False] * 4 + [True]))
    def fate(self, between: int, refuses: bool) -> None:
        """How the next jobs are taken back, and whether queues have room."""
        self.world.between, self.world.refuses = between, refuses

    @rule(number=picks, heard=st.booleans())
    def cancel(self, number: int, heard: bool) -> None:
        """A future is cancelled: one that is not queued at once, else it is taken back first."""
        world = self.world
        jobs = [j for j in world.jobs if j.state is State.WAITING and not j.announced]
        job = self.pick([j for j in jobs if j.number not in world.cancelled], number)
        if job is None:
            return
        if job.ahead:
            world.turn(world.recall_all())
            if job.ahead or job.announced or job.state is not State.WAITING:
                return
        world.cancelled.add(job.number)
        if heard:
            world.letter(world.scheduler.cancelled, job)
        else:
            world.unheard.append(job)

    @rule()
    def hear_of_it(self) -> None:
        """The scheduler hears of a future that was cancelled."""
        if self.world.unheard:
            self.world.letter(self.world.scheduler.cancelled, self.world.unheard.pop())

    @rule(number=picks)
    def kill(self, number: int) -> None:
        """A job is killed that runs, or was told to."""
        world = self.world
        jobs = [j for j in world.jobs if j.announced and j.state is not State.DONE]
        job = self.pick(jobs, number)
        if job is not None:
            world.letter(world.scheduler.kill, job)

    @rule(number=picks, priority=st.integers(0, 3))
    def reprioritize(self, number: int, priority: int) -> None:
        """A job gets another priority."""
        world = self.world
        job = self.pick(world.jobs, number)
        if job is not None:
            world.letter(world.scheduler.reprioritized, job, priority)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        """A pause, or its end."""
        scheduler = self.world.scheduler
        self.world.letter(scheduler.pause if paused else scheduler.resume)

    @rule(count=st.integers(1, 4))
    def resize(self, count: int) -> None:
        """More slots, or fewer."""
        self.world.letter(self.world.scheduler.resize, count)

    @rule(number=picks)
    def die(self, number: int) -> None:
        """A worker dies."""
        worker = self.pick([w for w in self.world.workers.values() if w.up], number)
        if worker is not None and not self.world.closes:
            self.world.die(worker, None)

    @rule()
    def sleep(self) -> None:
        """The loop sleeps for a while, and serves what is due."""
        world = self.world
        world.now += PATIENCE
        world.turn(world.scheduler.tick(world.now))

    @precondition(lambda self: not self.world.closing)
    @rule(really=st.sampled_from([False] * 9 + [True]), cancel=st.booleans())
    def close(self, really: bool, cancel: bool) -> None:
        """No more jobs."""
        if really:
            self.world.closing = True
            self.world.letter(_closing(self.world.scheduler, cancel))

    @invariant()
    def is_right(self) -> None:
        """What must be true after each."""
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """Once all is let run to its end, all is settled, once, and closed, once."""
        if not hasattr(self, "world"):
            return
        world = self.world
        while world.unheard:
            self.hear_of_it()
        if not world.closing:
            self.close(really=True, cancel=False)
        for _ in range(10 * len(world.jobs) + 10):
            if world.closes:
                break
            self.ready()
            for worker in list(world.workers.values()):
                world.work(worker)
                if worker.answers:
                    world.turn(world.deliver(worker, 0.0))
        assert world.closes == 1
        assert all(world.settled[job.number] == 1 for job in world.jobs)
        returned = world.scheduler.settled[Verdict.RETURNED]
        assert returned <= sum(world.began.values())
        assert world.scheduler.unresolved() == []


def _closing(scheduler: Scheduler, cancel: bool) -> Any:
    return lambda now: scheduler.close(now, cancel=cancel)


TestLookaheadAgainstWorld = LookaheadAgainstWorld.TestCase
TestLookaheadAgainstWorld.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, report_multiple_bugs=False
)

"""Jobs that ran ahead of their turn, and whose end was heard together with that of others."""

from __future__ import annotations

import functools
from typing import Any

from ezpq_exec import PriorityExecutor
from ezpq_exec.commands import Kill
from ezpq_exec.desk import Desk
from ezpq_exec.engines.channel import SMALL
from ezpq_exec.jobs import Call, Job, Outcome, State, Verdict
from ezpq_exec.options import Options
from ezpq_exec.scheduler import Scheduler
from gates import PATIENCE


def ran_in_turn(ex: PriorityExecutor) -> Any:
    """The future of a job of which nobody was told that it began."""
    for _ in range(100):
        for future in [ex.submit(abs, -1) for _ in range(2000)]:
            future.result(PATIENCE)
            if future._job.ahead:
                return future
    raise AssertionError("no job ever ran ahead of its turn and ended among others")


def test_a_job_that_is_over_can_be_killed_no_more_and_nobody_waits_for_that() -> None:
    """Though it is still marked as queued: the question is answered, and the loop goes on to sleep."""
    with PriorityExecutor(2) as ex:
        future = ran_in_turn(ex)
        assert not future.kill()
        assert not ex._loop.kill(future._job)  # as where it ends between two looks at it
        assert not future.reprioritize(1)
        assert ex.submit(abs, -2).result(PATIENCE) == 2


def test_what_cannot_go_ahead_among_others_runs_in_its_turn() -> None:
    """Some jobs among many tiny ones are too large to stand behind another."""
    sizes = [2 * SMALL if number % 7 == 0 else number for number in range(3000)]
    with PriorityExecutor(2) as ex:
        futures = [ex.submit(len, bytes(size)) for size in sizes]
        assert [future.result(PATIENCE) for future in futures] == sizes


def test_whoever_wants_to_hear_of_its_start_does() -> None:
    """At once, as it has begun."""
    with PriorityExecutor(2) as ex:
        future = ran_in_turn(ex)
        heard: list[object] = []
        future.add_start_listener(heard.append)
        assert heard == [future]


def test_what_has_begun_in_the_queue_unheard_is_aborted_as_well() -> None:
    """Its predecessor's answer is under way: the abort is carried out again when that was heard."""
    scheduler = Scheduler(1, can_kill=True, queues=True)
    jobs = [Job(n, Call(abs, (n,), {}), Options(), b"", 0.0) for n in range(1, 5)]
    scheduler.submitted_in_turn(jobs, 0.0)
    scheduler.ready(0, 1, 0.0)
    quick = Outcome(Verdict.RETURNED, None, started=0.0, ended=1e-6)
    scheduler.finished(0, 1, quick, True, 0.1)
    ((_, queued),) = scheduler.look_ahead(0.1)
    assert [job.number for job in queued] == [3, 4]
    scheduler.recall_all()
    scheduler.recalled(0, [4], 0.2)  # the worker is at 3, as nobody has heard yet
    posted: list[Any] = []

    class Again(Desk):
        """As much of a desk as an abort needs."""

        def __init__(self) -> None:  # no thread
            self._scheduler = scheduler

        def post_next(self, event: Any, *args: Any) -> None:
            posted.append(functools.partial(event, *args))

    kills = [c for c in Again()._abort(0.2, gentle=False) if isinstance(c, Kill)]
    assert [kill.job.number for kill in kills] == [2]
    scheduler.finished(0, 2, quick, True, 0.3)  # it had ended before it could be killed
    assert jobs[2].state is State.RUNNING
    (again,) = posted
    kills = [c for c in again(0.3) if isinstance(c, Kill)]
    assert [kill.job.number for kill in kills] == [3]
    assert len(posted) == 1

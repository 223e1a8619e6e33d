"""What runs next: the most urgent first, equals in the order of submission, none too late."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from conftest import Maker, eventually
from ezpq_exec import JobFuture, JobTimeout, PriorityExecutor, QueueTimeout, Verdict
from gates import PATIENCE, Gate, hold
from workload import add, say_and_return


class Line:
    """One worker that is held, so that what is submitted meanwhile waits in its order."""

    def __init__(self, executor: PriorityExecutor, gate: Gate) -> None:
        self.executor = executor
        self.gate = gate
        self.holder = executor.submit(hold, gate.path)
        gate.heard()

    def add(self, label: str, **options: Any) -> JobFuture[Any]:
        """Have a job wait that says its label when it runs."""
        return self.executor.options(**options).submit(say_and_return, self.gate.path, label)

    def order(self, count: int) -> list[str]:
        """Let the worker go on, and see in which order `count` jobs ran."""
        self.gate.open()
        return self.gate.heard(count)


@pytest.fixture
def line(make_executor: Maker, gate: Gate) -> Line:
    """A line before one worker of each engine in turn."""
    return Line(make_executor(1), gate)


def test_lower_priorities_run_first(line: Line) -> None:
    priorities = list(range(40))
    random.Random(5).shuffle(priorities)
    for priority in priorities:
        line.add(str(priority), priority=priority)
    assert line.order(40) == [str(n) for n in range(40)]


def test_equals_run_in_the_order_of_submission(line: Line) -> None:
    for n in range(40):
        line.add(str(n), priority=7)
    assert line.order(40) == [str(n) for n in range(40)]


def test_any_numbers_rank_together_and_the_default_is_100(line: Line) -> None:
    ranks: Iterable[Any] = [Fraction(201, 2), 99.5, Decimal(101), -1, float("inf"), float("-inf")]
    for rank in ranks:
        line.add(str(rank), priority=rank)
    line.add("default")
    assert line.order(7) == ["-inf", "-1", "99.5", "default", "201/2", "101", "inf"]


def test_a_job_is_moved_ahead_of_those_that_came_before_and_after(line: Line) -> None:
    line.add("a")
    moved = line.add("b")
    line.add("c")
    assert moved.reprioritize(50)
    assert moved.priority == 50
    line.add("d")
    line.add("e", priority=60)
    assert line.order(5) == ["b", "e", "a", "c", "d"]
    assert moved.info.priority == 50


def test_a_job_that_is_moved_among_equals_keeps_the_order_of_submission(line: Line) -> None:
    first = line.add("first", priority=200)
    line.add("second", priority=100)
    line.add("third", priority=100)
    assert first.reprioritize(100)
    assert line.order(3) == ["first", "second", "third"]


def test_a_job_is_moved_behind_and_back_as_often_as_one_likes(line: Line) -> None:
    moved = line.add("moved")
    line.add("fixed", priority=50)
    for priority in (1, 99, 3, 1000, 49, 51):
        assert moved.reprioritize(priority)
    assert line.order(2) == ["fixed", "moved"]


def test_a_job_that_no_longer_waits_is_not_moved(line: Line) -> None:
    assert not line.holder.reprioritize(1)
    cancelled = line.add("cancelled")
    cancelled.cancel()
    assert not cancelled.reprioritize(1)
    line.gate.open()
    line.holder.result(PATIENCE)
    assert not line.holder.reprioritize(1)


def test_a_job_that_waits_too_long_expires_and_never_runs(line: Line) -> None:
    late = line.add("late", queue_timeout=0.2)
    line.add("patient", queue_timeout=PATIENCE)
    error = late.exception(PATIENCE)
    assert isinstance(error, QueueTimeout)
    assert isinstance(error, JobTimeout)
    assert error.timeout == 0.2
    assert late.info.verdict is Verdict.EXPIRED
    assert late.info.started is None
    assert late.info.pid is None
    assert line.holder.running()
    line.add("last", priority=1000)
    assert line.order(2) == ["patient", "last"]


def test_a_job_that_started_within_its_queue_timeout_runs_on(
    make_executor: Maker, gate: Gate
) -> None:
    future = make_executor(1).options(queue_timeout=2).submit(hold, gate.path)
    gate.heard()
    assert not wait([future], timeout=2.2).done
    gate.open()
    assert isinstance(future.result(PATIENCE), int)


def test_a_job_expires_while_the_executor_is_paused(make_executor: Maker) -> None:
    executor = make_executor(1)
    executor.pause()
    future = executor.options(queue_timeout=0.1).submit(add, 1, 1)
    assert isinstance(future.exception(PATIENCE), QueueTimeout)


def test_paused_nothing_starts_and_what_runs_goes_on(line: Line) -> None:
    line.executor.pause()
    waiting = line.add("waiting")
    line.gate.open()
    line.holder.result(PATIENCE)
    stats = line.executor.stats()
    assert (stats.waiting, stats.running) == (1, 0)
    assert not waiting.running()
    line.executor.resume()
    assert waiting.result(PATIENCE) == "waiting"


def test_what_came_while_paused_runs_in_its_order(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    executor.pause()
    for n in (3, 1, 2):
        executor.options(priority=n).submit(say_and_return, gate.path, n)
    executor.resume()
    assert gate.heard(3) == ["1", "2", "3"]


def test_shutdown_finishes_what_waits_in_a_paused_executor(make_executor: Maker) -> None:
    executor = make_executor(1)
    executor.pause()
    future = executor.submit(add, 1, 1)
    executor.shutdown()
    assert future.result(0) == 2


def test_more_slots_take_waiting_jobs_at_once(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    futures = [executor.submit(hold, gate.path) for _ in range(3)]
    gate.heard(1)
    assert executor.stats().waiting == 2
    executor.resize(3)
    assert executor.max_workers == 3
    gate.heard(2)
    assert sum(future.running() for future in futures) == 3
    gate.open(3)


def test_fewer_slots_interrupt_nothing_and_start_less(
    make_executor: Maker, gate: Gate, make_gate: Callable[[], Gate]
) -> None:
    executor = make_executor(3)
    second = make_gate()
    before = [executor.submit(hold, gate.path) for _ in range(3)]
    gate.heard(3)
    executor.resize(1)
    after = [executor.submit(hold, second.path) for _ in range(2)]
    stats = executor.stats()
    assert (stats.running, stats.waiting) == (3, 2)
    gate.open(3)
    for future in before:
        assert isinstance(future.result(PATIENCE), int)
    second.heard(1)
    stats = executor.stats()
    assert (stats.running, stats.waiting) == (1, 1)
    second.open(2)
    for future in after:
        future.result(PATIENCE)
    assert executor.stats().workers_retired == 2


def test_no_more_jobs_run_at_once_than_there_are_workers(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    futures = [executor.submit(hold, gate.path) for _ in range(6)]
    left = 6
    while left:
        left -= 2
        gate.heard(2)
        # Where jobs are handed over ahead, that one has begun is known when another's end is heard.
        assert eventually(lambda: executor.stats().waiting == left)  # noqa: B023 - called at once
        assert executor.stats().running == 2
        assert sum(future.running() for future in futures) == 2
        gate.open(2)
    for future in futures:
        future.result(PATIENCE)
    assert executor.stats().settled == {Verdict.RETURNED: 6}

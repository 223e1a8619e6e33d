"""Closing while busy, and workers that do not take what they are sent."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from conftest import Maker, descendants, is_gone
from ezpq_exec import JobKilled, JobTimeout, PriorityExecutor, Verdict, wreck
from ezpq_exec.commands import Command
from ezpq_exec.hearing import Hearing
from ezpq_exec.reports import Report, Stopped
from gates import PATIENCE, Gate, hold
from workload import add, forever

HUGE = 64 * 1024 * 1024


def test_shutdown_waits_for_what_runs_and_for_what_waits(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    held = [executor.submit(hold, gate.path) for _ in range(2)]
    waiting = [executor.submit(add, n, 1) for n in range(10)]
    gate.heard(2)
    closer = threading.Thread(target=executor.shutdown)
    closer.start()
    closer.join(0.2)
    assert closer.is_alive()
    assert not any(future.done() for future in (*held, *waiting))
    gate.open(2)
    closer.join(PATIENCE)
    assert not closer.is_alive()
    assert all(future.done() for future in held)
    assert [future.result(0) for future in waiting] == list(range(1, 11))


def test_shutdown_without_waiting_comes_back_and_all_is_still_done(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    held = executor.submit(hold, gate.path)
    waiting = executor.submit(add, 1, 1)
    gate.heard()
    executor.shutdown(wait=False)
    assert not held.done()
    gate.open()
    assert waiting.result(PATIENCE) == 2


def test_shutdown_can_cancel_what_waits(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    held = executor.submit(hold, gate.path)
    waiting = [executor.submit(add, n, 1) for n in range(10)]
    gate.heard()
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    executor.shutdown()
    assert isinstance(held.result(0), int)
    assert all(future.cancelled() for future in waiting)
    assert executor.stats().settled == {Verdict.RETURNED: 1, Verdict.CANCELLED: 10}


def test_what_waits_can_be_cancelled_by_a_second_shutdown(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    executor.submit(hold, gate.path)
    waiting = executor.submit(add, 1, 1)
    gate.heard()
    executor.shutdown(wait=False)
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    executor.shutdown()
    assert waiting.cancelled()


@pytest.mark.needs("kills")
def test_a_job_that_never_ends_ends_at_its_timeout_in_a_closing_executor(
    make_executor: Maker,
) -> None:
    executor = make_executor(1)
    future = executor.options(timeout=0.3).submit(forever)
    executor.shutdown()
    assert isinstance(future.exception(0), JobTimeout)


def test_an_executor_that_never_had_a_job_is_shut_down(make_executor: Maker) -> None:
    before = descendants()
    make_executor(3).shutdown()
    assert not descendants() - before


def test_many_may_shut_down_at_once_while_others_submit(make_executor: Maker) -> None:
    executor = make_executor(2)
    results: list[object] = []

    def submit() -> None:
        try:
            for n in range(1000):
                results.append(executor.submit(add, n, 1))
        except RuntimeError as error:
            results.append(error)

    submitters = [threading.Thread(target=submit) for _ in range(3)]
    for thread in submitters:
        thread.start()
    closers = [threading.Thread(target=executor.shutdown) for _ in range(3)]
    for thread in closers:
        thread.start()
    for thread in submitters + closers:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    accepted = [result for result in results if not isinstance(result, RuntimeError)]
    assert sum(executor.stats().settled.values()) == len(accepted)


@pytest.mark.needs("kills")
def test_stats_and_kill_come_back_though_the_executor_is_closed(make_executor: Maker) -> None:
    executor = make_executor(1)
    future = executor.submit(add, 1, 1)
    executor.shutdown()
    assert executor.stats().running == 0
    assert not future.kill()
    assert not future.reprioritize(1)
    executor.pause()
    executor.resume()
    executor.resize(3)
    assert executor.stats().waiting == 0


class StoppedWorker:
    """Two workers, of which one is held by a job; the other is idle, and stopped."""

    def __init__(self, executor: PriorityExecutor, first: Gate, second: Gate) -> None:
        self.executor = executor
        self.sibling_gate = first
        self.sibling = executor.submit(hold, first.path)
        first.heard()
        other = executor.submit(hold, second.path)
        self.pid = second.pids()[0]
        second.open()
        other.result(PATIENCE)
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, if it is still there."""
        if not is_gone(self.pid):
            os.kill(self.pid, signal.SIGCONT)


@pytest.fixture
def stopped(make_executor: Maker, make_gate: Callable[[], Gate]) -> Iterator[StoppedWorker]:
    """A worker that takes nothing, beside one that does."""
    worker = StoppedWorker(make_executor(2), make_gate(), make_gate())
    yield worker
    worker.resume()


# A lender's workers may share a queue, and one that is stopped may be the one that reads it.
@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_a_huge_argument_for_a_stopped_worker_holds_up_no_sibling(stopped: StoppedWorker) -> None:
    huge = stopped.executor.submit(len, bytes(HUGE))
    stopped.sibling_gate.open()
    stopped.sibling.result(PATIENCE)
    for n in range(20):
        assert stopped.executor.submit(add, n, 1).result(PATIENCE) == n + 1
    assert not huge.done()
    stopped.resume()
    assert huge.result(PATIENCE) == HUGE


@pytest.mark.needs("kills", "isolates")
def test_a_huge_argument_for_a_stopped_worker_has_a_timeout_too(stopped: StoppedWorker) -> None:
    huge = stopped.executor.options(timeout=0.5).submit(len, bytes(HUGE))
    assert isinstance(huge.exception(PATIENCE), JobTimeout)
    assert is_gone(stopped.pid)
    stopped.sibling_gate.open()
    assert isinstance(stopped.sibling.result(PATIENCE), int)
    assert stopped.executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.needs("kills", "isolates")
def test_a_huge_argument_for_a_stopped_worker_can_be_killed(stopped: StoppedWorker) -> None:
    huge = stopped.executor.submit(len, bytes(HUGE))
    while not huge.running():
        time.sleep(0.001)
    assert huge.kill()
    assert isinstance(huge.exception(PATIENCE), JobKilled)
    assert is_gone(stopped.pid)


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_a_huge_argument_for_a_worker_that_dies_goes_to_the_next(stopped: StoppedWorker) -> None:
    huge = stopped.executor.submit(len, bytes(HUGE))
    while not huge.running():
        time.sleep(0.001)
    os.kill(stopped.pid, signal.SIGKILL)
    assert huge.result(PATIENCE) == HUGE


@pytest.mark.needs("isolates")
def test_huge_results_of_siblings_all_arrive(make_executor: Maker) -> None:
    futures = [make_executor(2).submit(bytes, HUGE) for _ in range(2)]
    assert [len(future.result(PATIENCE)) for future in futures] == [HUGE, HUGE]


def test_that_its_end_was_not_heard_of_is_no_trouble(
    make_executor: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect strikes the loop when its engine has just stopped: that is closed again, and says so."""
    hear = Hearing.hear

    def deaf(hearing: Hearing, report: Report, now: float) -> list[Command]:
        if type(report) is Stopped:
            raise RuntimeError("a defect")
        return hear(hearing, report, now)

    monkeypatch.setattr(Hearing, "hear", deaf)
    monkeypatch.setattr(wreck, "PATIENCE", PATIENCE)
    executor = make_executor(1)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    with caplog.at_level(logging.CRITICAL, "ezpq_exec"):
        executor.shutdown()
    assert [record.getMessage() for record in caplog.records] == ["the loop failed"]

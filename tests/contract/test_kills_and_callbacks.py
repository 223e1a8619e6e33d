"""Kills and callbacks: a future resolves once, whatever meets, and a callback hurts nobody."""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import Future, wait

import pytest

from conftest import Maker
from ezpq_exec import JobKilled, Verdict
from gates import PATIENCE, Gate, hold
from workload import add, fail, forever, sleep_for


@pytest.mark.needs("kills")
def test_kill_ends_a_job_that_runs(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    future = executor.submit(hold, gate.path)
    pid = gate.pids()[0]
    assert future.kill()
    error = future.exception(PATIENCE)
    assert isinstance(error, JobKilled)
    assert error.pid == pid
    assert future.info.verdict is Verdict.KILLED
    assert not future.kill()
    assert executor.stats().workers_killed == 1


def test_kill_cancels_a_job_that_waits(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    executor.submit(hold, gate.path)
    gate.heard()
    future = executor.submit(add, 1, 1)
    assert future.kill()
    assert future.cancelled()


@pytest.mark.lacks("kills")
def test_kill_says_that_it_cannot(make_executor: Maker, gate: Gate) -> None:
    future = make_executor(1).submit(hold, gate.path)
    pid = gate.pids()[0]
    assert not future.kill()
    gate.open()
    assert future.result(PATIENCE) == pid


@pytest.mark.needs("kills")
def test_kill_after_the_end_hurts_nobody(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    done = executor.submit(add, 1, 1)
    done.result(PATIENCE)
    running = executor.submit(hold, gate.path)
    pid = gate.pids()[0]
    assert not done.kill()
    gate.open()
    assert running.result(PATIENCE) == pid


@pytest.mark.needs("kills")
def test_kill_meeting_completion_resolves_once_and_harms_no_other_job(
    make_executor: Maker,
) -> None:
    executor = make_executor(2)
    chance = random.Random(11)
    ends = {Verdict.RETURNED: 0, Verdict.KILLED: 0, Verdict.CANCELLED: 0}
    calls: list[object] = []
    for n in range(150):
        future = executor.submit(sleep_for, chance.uniform(0, 0.002))
        future.add_done_callback(calls.append)
        following = executor.submit(add, n, 1)
        time.sleep(chance.uniform(0, 0.004))
        told = future.kill()
        wait([future], PATIENCE)
        assert future.done()
        verdict = future.info.verdict
        assert verdict in ends
        ends[verdict] += 1
        assert told == (verdict is not Verdict.RETURNED)
        assert following.result(PATIENCE) == n + 1
    executor.shutdown()
    assert len(calls) == len(set(calls)) == 150


@pytest.mark.needs("kills")
def test_a_timeout_meeting_completion_resolves_once_and_harms_no_other_job(
    make_executor: Maker,
) -> None:
    executor = make_executor(2)
    chance = random.Random(12)
    for n in range(100):
        future = executor.options(timeout=0.01).submit(sleep_for, chance.uniform(0.005, 0.015))
        following = executor.submit(add, n, 1)
        wait([future], PATIENCE)
        assert future.info.verdict in {Verdict.RETURNED, Verdict.TIMED_OUT}
        assert following.result(PATIENCE) == n + 1
    settled = executor.stats().settled
    assert sum(settled.values()) == 200


def test_a_callback_that_blocks_holds_up_no_job(make_executor: Maker) -> None:
    executor = make_executor(1)
    entered, leave = threading.Event(), threading.Event()

    def block(_: object) -> None:
        entered.set()
        leave.wait(PATIENCE)

    first = executor.submit(add, 1, 1)
    first.add_done_callback(block)
    try:
        assert entered.wait(PATIENCE)
        assert [executor.submit(add, n, 1).result(PATIENCE) for n in range(20)] == list(
            range(1, 21)
        )
        assert executor.stats().running == 0
    finally:
        leave.set()


def test_a_callback_that_raises_is_logged_and_the_others_are_called(
    make_executor: Maker, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    executor = make_executor(1)
    future = executor.submit(hold, gate.path)
    calls: list[object] = []
    future.add_done_callback(calls.append)
    future.add_done_callback(lambda _: fail(ValueError, "in the callback"))
    future.add_done_callback(lambda _: fail(SystemExit, "and out"))
    future.add_done_callback(calls.append)
    gate.heard()
    with caplog.at_level(logging.ERROR):
        gate.open()
        executor.shutdown()
    assert calls == [future, future]
    assert "in the callback" in caplog.text
    assert executor.stats().settled == {Verdict.RETURNED: 1}


def test_a_callback_may_submit_wait_and_ask(make_executor: Maker) -> None:
    executor = make_executor(1)
    answers: list[object] = []
    asked = threading.Event()

    def ask(future: Future[int]) -> None:
        answers.append(executor.submit(add, future.result(), 1).result(PATIENCE))
        answers.append(executor.stats().waiting)
        asked.set()

    executor.submit(add, 1, 1).add_done_callback(ask)
    assert asked.wait(PATIENCE)
    assert answers == [3, 0]


def test_a_callback_added_to_a_done_future_is_called_at_once(make_executor: Maker) -> None:
    future = make_executor(1).submit(add, 1, 1)
    future.result(PATIENCE)
    calls: list[object] = []
    future.add_done_callback(calls.append)
    assert calls == [future]


@pytest.mark.needs("kills")
def test_kill_ends_a_job_in_an_executor_that_is_shut_down(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    future = executor.submit(forever)
    executor.shutdown(wait=False)
    while not future.running():
        time.sleep(0.001)
    assert future.kill()
    executor.shutdown()
    assert isinstance(future.exception(0), JobKilled)

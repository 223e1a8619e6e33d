"""A job that runs for longer than its timeout ends, whatever it is doing, and says where it was."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable

import pytest

from conftest import Maker, is_gone
from ezpq_exec import JobTimeout, PriorityExecutor, Verdict
from gates import PATIENCE, Gate, hold
from workload import (
    STUBBORN,
    HangsInSetstate,
    add,
    echo,
    forever,
    hold_the_gil,
    numbers_to_add_for,
    say_and_return,
)


def timeout_of(
    executor: PriorityExecutor, function: Callable[..., object], *args: object
) -> JobTimeout:
    """Run it with a short timeout, and return what its future raises."""
    error = executor.options(timeout=0.3).submit(function, *args).exception(PATIENCE)
    assert isinstance(error, JobTimeout), error
    return error


@pytest.mark.needs("kills", "isolates")
@pytest.mark.parametrize("habit", STUBBORN)
def test_a_job_is_ended_though_it(make_executor: Maker, habit: str) -> None:
    executor = make_executor(1)
    error = timeout_of(executor, STUBBORN[habit])
    assert error.pid is not None
    assert is_gone(error.pid)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.needs("kills", "isolates", "stacks")
def test_a_job_is_ended_though_it_hangs_while_its_argument_is_unpickled(
    make_executor: Maker,
) -> None:
    executor = make_executor(1)
    error = timeout_of(executor, echo, HangsInSetstate())
    assert error.stack is not None
    assert "hang_while_unpickling" in error.stack
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.needs("kills", "isolates", "stacks")
@pytest.mark.parametrize(("job", "name"), [(forever, "forever"), (hold_the_gil, "hold_the_gil")])
def test_the_error_tells_pid_timeout_and_where_it_was(
    make_executor: Maker, job: Callable[[], None], name: str
) -> None:
    executor = make_executor(1)
    pid = executor.submit(os.getpid).result(PATIENCE)
    error = timeout_of(executor, job)
    assert error.pid == pid
    assert error.timeout == 0.3
    assert error.stack is not None
    assert f"in {name}" in error.stack
    assert error.survivors == ()
    assert isinstance(error, TimeoutError)


@pytest.mark.needs("kills")
def test_the_error_pickles_with_all_that_it_tells(make_executor: Maker) -> None:
    error = timeout_of(make_executor(1), forever)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is JobTimeout
    assert (copy.pid, copy.timeout, copy.stack) == (error.pid, error.timeout, error.stack)
    assert str(copy) == str(error)


@pytest.mark.needs("kills")
def test_the_info_of_a_job_that_timed_out_says_so(make_executor: Maker) -> None:
    future = make_executor(1).options(timeout=0.3, name="slow").submit(forever)
    error = future.exception(PATIENCE)
    info = future.info
    assert info.verdict is Verdict.TIMED_OUT
    assert info.exception is error
    assert info.timeout == 0.3
    assert info.runtime is not None
    assert info.runtime >= 0.3
    assert "slow" in str(error)


def test_the_clock_starts_with_the_job_not_with_its_submission(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    first = executor.submit(hold, gate.path)
    gate.heard()
    second = executor.options(timeout=2).submit(add, 1, 2)
    time.sleep(2.2)
    assert not second.done()
    gate.open()
    first.result(PATIENCE)
    assert second.result(PATIENCE) == 3


def test_a_job_within_its_timeout_returns(make_executor: Maker) -> None:
    executor = make_executor()
    futures = [executor.options(timeout=PATIENCE).submit(add, n, n) for n in range(100)]
    assert [future.result(PATIENCE) for future in futures] == [2 * n for n in range(100)]


@pytest.mark.needs("kills", "isolates")
def test_a_worker_that_served_a_job_with_a_timeout_outlives_that(make_executor: Maker) -> None:
    executor = make_executor(1)
    pid = executor.options(timeout=0.5).submit(os.getpid).result(PATIENCE)
    assert executor.submit(time.sleep, 1).result(PATIENCE) is None
    assert executor.submit(os.getpid).result(PATIENCE) == pid


@pytest.mark.needs("kills", "isolates")
def test_siblings_of_a_job_that_timed_out_go_on(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    sibling = executor.submit(hold, gate.path)
    pid = gate.pids()[0]
    for _ in range(3):
        timeout_of(executor, forever)
    gate.open()
    assert sibling.result(PATIENCE) == pid
    assert sibling.info.attempt == 1


@pytest.mark.needs("kills")
def test_a_job_ends_though_a_callback_blocks(make_executor: Maker) -> None:
    executor = make_executor(2)
    entered, leave = threading.Event(), threading.Event()

    def block(_: object) -> None:
        entered.set()
        leave.wait(PATIENCE)

    try:
        executor.submit(add, 1, 1).add_done_callback(block)
        assert entered.wait(PATIENCE)
        timeout_of(executor, forever)
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    finally:
        leave.set()


@pytest.mark.needs("own_deadlines")
def test_a_job_ends_though_this_process_holds_its_gil(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)

    def job() -> None:
        hold(gate.path)  # nobody opens

    for seconds in (4, 8, 16):
        numbers = numbers_to_add_for(seconds)
        future = executor.options(timeout=1).submit(job)
        gate.heard()
        begun = time.monotonic()
        sum(numbers)  # in one C call, which lets no other thread of this process run
        held = time.monotonic() - begun
        assert isinstance(future.exception(PATIENCE), JobTimeout)
        if held > 3:
            break
    else:
        pytest.fail(f"the GIL was held for {held} s only")
    runtime = future.info.runtime
    assert runtime is not None
    assert 1 <= runtime < held


@pytest.mark.needs("kills", "isolates")
def test_a_timeout_while_many_wait_costs_only_its_own_job(make_executor: Maker) -> None:
    executor = make_executor(2)
    slow = [executor.options(timeout=0.3).submit(forever) for _ in range(4)]
    quick = [executor.submit(add, n, 1) for n in range(50)]
    assert [future.result(PATIENCE) for future in quick] == [n + 1 for n in range(50)]
    assert all(isinstance(future.exception(PATIENCE), JobTimeout) for future in slow)
    stats = executor.stats()
    assert stats.settled == {Verdict.RETURNED: 50, Verdict.TIMED_OUT: 4}
    assert stats.workers_killed == 4
    assert stats.workers_died == 0


@pytest.mark.lacks("kills")
def test_where_nothing_can_be_killed_the_job_settles_and_keeps_its_slot(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    late = executor.options(timeout=0.3).submit(hold, gate.path)
    error = late.exception(PATIENCE)
    assert isinstance(error, JobTimeout)
    assert "cannot be killed" in str(error)
    following = executor.submit(say_and_return, gate.path, "following")
    gate.heard()
    assert executor.stats().waiting == 1
    gate.open()
    assert following.result(PATIENCE) == "following"
    assert late.exception() is error


@pytest.mark.needs("kills")
def test_the_timeout_of_jobs_in_a_row_on_one_worker_is_each_their_own(
    make_executor: Maker,
) -> None:
    executor = make_executor(1)
    for _ in range(3):
        assert executor.options(timeout=30).submit(add, 1, 2).result(PATIENCE) == 3
        timeout_of(executor, forever)
    assert executor.submit(add, 1, 2).result(PATIENCE) == 3

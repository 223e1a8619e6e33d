"""A worker that dies takes one job with it; only workers that cannot start break an executor."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from conftest import Maker, descendants, eventually, is_gone
from ezpq_exec import PriorityExecutor, Verdict, WorkerDied
from gates import PATIENCE, Gate, hold
from workload import (
    abort,
    add,
    die,
    dying_initializer,
    failing_initializer,
    segfault,
    signal_self,
    sleep_for,
)


def death_of(executor: PriorityExecutor, job: Callable[..., object], *args: object) -> WorkerDied:
    """Run what ends its worker, and return what its future raises."""
    error = executor.submit(job, *args).exception(PATIENCE)
    assert isinstance(error, WorkerDied), error
    return error


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
@pytest.mark.parametrize("exitcode", [0, 1, 3, 255])
def test_a_job_that_exits_the_process_is_told_with_pid_and_exit_code(
    make_executor: Maker, exitcode: int
) -> None:
    executor = make_executor(1)
    pid = executor.submit(os.getpid).result(PATIENCE)
    error = death_of(executor, die, exitcode)
    assert (error.pid, error.exitcode, error.signal) == (pid, exitcode, None)
    assert str(pid) in str(error)
    assert executor.submit(os.getpid).result(PATIENCE) != pid


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
@pytest.mark.parametrize(
    ("name", "job", "args"),
    [
        ("SIGKILL", signal_self, (signal.SIGKILL,)),
        ("SIGTERM", signal_self, (signal.SIGTERM,)),
        ("SIGSEGV", segfault, ()),
        ("SIGABRT", abort, ()),
    ],
)
def test_a_signal_that_ends_a_worker_is_named(
    make_executor: Maker, name: str, job: Callable[..., object], args: tuple[object, ...]
) -> None:
    executor = make_executor(1)
    error = death_of(executor, job, *args)
    assert error.signal == name
    assert error.exitcode == -signal.Signals[name]
    assert name in str(error)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.needs("isolates", "stacks")
def test_a_segmentation_fault_leaves_its_stack(make_executor: Maker) -> None:
    stack = death_of(make_executor(1), segfault).stack
    assert stack is not None
    assert "in segfault" in stack


@pytest.mark.needs("isolates")
def test_the_error_is_one_that_programs_know_and_pickles(make_executor: Maker) -> None:
    error = death_of(make_executor(1), die, 4)
    assert isinstance(error, BrokenProcessPool)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is WorkerDied
    assert (copy.pid, copy.exitcode, copy.signal) == (error.pid, error.exitcode, error.signal)


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_the_info_of_a_job_whose_worker_died_has_the_exit_code(make_executor: Maker) -> None:
    future = make_executor(1).submit(die, 5)
    error = future.exception(PATIENCE)
    assert future.info.verdict is Verdict.DIED
    assert future.info.exitcode == 5
    assert future.info.exception is error
    assert future.info.runtime is not None


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_siblings_of_a_dead_worker_and_jobs_that_wait_are_unharmed(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(2)
    sibling = executor.submit(hold, gate.path)
    pid = gate.pids()[0]
    dying = [executor.submit(die, n) for n in range(1, 6)]
    waiting = [executor.submit(add, n, 1) for n in range(20)]
    assert [f.result(PATIENCE) for f in waiting] == [n + 1 for n in range(20)]
    codes = [
        error.exitcode for f in dying if isinstance(error := f.exception(PATIENCE), WorkerDied)
    ]
    assert codes == [1, 2, 3, 4, 5]
    gate.open()
    assert sibling.result(PATIENCE) == pid
    stats = executor.stats()
    assert stats.workers_died == 5
    assert stats.workers_killed == 0
    assert stats.settled == {Verdict.RETURNED: 21, Verdict.DIED: 5}


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_a_worker_that_somebody_kills_while_idle_harms_no_job(make_executor: Maker) -> None:
    executor = make_executor(1)
    for _ in range(5):
        pid = executor.submit(os.getpid).result(PATIENCE)
        os.kill(pid, signal.SIGKILL)
        assert executor.submit(os.getpid).result(PATIENCE) != pid


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_a_result_that_was_sent_counts_though_the_worker_died_then(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)

    def job() -> str:
        import threading

        def end() -> None:
            hold(gate.path)
            os._exit(1)

        threading.Thread(target=end, daemon=True).start()
        return "sent"

    assert executor.submit(job).result(PATIENCE) == "sent"
    pid = gate.pids()[0]
    gate.open()
    assert eventually(lambda: is_gone(pid))
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.lacks("borrows")
def test_an_initializer_that_raises_breaks_the_executor_and_is_the_cause(
    make_executor: Maker,
) -> None:
    executor = make_executor(2, initializer=failing_initializer, initargs=("not today",))
    future = executor.submit(add, 1, 1)
    error = future.exception(PATIENCE)
    assert isinstance(error, BrokenExecutor)
    assert isinstance(error.__cause__, ValueError)
    assert "not today" in str(error)
    assert future.info.verdict is Verdict.BROKEN
    with pytest.raises(BrokenExecutor, match="not today"):
        executor.submit(add, 1, 1)


@pytest.mark.lacks("borrows")
def test_every_job_that_waits_learns_that_the_executor_is_broken(
    make_executor: Maker, gate: Gate
) -> None:
    def initializer() -> None:
        hold(gate.path)
        raise ValueError("after all")

    executor = make_executor(1, initializer=initializer)
    futures = [executor.submit(add, 1, 1) for _ in range(10)]
    gate.heard()
    gate.open()
    for future in futures:
        assert isinstance(future.exception(PATIENCE), BrokenExecutor)
    assert executor.stats().settled == {Verdict.BROKEN: 10}


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_an_initializer_that_exits_is_tried_three_times_and_counted(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1, initializer=dying_initializer, initargs=(gate.path,))
    error = executor.submit(add, 1, 1).exception(PATIENCE)
    assert isinstance(error, BrokenExecutor)
    assert isinstance(error.__cause__, WorkerDied)
    assert error.__cause__.exitcode == 9
    assert len(set(gate.pids(3))) == 3
    with pytest.raises(BrokenExecutor):
        executor.submit(add, 1, 1)
    executor.shutdown()
    assert gate.all_heard() == []
    stats = executor.stats()
    assert stats.settled == {Verdict.BROKEN: 1}
    assert stats.workers_started == 0
    assert stats.workers_died == 3


@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_many_workers_that_cannot_start_are_no_storm(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(4, initializer=dying_initializer, initargs=(gate.path,))
    futures = [executor.submit(add, 1, 1) for _ in range(20)]
    for future in futures:
        assert isinstance(future.exception(PATIENCE), BrokenExecutor)
    executor.shutdown()
    assert 3 <= len(gate.all_heard()) <= 3 + 4


@pytest.mark.needs("kills")
def test_a_worker_that_is_not_ready_in_time_breaks_the_executor(make_executor: Maker) -> None:
    before = descendants()
    executor = make_executor(1, initializer=sleep_for, initargs=(3600,), start_timeout=1)
    start = time.monotonic()
    error = executor.submit(add, 1, 1).exception(PATIENCE)
    assert isinstance(error, BrokenExecutor)
    assert "within 1 s" in str(error)
    assert time.monotonic() - start >= 1
    executor.shutdown()
    assert not descendants() - before


@pytest.mark.lacks("borrows")
@pytest.mark.lacks("kills")
def test_a_thread_that_is_not_ready_in_time_breaks_the_executor(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1, initializer=hold, initargs=(gate.path,), start_timeout=0.5)
    error = executor.submit(add, 1, 1).exception(PATIENCE)
    assert isinstance(error, BrokenExecutor)
    assert "within 0.5 s" in str(error)
    gate.open()


@pytest.mark.lacks("borrows")
def test_a_broken_executor_can_be_shut_down_and_asked(make_executor: Maker) -> None:
    executor = make_executor(1, initializer=failing_initializer, initargs=("no",))
    executor.submit(add, 1, 1).exception(PATIENCE)
    executor.shutdown()
    executor.shutdown()
    assert executor.stats().running == 0

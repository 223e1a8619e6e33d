"""What a future says at any moment, and what it lets one do."""

from __future__ import annotations

import math
import random
import threading
import time
from concurrent.futures import CancelledError, Future, as_completed, wait
from concurrent.futures import TimeoutError as FuturesTimeoutError
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from conftest import Maker
from ezpq_exec import JobFuture, State, Verdict
from gates import PATIENCE, Gate, hold
from workload import SlowToUnpickle, add, hold_and_return, sleep_for


def test_running_is_true_exactly_while_a_worker_has_the_job(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    first = executor.submit(hold, gate.path)
    second = executor.submit(hold, gate.path)
    gate.heard()
    assert (first.running(), second.running()) == (True, False)
    gate.open()
    gate.heard()
    first.result(PATIENCE)
    assert (first.running(), second.running()) == (False, True)
    gate.open()
    second.result(PATIENCE)
    assert (second.running(), second.done()) == (False, True)


def test_cancel_takes_back_a_job_that_waits_and_wakes_whoever_waits_for_it(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    holder = executor.submit(hold, gate.path)
    gate.heard()
    waiting: JobFuture[int] = executor.submit(add, 1, 1)
    heard: list[Future[int]] = []
    called = threading.Event()

    def on_done(future: Future[int]) -> None:
        heard.append(future)
        called.set()

    waiting.add_done_callback(on_done)
    those: list[Future[int]] = [waiting]
    waiters = [
        threading.Thread(target=lambda: wait([waiting], PATIENCE)),
        threading.Thread(target=lambda: list(as_completed(those, PATIENCE))),
        threading.Thread(target=_await, args=(waiting,)),
    ]
    for thread in waiters:
        thread.start()
    assert waiting.cancel()
    assert waiting.cancel()
    for thread in waiters:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert called.wait(PATIENCE)
    assert heard == [waiting]
    assert waiting.cancelled()
    assert waiting.done()
    with pytest.raises(CancelledError):
        waiting.result(0)
    assert executor.stats().waiting == 0
    assert waiting.info.verdict is Verdict.CANCELLED
    assert holder.running()


def _await(future: Future[Any]) -> None:
    try:
        future.result(PATIENCE)
    except CancelledError:
        pass


def test_a_job_that_runs_or_has_ended_is_not_cancelled(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    future = executor.submit(hold, gate.path)
    gate.heard()
    assert not future.cancel()
    gate.open()
    pid = future.result(PATIENCE)
    assert not future.cancel()
    assert future.result() == pid


def test_many_jobs_cancelled_at_random_never_run(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    executor.submit(hold, gate.path)
    gate.heard()
    futures = [executor.submit(add, n, 0) for n in range(300)]
    doomed = set(random.Random(1).sample(range(300), 150))
    for n in doomed:
        assert futures[n].cancel()
    gate.open()
    for n, future in enumerate(futures):
        if n in doomed:
            assert future.cancelled()
        else:
            assert future.result(PATIENCE) == n
    settled = executor.stats().settled
    assert settled == {Verdict.RETURNED: 151, Verdict.CANCELLED: 150}


def test_the_info_of_a_job_that_waits_runs_and_is_done(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    holder = executor.submit(hold, gate.path)
    gate.heard()
    future = executor.options(name="mine", priority=5).submit(hold_and_return, gate.path, value=9)

    info = future.info
    assert (info.state, info.verdict) == (State.WAITING, None)
    assert (info.name, info.priority, info.function) == ("mine", 5, hold_and_return)
    assert (info.args, info.kwargs) == ((gate.path,), {"value": 9})
    assert info.submitted > before
    assert (info.started, info.ended, info.processed) == (None, None, None)
    assert (info.waited, info.runtime, info.cpu_time, info.max_rss) == (None, None, None, None)
    assert (info.worker, info.pid, info.exitcode, info.exception) == (None, None, None, None)
    assert info.attempt == 0

    gate.open()
    pid = gate.pids()[0]
    info = future.info
    assert (info.state, info.verdict) == (State.RUNNING, None)
    assert info.started is not None
    assert info.started >= info.submitted
    assert info.waited is not None
    assert (info.ended, info.processed, info.runtime) == (None, None, None)
    known = not (executor.capabilities.borrows and executor.capabilities.isolates)
    assert (info.pid, info.worker, info.attempt) == (pid if known else None, 0, 1)

    gate.open()
    assert future.result(PATIENCE) == 9
    info = future.info
    assert (info.state, info.verdict) == (State.DONE, Verdict.RETURNED)
    assert info.started is not None
    assert info.ended is not None
    assert info.processed is not None
    assert info.submitted <= info.started <= info.ended <= info.processed
    assert info.runtime is not None
    assert info.cpu_time is not None
    assert info.cpu_time >= 0
    assert (info.pid, info.exitcode, info.exception) == (pid, 0, None)
    assert future.info is info
    assert holder.info.id < info.id
    plain = info.to_dict()
    assert (plain["state"], plain["verdict"], plain["name"]) == ("done", "returned", "mine")


def test_times_come_from_where_the_job_ran(make_executor: Maker) -> None:
    def job() -> tuple[float, float]:
        start = time.monotonic()
        time.sleep(0.05)
        return start, time.monotonic()

    future = make_executor(1).submit(job)
    start, end = future.result(PATIENCE)
    runtime = future.info.runtime
    assert runtime is not None
    assert runtime >= end - start


@pytest.mark.needs("isolates")
def test_the_time_to_take_in_a_result_is_not_the_jobs(make_executor: Maker) -> None:
    future: JobFuture[Any] = make_executor(1).submit(SlowToUnpickle, 0.5)
    assert future.result(PATIENCE) == 0.5
    info = future.info
    assert info.ended is not None
    assert info.processed is not None
    assert info.processed - info.ended >= timedelta(seconds=0.49)


@pytest.mark.needs("isolates")
def test_cpu_time_and_memory_are_the_jobs(make_executor: Maker) -> None:
    executor = make_executor(1)
    idle = executor.submit(sleep_for, 0.2)
    busy = executor.submit(sum, range(20_000_000))
    large = executor.submit(lambda: len(b"x" * 200_000_000))
    for future in (idle, busy, large):
        future.result(PATIENCE)
    assert idle.info.cpu_time is not None
    assert busy.info.cpu_time is not None
    assert busy.info.cpu_time > idle.info.cpu_time
    assert large.info.max_rss is not None
    assert large.info.max_rss > 200_000_000


def test_who_has_no_time_to_wait_does_not(make_executor: Maker, gate: Gate) -> None:
    """The job goes on, and its answer is there for the next who asks."""
    executor = make_executor(1)
    for n in range(3):  # from then on the loop sleeps
        executor.submit(add, n, 1).result(PATIENCE)
    future = executor.submit(hold_and_return, gate.path, 5)
    for ask in (future.result, future.exception):
        with pytest.raises(FuturesTimeoutError):
            ask(0)
    gate.open()
    assert future.result(PATIENCE) == 5


@pytest.mark.parametrize("call", ["set_result", "set_exception", "set_running_or_notify_cancel"])
def test_nobody_but_the_executor_resolves_a_future(
    make_executor: Maker, gate: Gate, call: str
) -> None:
    """Whoever tries is told so, and the job, and all others, go on."""
    executor = make_executor(1)
    running, waiting = executor.submit(hold_and_return, gate.path, 1), executor.submit(add, 1, 1)
    gate.heard()
    arguments = () if call == "set_running_or_notify_cancel" else (ValueError("no"),)
    for future in (running, waiting):
        with pytest.raises(RuntimeError, match=rf"{call}\(\) .* by its executor alone"):
            getattr(future, call)(*arguments)
    gate.open()
    assert (running.result(PATIENCE), waiting.result(PATIENCE)) == (1, 2)


@pytest.mark.parametrize("timeout", [math.inf, 1e300])
def test_a_time_to_wait_may_be_endless(make_executor: Maker, timeout: float) -> None:
    """As that of a job may be; a lock of the system's takes no more than three centuries."""
    executor = make_executor(1)
    first, second = executor.submit(sleep_for, 0.05), executor.submit(sleep_for, 0.05)
    assert second.result(timeout) == 0.05
    assert first.exception(timeout) is None
    for chunksize in (1, "auto"):
        results = executor.map(sleep_for, [0.05, 0.05], timeout=timeout, chunksize=chunksize)
        assert list(results) == [0.05, 0.05]

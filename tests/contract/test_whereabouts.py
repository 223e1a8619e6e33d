"""`dump` says where each running job is, and disturbs none of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import Maker, eventually
from ezpq_exec import JobKilled, JobTimeout, PriorityExecutor, UnsupportedOption, WorkerDied
from gates import PATIENCE, Gate, hold
from workload import (
    add,
    be_deaf_and_exit,
    hold_and_exit,
    hold_and_return,
    hold_at_sigterm,
    hold_the_gil,
    poll_in_c,
    read_in_c,
    sleep_and_measure,
)

# A dump of frames that change at that very instant; fixed in 3.13.10 and 3.14.1, unknown before 3.13.
IS_SAFE = sys.version_info < (3, 13) or (3, 13, 10) <= sys.version_info < (3, 14)
IS_SAFE = IS_SAFE or sys.version_info >= (3, 14, 1)


def stacks(executor: PriorityExecutor, timeout: float = PATIENCE) -> dict[int, str | None]:
    """What `dump` says, by the jobs' ids."""
    return {job.info.id: job.stack for job in executor.dump(timeout)}


def is_stopped(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


@pytest.mark.needs("dumps")
def test_every_running_job_is_shown_with_its_stack_and_goes_on(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(2)
    futures = [executor.submit(hold_and_return, gate.path, value) for value in "ab"]
    waiting = executor.submit(add, 1, 1)
    gate.heard(2)
    for _ in range(3):
        seen = stacks(executor)
        assert list(seen) == [future.info.id for future in futures]
        for stack in seen.values():
            assert stack is not None
            lines = stack.splitlines()
            assert "most recent call first" in lines[0]
            assert " in hold" in stack
            assert lines[-1].endswith(" in hold_and_return")
    gate.open(2)
    assert [future.result(PATIENCE) for future in futures] == ["a", "b"]
    assert waiting.result(PATIENCE) == 2


@pytest.mark.needs("dumps")
def test_what_is_known_of_the_job_comes_with_it(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    executor.options(name="mine", priority=3).submit(hold, gate.path)
    pid = gate.pids()[0]
    (job,) = executor.dump()
    assert (job.info.name, job.info.priority, job.info.pid) == ("mine", 3, pid)
    assert job.info.started is not None
    gate.open()


@pytest.mark.needs("dumps")
def test_without_running_jobs_there_is_nothing_to_show(make_executor: Maker) -> None:
    executor = make_executor(1)
    assert executor.dump() == []
    assert executor.submit(add, 1, 2).result(PATIENCE) == 3
    executor.pause()
    executor.submit(add, 1, 2)
    assert executor.dump() == []
    executor.shutdown(cancel_futures=True)
    assert executor.dump() == []


@pytest.mark.needs("dumps", "isolates")
def test_a_job_that_holds_the_gil_is_shown(make_executor: Maker) -> None:
    executor = make_executor(1)
    future = executor.submit(hold_the_gil)
    assert eventually(lambda: "in hold_the_gil" in str(stacks(executor)))
    assert future.kill()


@pytest.mark.needs("dumps")
def test_a_job_that_is_a_function_in_c_is_said_to_be_one(
    make_executor: Maker, tmp_path: Path
) -> None:
    executor = make_executor(1)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    opened = executor.submit(os.open, str(fifo), os.O_RDONLY)
    assert eventually(lambda: "not written in Python" in str(stacks(executor)))
    fifo.write_bytes(b"x")
    executor.submit(os.close, opened.result(PATIENCE)).result(PATIENCE)


@pytest.mark.needs("dumps", "isolates")
@pytest.mark.parametrize("holds_gil", [True, False])
def test_a_job_blocked_in_c_is_shown_and_goes_on(
    make_executor: Maker, gate: Gate, holds_gil: bool
) -> None:
    """With the GIL or without: where Python called C; and the call is restarted."""
    executor = make_executor(1)
    future = executor.submit(read_in_c, gate.path, holds_gil)
    (pid,) = gate.pids()
    assert eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_SLEEPING)
    for _ in range(3):
        (stack,) = stacks(executor).values()
        assert stack is not None
        assert stack.splitlines()[1].endswith(" in read_in_c")
    gate.open()
    assert future.result(PATIENCE) == 1


@pytest.mark.needs("stacks", "kills", "isolates")
@pytest.mark.parametrize("holds_gil", [True, False])
def test_a_timeout_tells_where_in_c_it_was(
    make_executor: Maker, gate: Gate, holds_gil: bool
) -> None:
    executor = make_executor(1)
    future = executor.options(timeout=0.5).submit(read_in_c, gate.path, holds_gil)
    error = future.exception(PATIENCE)
    assert isinstance(error, JobTimeout)
    assert error.stack is not None
    assert error.stack.splitlines()[1].endswith(" in read_in_c")


@pytest.mark.needs("dumps", "isolates")
def test_a_call_in_c_that_does_not_expect_signals_is_disturbed(
    make_executor: Maker, gate: Gate
) -> None:
    """As the page on engines says: `poll` and the like end early, with EINTR."""
    executor = make_executor(1)
    future = executor.submit(poll_in_c, gate.path)
    gate.heard()
    while not future.done():  # it may not have come to the call at the first time
        executor.dump()
    assert future.result(PATIENCE) == (-1, "EINTR")


@pytest.mark.needs("dumps", "isolates")
def test_waiting_as_python_does_is_not_disturbed(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    future = executor.submit(sleep_and_measure, gate.path, 0.5)
    gate.heard()
    while not future.done():
        executor.dump()
    assert future.result(PATIENCE) >= 0.5


@pytest.mark.needs("dumps")
def test_many_may_ask_at_once(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    executor.submit(hold, gate.path)
    gate.heard()
    with ThreadPoolExecutor(8) as askers:
        answers = list(askers.map(lambda _: stacks(executor), range(64)))
    assert all("in hold" in str(answer) for answer in answers)
    gate.open()


@pytest.mark.skipif(not IS_SAFE, reason="Python may crash there: python/cpython#140815")
@pytest.mark.needs("dumps")
def test_jobs_that_come_and_go_meanwhile_are_none_the_worse(make_executor: Maker) -> None:
    executor = make_executor(2)
    over = threading.Event()

    def ask() -> int:
        count = 0
        while not over.is_set():
            executor.dump()
            count += 1
        return count

    with ThreadPoolExecutor(2) as askers:
        asked = [askers.submit(ask) for _ in range(2)]
        try:
            futures = [executor.submit(add, i, 1) for i in range(2000)]
            assert [future.result(PATIENCE) for future in futures] == list(range(1, 2001))
        finally:
            over.set()
        assert all(each.result(PATIENCE) > 0 for each in asked)


@pytest.mark.needs("dumps", "kills")
def test_a_stopped_worker_has_no_stack_and_goes_on(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    future = executor.submit(hold, gate.path)
    pid = gate.pids()[0]
    os.kill(pid, signal.SIGSTOP)
    assert eventually(lambda: is_stopped(pid))
    assert list(stacks(executor).values()) == [None]
    os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: not is_stopped(pid))
    assert "in hold" in str(stacks(executor))
    gate.open()
    assert future.result(PATIENCE) == pid


@pytest.mark.needs("dumps", "kills")
def test_a_later_death_is_not_blamed_on_where_the_job_was_before(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    future = executor.submit(hold_and_exit, gate.path)
    gate.heard()
    assert "in hold_and_exit" in str(stacks(executor))
    gate.open()
    error = future.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.stack is None


@pytest.mark.needs("dumps", "kills", "own_deadlines")
def test_nor_where_that_was_told_too_late(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    future = executor.submit(be_deaf_and_exit, gate.path)
    gate.heard()
    assert list(stacks(executor).values()) == [None]
    gate.open()
    error = future.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.stack is None


@pytest.mark.needs("dumps", "kills")
def test_a_job_that_is_being_ended_keeps_its_last_stack(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    future = executor.submit(hold_at_sigterm, gate.path)
    gate.heard()
    executor.terminate_workers()
    assert gate.heard() == ["asked to end"]
    assert "in hold_at_sigterm" in str(stacks(executor))
    gate.open()
    error = future.exception(PATIENCE)
    assert isinstance(error, JobKilled)
    assert "in hold_at_sigterm" in str(error.stack)


@pytest.mark.needs("dumps", "kills", "own_deadlines")
def test_who_does_not_answer_is_waited_for_no_longer_than_asked(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    future = executor.submit(hold, gate.path)
    pid = gate.pids()[0]
    keeper = psutil.Process(pid).ppid()
    os.kill(keeper, signal.SIGSTOP)
    assert list(stacks(executor, 0.05).values()) == [None]
    os.kill(keeper, signal.SIGCONT)
    assert "in hold" in str(stacks(executor))
    gate.open()
    assert future.result(PATIENCE) == pid


@pytest.mark.needs("dumps", "kills", "own_deadlines")
def test_who_dies_instead_of_answering_is_waited_for_no_more(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    future = executor.submit(hold, gate.path)
    keeper = psutil.Process(gate.pids()[0]).ppid()
    os.kill(keeper, signal.SIGSTOP)
    assert list(stacks(executor, 0.05).values()) == [None]
    with ThreadPoolExecutor(1) as asker:
        answer = asker.submit(stacks, executor, 10 * PATIENCE)
        assert executor.stats().running == 1
        os.kill(keeper, signal.SIGKILL)
        assert not any(answer.result(PATIENCE).values())
    assert isinstance(future.exception(PATIENCE), WorkerDied)


@pytest.mark.lacks("dumps")
def test_an_engine_that_cannot_tell_says_so(make_executor: Maker) -> None:
    executor = make_executor(1)
    with pytest.raises(UnsupportedOption, match=r"dump\(\)"):
        executor.dump()


@pytest.mark.parametrize(
    ("timeout", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError), (None, TypeError)]
)
def test_a_timeout_that_is_none_is_refused(
    make_executor: Maker, timeout: Any, error: type[Exception]
) -> None:
    executor = make_executor(1)
    with pytest.raises(error, match=f"timeout .*{timeout!r}"):
        executor.dump(timeout)

"""The program's own executor: the same for all, resized, replaced, and never taken away."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ezpq_exec.reusable
from conftest import Census, eventually
from ezpq_exec import PriorityExecutor, WorkerDied, get_reusable_executor
from gates import PATIENCE, Gate, hold
from workload import add


@pytest.fixture(autouse=True)
def _fresh(census: Census) -> Iterator[None]:
    """Each test begins and ends without one."""
    ezpq_exec.reusable._executor = None
    yield
    ezpq_exec.reusable._executor = None
    gc.collect()


def test_it_is_the_same_for_all_who_ask_for_the_same() -> None:
    first = get_reusable_executor(1, engine="threads")
    assert get_reusable_executor(1, engine="threads") is first
    assert get_reusable_executor(engine="threads") is first
    assert first.submit(add, 1, 1).result(PATIENCE) == 2


def test_another_number_of_workers_resizes_it_under_its_jobs(gate: Gate) -> None:
    executor = get_reusable_executor(1)
    first = executor.submit(hold, gate.path)
    gate.heard()
    assert get_reusable_executor(2) is executor
    second = executor.submit(hold, gate.path)
    gate.heard()
    assert get_reusable_executor(1) is executor
    gate.open(2)
    assert first.result(PATIENCE) != second.result(PATIENCE)
    assert executor.max_workers == 1


def test_other_arguments_make_another_one_and_the_old_one_works_on(gate: Gate) -> None:
    old = get_reusable_executor(1, engine="threads")
    running = old.submit(hold, gate.path)
    waiting = old.submit(add, 1, 1)
    gate.heard()
    new = get_reusable_executor(1, engine="threads", initializer=gc.isenabled)
    assert new is not old
    later = old.submit(add, 2, 2)
    gate.open()
    assert running.result(PATIENCE) == os.getpid()
    assert (waiting.result(PATIENCE), later.result(PATIENCE)) == (2, 4)
    assert new.submit(add, 3, 3).result(PATIENCE) == 6


def test_the_jobs_of_an_old_one_are_finished_though_nobody_holds_it(gate: Gate) -> None:
    jobs = [get_reusable_executor(1, engine="threads").submit(hold, gate.path)]
    jobs += [get_reusable_executor(1, engine="threads").submit(hold, gate.path) for _ in range(9)]
    get_reusable_executor(1, engine="threads", start_timeout=59)
    gate.open(10)
    assert [job.result(PATIENCE) for job in jobs] == [os.getpid()] * 10


def fail() -> None:
    raise ValueError("not today")


def shut(executor: PriorityExecutor) -> None:
    executor.shutdown()


def ruin(executor: PriorityExecutor) -> None:
    assert executor.submit(add, 1, 1).exception(PATIENCE) is not None


@pytest.mark.parametrize("end", [shut, ruin])
def test_one_that_takes_no_jobs_is_replaced(end: Callable[[PriorityExecutor], None]) -> None:
    initializer = fail if end is ruin else None
    old = get_reusable_executor(1, engine="threads", initializer=initializer)
    end(old)
    assert not old.is_open
    new = get_reusable_executor(1, engine="threads", initializer=initializer)
    assert new is not old
    assert new.is_open


def test_a_dead_worker_is_no_reason_to_replace_it() -> None:
    executor = get_reusable_executor(1)
    assert isinstance(executor.submit(os._exit, 1).exception(PATIENCE), WorkerDied)
    assert get_reusable_executor(1) is executor


def test_many_threads_that_ask_for_different_ones_lose_no_job() -> None:
    """What one thread asks for never ends the executor that another one has just been given."""
    results: list[int] = []
    errors: list[BaseException] = []
    barrier = threading.Barrier(8)

    def ask(number: int) -> None:
        try:
            barrier.wait(PATIENCE)
            for turn in range(40):
                executor = get_reusable_executor(
                    1 + (number + turn) % 3,
                    engine="threads",
                    start_timeout=60 + (number + turn) % 2,
                )
                jobs = [executor.submit(add, turn, n) for n in range(5)]
                results.extend(job.result(PATIENCE) for job in jobs)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(results) == sorted([turn + n for turn in range(40) for n in range(5)] * 8)


def test_idle_workers_leave() -> None:
    executor = get_reusable_executor(1, idle_timeout=0.05)
    pid = executor.submit(os.getpid).result(PATIENCE)
    assert eventually(lambda: executor.stats().workers_retired == 1)
    assert executor.submit(os.getpid).result(PATIENCE) != pid


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="max_workers"):
        get_reusable_executor(0)
    with pytest.raises(TypeError, match="engine must be 'processes' or 'threads'"):
        get_reusable_executor(engine=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="idle_timeout"):
        get_reusable_executor(idle_timeout=-1)


FORKED = """
import os, sys
from ezpq_exec import get_reusable_executor

if __name__ == "__main__":
    executor = get_reusable_executor(1, engine="threads")
    assert executor.submit(len, "ab").result() == 2
    pid = os.fork()
    if pid == 0:
        mine = get_reusable_executor(1, engine="threads")
        assert mine is not executor
        assert mine.submit(len, "abc").result() == 3
        mine.shutdown()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert get_reusable_executor(1, engine="threads") is executor
    assert executor.submit(len, "abcd").result() == 4
"""


def test_a_fork_gets_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def mark() -> tuple[int, bool]:
    """Leave a mark in the worker; its pid, and whether there was one."""
    was_marked = hasattr(gc, "was_here")
    gc.was_here = True  # type: ignore[attr-defined]
    return os.getpid(), was_marked


def test_a_second_executor_has_processes_that_share_nothing_with_the_firsts() -> None:
    """It starts as fast as it does since a process is kept warm that has run nobody's code."""
    with PriorityExecutor(4) as executor:
        first = {job.result(PATIENCE)[0] for job in [executor.submit(mark) for _ in range(20)]}
    with PriorityExecutor(4) as executor:
        pid, was_marked = executor.submit(mark).result(PATIENCE)
    assert pid not in first
    assert not was_marked


class Incomparable:
    """Two of them cannot be compared, as arrays cannot."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("which of all these?")

    __hash__ = None  # type: ignore[assignment]


def ignore(_: object) -> None:
    """An initializer."""


def test_arguments_that_cannot_be_compared_are_others() -> None:
    """Unless they are the same objects."""
    terms: dict[str, Any] = {"engine": "threads", "initializer": ignore}
    args = (Incomparable(),)
    first = get_reusable_executor(1, initargs=args, **terms)
    assert get_reusable_executor(1, initargs=args, **terms) is first
    second = get_reusable_executor(1, initargs=(Incomparable(),), **terms)
    assert second is not first
    first.shutdown()
    second.shutdown()

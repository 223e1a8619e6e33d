"""After a thousand timeouts all is as before."""

from __future__ import annotations

import gc

import psutil
import pytest

from conftest import Census, Maker, eventually
from ezpq_exec import JobTimeout, PriorityExecutor, Verdict
from gates import PATIENCE, Gate, hold
from workload import add, forever

MANY = 1000
MOST_GROWTH = 8 * 1024 * 1024  # bytes


def time_out(executor: PriorityExecutor, count: int) -> None:
    """Have so many jobs run into their timeout of 20 ms."""
    terms = executor.options(timeout=0.02)
    futures = [terms.submit(forever) for _ in range(count)]
    for future in futures:
        assert isinstance(future.exception(PATIENCE), JobTimeout)


def the_root() -> psutil.Process:
    """The process that forks the others."""
    (root,) = (
        child for child in psutil.Process().children() if "ezpq_exec-root" in str(child.cmdline())
    )
    return root


@pytest.mark.needs("whole_tree")
def test_a_thousand_timeouts_leave_everything_as_before(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(8)
    me, root = psutil.Process(), the_root()
    time_out(executor, 200)
    held = [executor.submit(hold, gate.path) for _ in range(8)]
    gate.heard(8)  # all workers are up again
    gate.open(8)
    [future.result(PATIENCE) for future in held]
    gc.collect()
    before = Census()
    memory = me.memory_info().rss, root.memory_info().rss
    time_out(executor, MANY)
    gc.collect()

    assert the_root() == root
    assert me.memory_info().rss - memory[0] < MOST_GROWTH
    assert root.memory_info().rss - memory[1] < MOST_GROWTH
    assert eventually(lambda: len(before.descriptors) >= len(Census().descriptors))
    assert {thread.name for thread in Census().threads} == {
        thread.name for thread in before.threads
    }
    assert eventually(lambda: len(Census().processes) <= len(before.processes))
    below = root.children(recursive=True)
    assert eventually(lambda: not [p for p in below if _is_zombie(p)])
    assert executor.stats().settled == {Verdict.TIMED_OUT: MANY + 200, Verdict.RETURNED: 8}
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_many_executors_in_a_row_leave_nothing(make_executor: Maker) -> None:
    """The check after each test sees what any of them left."""
    for _ in range(20):
        executor = make_executor(2)
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2
        executor.shutdown()


@pytest.mark.needs("recycles")
def test_scores_of_workers_in_a_row_leave_nothing(make_executor: Maker) -> None:
    executor = make_executor(2, max_tasks_per_child=1)
    futures = [executor.submit(add, n, 1) for n in range(40)]
    assert [future.result(PATIENCE) for future in futures] == list(range(1, 41))
    before = _descriptors_at_rest(executor)
    futures = [executor.submit(add, n, 1) for n in range(40)]
    assert [future.result(PATIENCE) for future in futures] == list(range(1, 41))
    assert _descriptors_at_rest(executor) <= before


def _descriptors_at_rest(executor: PriorityExecutor) -> int:
    """How many there are when both workers are up, and none is being replaced."""

    def is_at_rest() -> bool:
        stats = executor.stats()
        return stats.workers_started == stats.workers_retired + 2

    assert eventually(is_at_rest)
    return len(Census().descriptors)

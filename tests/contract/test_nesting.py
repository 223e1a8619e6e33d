"""What a job may use: executors of every kind, `multiprocessing`, `subprocess`, Dask."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import pytest

from conftest import Maker, eventually, is_gone
from ezpq_exec import JobKilled, JobTimeout
from ezpq_exec.engines.nesting import depth
from gates import PATIENCE, Gate
from nestwork import (
    forget_an_executor,
    in_a_pool,
    in_a_stdlib_pool,
    in_a_subprocess,
    in_an_executor,
    in_dask,
    in_dask_over_an_executor,
    in_loky,
    in_two_executors,
    nested_hold,
)
from workload import add

USES: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "processes": (in_an_executor, ("processes",)),
    "threads": (in_an_executor, ("threads",)),
    "processes in processes": (in_two_executors, ("processes", "processes")),
    "processes in threads": (in_two_executors, ("threads", "processes")),
    "loky": (in_loky, ()),
    "ProcessPoolExecutor": (in_a_stdlib_pool, ()),
    "Pool by fork": (in_a_pool, ("fork",)),
    "Pool by spawn": (in_a_pool, ("spawn",)),
    "subprocess": (in_a_subprocess, ()),
    "Dask's threads": (in_dask, ("threads",)),
    "Dask over an executor": (in_dask_over_an_executor, ()),
}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("use", USES)
def test_a_job_may_use(use: str, make_executor: Maker) -> None:
    executor = make_executor(2)
    if use == "Pool by fork" and not executor.capabilities.isolates:
        pytest.skip("this engine has not: isolates")  # forks beside threads are nobody's to promise
    function, args = USES[use]
    beside = 1 if executor.capabilities.isolates else 2  # how many of them meet in one process
    futures = [executor.submit(function, *args) for _ in range(beside)]
    for future in futures:
        assert future.result(PATIENCE) == [1, 2, 3]


# A lender forks: its workers have the settings of Dask that other tests make in this process.
@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")
def test_a_job_may_use_dask_with_processes(make_executor: Maker) -> None:
    assert make_executor(1).submit(in_dask, "processes").result(PATIENCE) == [1, 2, 3]


@pytest.mark.needs("isolates")
def test_an_executor_that_a_job_forgets_holds_up_nothing(make_executor: Maker) -> None:
    """Nor does the worker's end wait for it: it ends with its worker."""
    executor = make_executor(1)
    assert executor.submit(forget_an_executor).result(PATIENCE) == 1
    executor.shutdown()


@pytest.mark.needs("whole_tree")
def test_an_executor_in_a_job_that_is_killed_ends_with_it(make_executor: Maker, gate: Gate) -> None:
    """Its workers are gone when the job is known to be."""
    future = make_executor(1).submit(nested_hold, gate.path)
    (inner,) = gate.pids()
    assert future.kill()
    assert isinstance(future.exception(PATIENCE), JobKilled)
    assert is_gone(inner)


@pytest.mark.needs("whole_tree")
def test_an_executor_in_a_job_that_times_out_ends_with_it(make_executor: Maker, gate: Gate) -> None:
    """As above. On a busy host it may need more time to have a job of its own."""
    executor = make_executor(1)
    inner: list[str] = []
    for timeout in (3, 10, 30):
        future = executor.options(timeout=timeout).submit(nested_hold, gate.path)
        assert isinstance(future.exception(PATIENCE), JobTimeout)
        inner = gate.all_heard()
        if inner:
            break
    assert [is_gone(int(pid)) for pid in inner] == [True]


@pytest.mark.needs("kills")
def test_an_executor_in_a_job_goes_with_it(make_executor: Maker, gate: Gate) -> None:
    """By keepers, it is gone at once; without, as soon as it finds that the job is gone."""
    future = make_executor(1).submit(nested_hold, gate.path)
    (inner,) = gate.pids()
    assert future.kill()
    assert isinstance(future.exception(PATIENCE), JobKilled)
    assert eventually(lambda: is_gone(inner))


@pytest.mark.needs("isolates")
@pytest.mark.parametrize("what", ["future", "executor", "view"])
def test_what_belongs_to_this_process_says_so_when_it_is_sent(
    what: str, make_executor: Maker
) -> None:
    executor = make_executor(1)
    first = executor.submit(add, 1, 1)
    things: dict[str, Any] = {
        "future": first,
        "executor": executor,
        "view": executor.options(priority=1),
    }
    error = executor.submit(id, things[what]).exception(PATIENCE)
    assert isinstance(error, TypeError)
    assert "cannot be pickled" in str(error)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(things[what])
    assert first.result(PATIENCE) == 2


def test_a_job_may_wait_for_another_of_the_same_executor(make_executor: Maker) -> None:
    """In threads, where it can have the executor; as long as there is a slot for it."""
    executor = make_executor(2)
    if executor.capabilities.isolates:
        pytest.skip("this engine has: isolates")

    def outer(inner: Executor) -> int:
        return inner.submit(add, 1, 1).result()

    assert executor.submit(outer, executor).result(PATIENCE) == 2


@pytest.mark.needs("recycles")
def test_workers_know_how_deep_they_are(make_executor: Maker) -> None:
    assert make_executor(1).submit(depth).result(PATIENCE) == 1

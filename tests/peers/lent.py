"""What a real executor that lends its workers must do for us: a program, run once for each lender.

    python lent.py LENDER FOLDER

It prints a line of JSON for each promise: its name, and None or what went wrong. A program of its
own, since these packages keep threads, and MPI starts programs by itself.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from ezpq_exec import (
    JobFuture,
    JobTimeout,
    PriorityExecutor,
    QueueTimeout,
    RemoteError,
    Verdict,
    as_completed,
)
from gates import PATIENCE, Gate, hold
from workload import (
    TwoArguments,
    WillNotPickle,
    add,
    die,
    echo,
    fail,
    flaky,
    sleep_for,
    times_called,
    unpicklable_result,
)

WORKERS = 2


# The lenders, each with two workers -------------------------------------------------------------


@contextlib.contextmanager
def stdlib_threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(WORKERS) as lender:
        yield lender


@contextlib.contextmanager
def stdlib_processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(WORKERS) as lender:
        yield lender


@contextlib.contextmanager
def stdlib_interpreters() -> Iterator[Executor]:
    pools = importlib.import_module("concurrent.futures")
    with pools.InterpreterPoolExecutor(WORKERS) as lender:
        yield lender


@contextlib.contextmanager
def loky_reusable() -> Iterator[Executor]:
    loky = importlib.import_module("loky")
    lender: Executor = loky.get_reusable_executor(WORKERS)
    yield lender
    loky.get_reusable_executor(WORKERS).shutdown(kill_workers=True)


@contextlib.contextmanager
def dask_client(**options: Any) -> Iterator[Executor]:
    dask = importlib.import_module("dask")
    distributed = importlib.import_module("distributed")
    # A task whose worker died runs again elsewhere, up to this many times: it is for the scheduler
    # to say.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor(**options)


def dask_impure() -> contextlib.AbstractContextManager[Executor]:
    return dask_client(pure=False)


def dask_pure() -> contextlib.AbstractContextManager[Executor]:
    return dask_client()


@contextlib.contextmanager
def mpi4py_pool() -> Iterator[Executor]:
    futures = importlib.import_module("mpi4py.futures")
    with futures.MPIPoolExecutor(WORKERS) as lender:
        yield lender


@contextlib.contextmanager
def executorlib_node() -> Iterator[Executor]:
    executorlib = importlib.import_module("executorlib")
    with executorlib.SingleNodeExecutor(max_workers=WORKERS, block_allocation=True) as lender:
        yield lender


LENDERS: dict[str, Callable[[], contextlib.AbstractContextManager[Executor]]] = {
    "stdlib threads": stdlib_threads,
    "stdlib processes": stdlib_processes,
    "stdlib interpreters": stdlib_interpreters,
    "loky": loky_reusable,
    "distributed": dask_impure,
    "distributed, pure": dask_pure,
    "mpi4py": mpi4py_pool,
    "executorlib": executorlib_node,
}
HERE = {"stdlib threads", "stdlib interpreters"}  # no process of its own
SAY_HOW_MANY = set(LENDERS) - {"distributed", "distributed, pure"}
# What a job gets whose worker dies, by the name of the exception, and how often it was run by then;
# where there is nothing, that is everybody's end.
DEATHS = {
    "stdlib processes": ("WorkerDied", 1),
    "loky": ("WorkerDied", 1),
    "distributed": ("KilledWorker", 1),
    "distributed, pure": ("KilledWorker", 1),
    "executorlib": ("ExecutorlibSocketError", WORKERS),  # its other worker tries it, too
}


class Case:
    """One lender, and what a promise needs to be tried."""

    def __init__(self, name: str, lender: Executor, folder: Path) -> None:
        self.name = name
        self.lender = lender
        self.folder = folder

    def executor(self, max_workers: int = WORKERS) -> PriorityExecutor:
        """Ours, over the lender."""
        return PriorityExecutor(max_workers, engine=self.lender)

    @contextlib.contextmanager
    def gate(self) -> Iterator[Gate]:
        """A gate, which is opened wide in the end."""
        gate = Gate(self.folder / f"gate-{len(list(self.folder.iterdir()))}")
        try:
            yield gate
        finally:
            gate.close()


# The promises -----------------------------------------------------------------------------------


def results_come_back(case: Case) -> None:
    """Results of functions by name, lambdas and builtins, by submit and by map."""
    with case.executor() as ex:
        jobs = [ex.submit(add, n, n) for n in range(20)]
        assert [job.result(PATIENCE) for job in jobs] == [2 * n for n in range(20)]
        if case.name != "stdlib interpreters":
            assert ex.submit(lambda n: n + 1, 1).result(PATIENCE) == 2
        assert list(ex.map(pow, range(5), [2] * 5, timeout=PATIENCE)) == [0, 1, 4, 9, 16]
        assert list(ex.map(add, range(40), [1] * 40, chunksize="auto")) == list(range(1, 41))


def exceptions_come_back(case: Case) -> None:
    """What a job raises comes back; what does not unpickle comes somehow, and hurts nobody."""
    with case.executor() as ex:
        error = ex.submit(fail, KeyError, "k").exception(PATIENCE)
        assert isinstance(error, KeyError)
        assert error.args == ("k",)
        error = ex.submit(fail, SystemExit, 3).exception(PATIENCE)
        assert isinstance(error, SystemExit)
        error = ex.submit(fail, TwoArguments, 1, 2).exception(PATIENCE)
        # distributed teaches exceptions of every kind to unpickle, in the whole process.
        assert isinstance(error, (RemoteError, TwoArguments)), repr(error)
        assert "1 and 2" in str(error)
        assert ex.submit(add, 1, 1).result(PATIENCE) == 2


def what_does_not_pickle_fails_alone(case: Case) -> None:
    """An argument, or a result, that cannot be carried fails its own job, and no other."""
    if case.name == "stdlib threads":
        return
    with case.executor() as ex:
        there = ex.submit(echo, WillNotPickle())
        back = ex.submit(unpicklable_result)
        others = [ex.submit(add, n, 1) for n in range(20)]
        assert isinstance(there.exception(PATIENCE), Exception), "an argument"
        assert isinstance(back.exception(PATIENCE), Exception), "a result"
        assert [job.result(PATIENCE) for job in others] == [n + 1 for n in range(20)]


def the_most_urgent_is_next(case: Case) -> None:
    """Over one slot, jobs begin in the order of their priorities, equals as they were submitted."""
    with case.gate() as gate, case.executor(1) as ex:
        holder = ex.submit(hold, gate.path)
        gate.heard()
        jobs = [
            ex.options(priority=priority).submit(echo, n) for n, priority in enumerate((3, 1, 2, 1))
        ]
        assert ex.stats().waiting == 4
        gate.open()
        holder.result(PATIENCE)
        assert [job.result(PATIENCE) for job in jobs] == [0, 1, 2, 3]
        assert began_in_order([jobs[1], jobs[3], jobs[2], jobs[0]])


def no_more_are_lent_than_slots(case: Case) -> None:
    """At no time are more jobs with the lender than we have slots, though it could take more."""
    with case.gate() as gate, case.executor(1) as ex:
        first = ex.submit(hold, gate.path)
        second = ex.submit(hold, gate.path)
        gate.heard()
        stats = ex.stats()
        assert (stats.running, stats.waiting) == (1, 1)
        assert not gate.all_heard()
        assert second.cancel()
        gate.open()
        first.result(PATIENCE)


def lanes_are_kept(case: Case) -> None:
    """Of the jobs of one lane one runs at a time, in order."""
    with case.executor() as ex:
        lane = ex.options(lane="a")
        jobs = [lane.submit(sleep_for, 0.001) for _ in range(10)]
        wait(jobs, PATIENCE)
        assert began_in_order(jobs)
        for one, next_one in itertools.pairwise(jobs):
            assert one.info.ended is not None
            assert next_one.info.started is not None
            assert one.info.ended <= next_one.info.started


def a_timeout_settles_and_the_slot_stays_taken(case: Case) -> None:
    """The future of a job that overstays raises at its deadline; the next waits until it is over."""
    with case.gate() as gate, case.executor(1) as ex:
        stuck = ex.options(timeout=0.2).submit(hold, gate.path)
        following = ex.submit(add, 1, 1)
        error = stuck.exception(PATIENCE)
        assert isinstance(error, JobTimeout), repr(error)
        assert stuck.info.verdict is Verdict.TIMED_OUT
        assert not following.done()
        assert not stuck.kill()
        gate.heard()
        gate.open()
        assert following.result(PATIENCE) == 2


def what_waits_expires_and_is_cancelled(case: Case) -> None:
    """A job that waits can be cancelled, and expires by its queue_timeout."""
    with case.gate() as gate, case.executor(1) as ex:
        holder = ex.submit(hold, gate.path)
        gate.heard()
        expired = ex.options(queue_timeout=0.05).submit(add, 1, 1)
        cancelled = ex.submit(add, 1, 1)
        assert cancelled.cancel()
        assert isinstance(expired.exception(PATIENCE), QueueTimeout)
        gate.open()
        holder.result(PATIENCE)


def retries_are_granted(case: Case) -> None:
    """A job that fails by what retry_on names is tried again, as often as it says."""
    path = str(case.folder / "attempts")
    with case.executor() as ex:
        patient = ex.options(retries=3, retry_on=ValueError)
        job = patient.submit(flaky, path, 2, fail, ValueError, "not yet")
        job.result(PATIENCE)
        assert job.info.attempt == 3


def much_is_known_of_a_job(case: Case) -> None:
    """Times in order, duration, process, name."""
    with case.executor() as ex:
        job = ex.options(name="nap").submit(sleep_for, 0.05)
        pid = ex.submit(os.getpid)
        job.result(PATIENCE)
        info = job.info
        assert info.name == "nap"
        assert info.started is not None
        assert info.ended is not None
        assert info.processed is not None
        assert info.submitted <= info.started <= info.ended <= info.processed
        assert info.runtime is not None
        assert info.runtime >= 0.05
        assert (pid.result(PATIENCE) == os.getpid()) == (case.name in HERE)
        assert pid.info.pid == pid.result()


def equal_calls_are_separate_jobs(case: Case) -> None:
    """Calls that look the same are each carried out."""
    with case.executor() as ex:
        values = {job.result(PATIENCE) for job in [ex.submit(os.urandom, 8) for _ in range(5)]}
        assert len(values) == 5
        before = [ex.submit(times_called, str(case.folder / "equal")) for _ in range(5)]
        assert sorted(job.result(PATIENCE) for job in before) == [1, 2, 3, 4, 5]


def as_completed_ranks(case: Case) -> None:
    """Among futures that are done, the best priority comes first."""
    with case.executor() as ex:
        jobs = [ex.options(priority=n).submit(echo, n) for n in (3, 1, 2)]
        wait(jobs, PATIENCE)
        assert [job.result() for job in as_completed(jobs)] == [1, 2, 3]


def the_number_of_slots_is_the_lenders(case: Case) -> None:
    """By default there are as many slots as the lender says that it runs at once."""
    if case.name in SAY_HOW_MANY:
        with PriorityExecutor(engine=case.lender) as ex:
            assert ex.max_workers == WORKERS


def it_is_never_shut_down(case: Case) -> None:
    """Once ours is shut down, nothing of ours is left, and the lender takes jobs."""
    with case.executor() as ex:
        ex.submit(add, 1, 1).result(PATIENCE)
    ours = [thread.name for thread in threading.enumerate() if "ezpq_exec" in thread.name]
    assert not ours
    assert case.lender.submit(add, 2, 2).result(PATIENCE) == 4


def a_death_is_told_and_never_repeated(case: Case) -> None:
    """A job whose worker dies fails by what the lender says, and is not run again by us."""
    if case.name not in DEATHS:
        return
    expected, times = DEATHS[case.name]
    path = case.folder / "deaths"
    with case.executor(1) as ex:
        error = ex.submit(die_having_called, str(path)).exception(PATIENCE)
        assert error is not None
        assert type(error).__name__ == expected, repr(error)
    assert path.stat().st_size == times


def die_having_called(path: str) -> None:
    times_called(path)
    die(3)


def began_in_order(jobs: list[JobFuture[Any]]) -> bool:
    times = [job.info.started for job in jobs]
    assert None not in times
    return times == sorted(times, key=lambda when: when.timestamp() if when else 0.0)


PROMISES = [
    results_come_back,
    exceptions_come_back,
    what_does_not_pickle_fails_alone,
    the_most_urgent_is_next,
    no_more_are_lent_than_slots,
    lanes_are_kept,
    a_timeout_settles_and_the_slot_stays_taken,
    what_waits_expires_and_is_cancelled,
    retries_are_granted,
    much_is_known_of_a_job,
    equal_calls_are_separate_jobs,
    as_completed_ranks,
    the_number_of_slots_is_the_lenders,
    it_is_never_shut_down,
    a_death_is_told_and_never_repeated,  # the last, since some lenders are broken by it
]


def main(name: str, folder: Path) -> None:
    """Try each promise on that lender, and say how it went."""
    with LENDERS[name]() as lender:
        for number, promise in enumerate(PROMISES):
            place = folder / str(number)
            place.mkdir()
            began = time.monotonic()
            try:
                promise(Case(name, lender, place))
            except BaseException:  # whatever goes wrong is this promise's outcome
                fault: str | None = traceback.format_exc()
            else:
                fault = None
            print(json.dumps([promise.__name__, fault, time.monotonic() - began]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

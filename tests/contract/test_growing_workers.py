"""A worker that has grown too large is replaced after its job; nobody's job is lost by that."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import psutil
import pytest

from conftest import Maker
from ezpq_exec import UnsupportedOption
from gates import PATIENCE
from memorywork import LITTLE, MEBIBYTE, keep, keep_little, take
from workload import add, echo

MOST = 80 * MEBIBYTE  # several times what a worker has at first

recycles = pytest.mark.needs("recycles")


@pytest.mark.lacks("recycles")
def test_where_workers_cannot_be_replaced_it_is_refused(make_executor: Maker) -> None:
    with pytest.raises(UnsupportedOption, match=rf"max_worker_memory .*\(got {MOST}\)"):
        make_executor(1, max_worker_memory=MOST)


@recycles
def test_a_worker_that_has_grown_is_replaced_after_its_job(make_executor: Maker) -> None:
    """The job itself is none the worse for it, and nothing counts as killed or dead."""
    executor = make_executor(1, max_worker_memory=MOST)
    first = executor.submit(os.getpid).result(PATIENCE)
    assert executor.submit(keep, 100).result(PATIENCE) == first
    second = executor.submit(os.getpid).result(PATIENCE)
    assert second != first
    assert executor.submit(os.getpid).result(PATIENCE) == second
    stats = executor.stats()
    assert (stats.workers_started, stats.workers_retired) == (2, 1)
    assert (stats.workers_killed, stats.workers_died) == (0, 0)


@recycles
def test_a_worker_that_gave_back_what_it_took_stays(make_executor: Maker) -> None:
    """What counts is what it has after the job, not its peak."""
    executor = make_executor(1, max_worker_memory=MOST)
    first = executor.submit(os.getpid).result(PATIENCE)
    assert [executor.submit(take, 100).result(PATIENCE) for _ in range(3)] == [100] * 3
    assert executor.submit(os.getpid).result(PATIENCE) == first


@recycles
def test_a_large_argument_or_result_is_not_what_it_has_grown_by(make_executor: Maker) -> None:
    executor = make_executor(1, max_worker_memory=MOST)
    first = executor.submit(os.getpid).result(PATIENCE)
    for _ in range(3):
        assert len(executor.submit(bytes, 100 * MEBIBYTE).result(PATIENCE)) == 100 * MEBIBYTE
        assert executor.submit(len, bytes(100 * MEBIBYTE)).result(PATIENCE) == 100 * MEBIBYTE
    assert executor.submit(os.getpid).result(PATIENCE) == first


@recycles
@pytest.mark.parametrize("at_once", [True, False], ids=["many at once", "one by one"])
def test_jobs_that_leak_a_little_have_their_workers_replaced_in_time(
    make_executor: Maker, tmp_path: Path, at_once: bool
) -> None:
    """Jobs that take microseconds, too, of which some are in a worker's hands early."""
    trace = tmp_path / "trace"
    probe = make_executor(1)
    first = psutil.Process(probe.submit(keep_little, str(trace)).result(PATIENCE))
    room = 4 * MEBIBYTE
    executor = make_executor(2, max_worker_memory=first.memory_info().rss + room)
    if at_once:
        futures = [executor.submit(keep_little, str(trace)) for _ in range(2000)]
        pids = Counter(future.result(PATIENCE) for future in futures)
    else:
        pids = Counter(
            executor.submit(keep_little, str(trace)).result(PATIENCE) for _ in range(500)
        )
    assert trace.stat().st_size == 1 + pids.total()
    assert max(pids.values()) <= 2 * room // LITTLE + 8  # those that it had been given already
    assert executor.stats().workers_retired >= len(pids) - 2


@recycles
def test_both_ways_of_replacing_workers_go_together(make_executor: Maker) -> None:
    executor = make_executor(1, max_worker_memory=MOST, max_tasks_per_child=3)
    pids = [executor.submit(os.getpid).result(PATIENCE) for _ in range(4)]
    assert len(set(pids[:3])) == 1
    assert pids[3] != pids[2]
    assert executor.submit(keep, 100).result(PATIENCE) == pids[3]
    assert executor.submit(os.getpid).result(PATIENCE) != pids[3]


@recycles
def test_a_limit_that_no_worker_can_keep_replaces_each(make_executor: Maker) -> None:
    """It is as `max_tasks_per_child=1` then; jobs still get done."""
    executor = make_executor(1, max_worker_memory=1)
    pids = [executor.submit(os.getpid).result(PATIENCE) for _ in range(3)]
    assert len(set(pids)) == 3
    assert list(executor.map(add, range(20), range(20))) == [2 * n for n in range(20)]
    assert executor.submit(echo, "still there").result(PATIENCE) == "still there"

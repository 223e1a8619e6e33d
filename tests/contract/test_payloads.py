"""Large arguments and results arrive whole and as they were, by whatever way."""

from __future__ import annotations

import os
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import payloadwork as work
from conftest import Maker
from ezpq_exec import JobKilled, JobTimeout
from gates import PATIENCE, Gate
from workload import echo, forever

LARGE = 256 * 1024  # bytes, from which on some engines take another way
SIZES = [0, 1, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE]


@pytest.mark.parametrize("size", SIZES)
def test_arrays_of_any_size_travel_both_ways(make_executor: Maker, size: int) -> None:
    array = np.arange(size, dtype=np.uint8)
    result = make_executor(1).submit(echo, array).result(PATIENCE)
    assert result.dtype == array.dtype
    assert np.array_equal(result, array)


@pytest.mark.parametrize("size", SIZES)
def test_bytes_of_any_size_travel_both_ways(make_executor: Maker, size: int) -> None:
    executor = make_executor(1)
    data = os.urandom(size)
    for value in (data, bytearray(data)):
        result = executor.submit(echo, value).result(PATIENCE)
        assert type(result) is type(value)
        assert result == value


def _arrays() -> dict[str, Any]:
    base = np.arange(600_000, dtype=np.float64).reshape(1000, 600)
    frozen = base.copy()
    frozen.flags.writeable = False
    return {
        "plain": base,
        "every other": base[::2, ::3],
        "column by column": np.asfortranarray(base),
        "read-only": frozen,
        "view": base[10:900],
        "structured": np.zeros(100_000, dtype=[("a", "i4"), ("b", "f8")]),
        "objects": np.array([{"n": n} for n in range(1000)], dtype=object),
        "no dimension": np.array(3.5),
        "nothing": np.empty((0, 5)),
    }


@pytest.mark.parametrize("kind", _arrays())
def test_arrays_of_any_kind_travel_both_ways(make_executor: Maker, kind: str) -> None:
    array = _arrays()[kind]
    result = make_executor(1).submit(echo, array).result(PATIENCE)
    assert result.dtype == array.dtype
    assert result.shape == array.shape
    assert result.flags.writeable == array.flags.writeable
    assert np.array_equal(result, array)


def test_one_array_in_two_places_is_one_there_too(make_executor: Maker) -> None:
    array = np.ones(LARGE)
    one, two = make_executor(1).submit(echo, (array, array)).result(PATIENCE)
    assert one is two


def test_many_arrays_large_and_small_travel_together(make_executor: Maker) -> None:
    arrays = [np.full(size, at) for at, size in enumerate([1, LARGE, 5, LARGE // 8, 40_000] * 5)]
    results = make_executor(1).submit(echo, {"arrays": arrays}).result(PATIENCE)["arrays"]
    assert all(map(np.array_equal, arrays, results))


def test_a_data_frame_travels_both_ways(make_executor: Maker) -> None:
    frame = pd.DataFrame({"a": np.arange(100_000), "b": np.random.default_rng(1).random(100_000)})
    frame["words"] = [f"row {n}" for n in range(len(frame))]
    result = make_executor(1).submit(echo, frame).result(PATIENCE)
    pd.testing.assert_frame_equal(result, frame)
    result["a"] += 1  # it is ours


@pytest.mark.parametrize("size", [10, LARGE])
def test_what_hands_over_its_memory_arrives(make_executor: Maker, size: int) -> None:
    heavy = work.Heavy(bytearray(b"\1" * size))
    assert make_executor(1).submit(work.total, heavy).result(PATIENCE) == 10


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_memoryview_travels(make_executor: Maker, size: int) -> None:
    """A copy of it arrives as bytes, which cloudpickle makes of it."""
    data = os.urandom(size)
    assert make_executor(1).submit(work.size_of, memoryview(data)).result(PATIENCE) == size


@pytest.mark.needs("isolates")
def test_a_job_may_write_to_its_own_argument_and_to_no_other(make_executor: Maker) -> None:
    array = np.ones(LARGE)
    executor = make_executor(2)
    results = [executor.submit(work.double_in_place, array) for _ in range(6)]
    assert [float(each.result(PATIENCE).sum()) for each in results] == [2.0 * LARGE] * 6
    assert float(array.sum()) == LARGE


@pytest.mark.needs("isolates")
def test_a_result_is_ours_whatever_its_worker_does_next(make_executor: Maker) -> None:
    executor = make_executor(1)
    array = np.ones(LARGE)
    results = [executor.submit(work.keep_and_return, array).result(PATIENCE) for _ in range(3)]
    results[0][0] = 5
    executor.submit(work.change_kept).result(PATIENCE)
    assert [float(each.sum()) for each in results] == [LARGE + 4.0, LARGE, LARGE]


@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")  # where jobs of one worker may run in several processes
def test_an_argument_that_a_worker_keeps_stays_as_it_was(make_executor: Maker) -> None:
    """However many others come after it."""
    executor = make_executor(1)
    for value in range(5):
        executor.submit(work.keep_and_return, np.full(LARGE, value)).result(PATIENCE)
    for _ in range(20):
        executor.submit(work.double, np.full(LARGE, 9.0)).result(PATIENCE)
    sums = executor.submit(work.sum_of_kept).result(PATIENCE)
    assert sums == [float(value * LARGE) for value in range(5)]


def test_results_that_are_kept_stay_as_they_were(make_executor: Maker) -> None:
    executor = make_executor(2)
    futures = [executor.submit(work.double, np.full(LARGE, n)) for n in range(40)]
    results = [future.result(PATIENCE) for future in futures]
    assert [int(each[0]) for each in results] == [2 * n for n in range(40)]
    assert all((each == each[0]).all() for each in results)


def test_another_attempt_finds_the_argument_as_the_first_did(
    make_executor: Maker, tmp_path: Path
) -> None:
    executor = make_executor(1)
    if not executor.capabilities.isolates:
        pytest.skip("what a thread does to its argument is done to the caller's")
    retrying = executor.options(retries=1, retry_on=KeyError)
    future = retrying.submit(work.fail_once, np.ones(LARGE), str(tmp_path / "failed"))
    assert future.result(PATIENCE) == LARGE
    assert future.info.attempt == 2


@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")  # as above
def test_an_argument_that_a_second_attempt_keeps_stays_as_it_was(
    make_executor: Maker, tmp_path: Path
) -> None:
    """Though the first attempt had let go of it."""
    executor = make_executor(1)
    array = np.ones(1_000_000)
    again = executor.options(retries=1, retry_on=ValueError)
    again.submit(work.keep_at_the_second_try, array, str(tmp_path / "tried")).result(PATIENCE)
    for number in range(3):
        executor.submit(len, np.full(1_000_000, 7.0 + number)).result(PATIENCE)
        assert executor.submit(work.kept_range).result(PATIENCE) == (1.0, 1.0)


@pytest.mark.needs("kills")
def test_a_killed_job_with_a_large_argument_harms_no_other(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(2)
    futures = [executor.submit(work.first_of, np.full(LARGE, n), gate.path) for n in range(6)]
    for n in range(3):
        gate.heard(1)
        running = [future for future in futures if future.running() and not future.done()]
        assert running[0].kill(), n
        assert isinstance(running[0].exception(PATIENCE), JobKilled)
    gate.open(3)
    wait(futures, PATIENCE)
    ended = {n: future.result() for n, future in enumerate(futures) if not future.exception()}
    assert len(ended) == 3
    assert all(n == value for n, value in ended.items())


@pytest.mark.needs("kills")
def test_large_jobs_that_wait_behind_a_stuck_one_run_in_the_end(make_executor: Maker) -> None:
    executor = make_executor(1)
    stuck = executor.options(timeout=0.5).submit(forever)
    futures = [executor.submit(work.double, np.full(LARGE, n)) for n in range(10)]
    futures[3].cancel()
    assert isinstance(stuck.exception(PATIENCE), JobTimeout)
    for n, future in enumerate(futures):
        if n != 3:
            assert float(future.result(PATIENCE)[0]) == 2 * n


@pytest.mark.needs("recycles")
def test_large_payloads_outlive_the_worker_that_made_them(make_executor: Maker) -> None:
    executor = make_executor(1, max_tasks_per_child=1)
    results = [executor.submit(work.double, np.full(LARGE, n)).result(PATIENCE) for n in range(5)]
    assert [float(each.sum()) for each in results] == [2.0 * n * LARGE for n in range(5)]


def test_large_payloads_outlive_the_executor(make_executor: Maker) -> None:
    executor = make_executor(1)
    results = [executor.submit(work.double, np.full(LARGE, n)) for n in range(3)]
    executor.shutdown()
    assert [float(each.result(0)[-1]) for each in results] == [0, 2, 4]


def test_map_carries_large_items(make_executor: Maker) -> None:
    executor = make_executor(2)
    items = [np.full(LARGE // 4, n) for n in range(8)]
    for chunksize in (1, 3, "auto"):
        sums = [float(each.sum()) for each in executor.map(work.double, items, chunksize=chunksize)]
        assert sums == [2.0 * n * (LARGE // 4) for n in range(8)]


@pytest.mark.needs("isolates")
def test_a_function_that_carries_an_array_finds_it(make_executor: Maker) -> None:
    array = np.ones(LARGE)
    executor = make_executor(1)
    sums = executor.submitter(lambda n: float(array.sum()) + n)
    assert [sums(n).result(PATIENCE) for n in range(3)] == [LARGE, LARGE + 1, LARGE + 2]

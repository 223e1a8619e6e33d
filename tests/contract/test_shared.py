"""What is shared is pickled once, and arrives in every job as the object, which nobody can change."""

from __future__ import annotations

import functools
import gc

import numpy as np
import pytest

import payloadwork as work
from conftest import Maker, eventually
from ezpq_exec import PriorityExecutor, Shared, SharedClosed
from gates import PATIENCE, Gate
from workload import WillNotPickle, add, echo

SIZE = 400_000


@pytest.mark.parametrize("size", [0, 10, SIZE])
def test_a_job_finds_the_object_in_the_place_of_its_handle(make_executor: Maker, size: int) -> None:
    executor = make_executor(1)
    with executor.share(np.ones(size)) as ones:
        assert executor.submit(work.describe, ones).result(PATIENCE) == ("ndarray", size, False)
        assert executor.submit(work.describe, value=ones).result(PATIENCE)[1] == size


def test_it_is_found_within_other_objects(make_executor: Maker) -> None:
    executor = make_executor(1)
    with executor.share(np.ones(SIZE)) as ones, executor.share({"n": 7}) as seven:
        value = {"list": [ones, 1], "pair": (ones, seven)}
        found = executor.submit(work.nested, value).result(PATIENCE)
        assert found == ["ndarray", SIZE, {"n": 7}]
        assert value["list"] == [ones, 1]


def test_it_is_found_within_a_partial_function(make_executor: Maker) -> None:
    executor = make_executor(2)
    with executor.share(np.arange(SIZE)) as numbers:
        at = functools.partial(np.take, numbers)
        for chunksize in (1, 4, "auto"):
            assert list(map(int, executor.map(at, range(20), chunksize=chunksize))) == list(
                range(20)
            )


def test_nobody_can_write_to_it(make_executor: Maker) -> None:
    executor = make_executor(1)
    with executor.share(np.zeros(SIZE)) as zeros:
        with pytest.raises(ValueError, match="read-only"):
            executor.submit(work.write_to, zeros).result(PATIENCE)
        assert not zeros.value.flags.writeable
        assert executor.submit(work.describe, zeros).result(PATIENCE)[1] == 0


def test_what_is_done_to_the_original_later_does_not_reach_it(make_executor: Maker) -> None:
    executor = make_executor(1)
    array = np.zeros(SIZE)
    with executor.share(array) as zeros:
        array[:] = 1
        assert executor.submit(work.describe, zeros).result(PATIENCE)[1] == 0


def test_each_process_unpickles_it_once(make_executor: Maker, engine_name: str) -> None:
    if engine_name not in ("processes", "threads"):
        pytest.skip("there, it goes by value")
    executor = make_executor(2)
    with executor.share([np.zeros(SIZE)]) as zeros:
        futures = [executor.submit(work.identity_of, zeros) for _ in range(100)]
        found = {future.result(PATIENCE) for future in futures}
        assert len(found) == len({pid for pid, _ in found})


def test_a_closed_handle_is_refused_at_once(make_executor: Maker) -> None:
    executor = make_executor(1)
    handle = executor.share([1])
    handle.close()
    assert handle.closed
    if executor.capabilities.isolates and not executor.capabilities.borrows:
        with pytest.raises(SharedClosed, match="closed"):
            executor.submit(echo, {"a": [handle]})
    for use in (lambda: handle.value, lambda: handle.nbytes):
        with pytest.raises(ValueError, match="closed"):
            use()
    handle.close()
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_jobs_that_wait_have_it_after_it_was_closed(make_executor: Maker) -> None:
    executor = make_executor(1)
    executor.pause()
    handle = executor.share(np.ones(SIZE))
    futures = [executor.submit(work.describe, handle) for _ in range(3)]
    if executor.capabilities.isolates and not executor.capabilities.borrows:
        handle.close()
    executor.resume()
    assert [future.result(PATIENCE)[1] for future in futures] == [SIZE] * 3
    handle.close()


def test_what_does_not_pickle_is_refused_by_share(make_executor: Maker) -> None:
    with pytest.raises(TypeError, match="I stay where I am"):
        make_executor(1).share(WillNotPickle())


def test_a_handle_serves_other_executors_too(make_executor: Maker) -> None:
    handle = make_executor(1).share(np.ones(SIZE))
    assert make_executor(1).submit(work.describe, handle).result(PATIENCE)[1] == SIZE
    with PriorityExecutor(1, engine="threads") as threads:
        assert threads.submit(work.describe, handle).result(PATIENCE) == ("ndarray", SIZE, False)
    handle.close()


def test_a_view_of_the_executor_shares_as_well(make_executor: Maker) -> None:
    executor = make_executor(1).options(priority=1)
    with executor.share(np.ones(SIZE)) as ones:
        assert executor.submit(work.describe, ones).result(PATIENCE)[1] == SIZE


@pytest.mark.needs("recycles")
def test_a_handle_outlives_workers(make_executor: Maker) -> None:
    executor = make_executor(1, max_tasks_per_child=1)
    with executor.share(np.ones(SIZE)) as ones:
        for _ in range(4):
            assert executor.submit(work.describe, ones).result(PATIENCE)[1] == SIZE


@pytest.mark.needs("kills")
def test_a_killed_job_takes_nothing_from_the_others(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    with executor.share(np.ones(SIZE)) as ones:
        stuck = executor.submit(work.first_of, ones, gate.path)
        gate.heard(1)
        assert stuck.kill()
        assert executor.submit(work.describe, ones).result(PATIENCE)[1] == SIZE


def test_a_worker_that_keeps_a_part_has_it_after_the_end(make_executor: Maker) -> None:
    executor = make_executor(1)
    if executor.capabilities.borrows:
        pytest.skip("jobs of one worker may run in several processes")
    with executor.share(np.ones(SIZE)) as ones:
        executor.submit(keep, ones).result(PATIENCE)  # type: ignore[arg-type]
    executor.submit(add, 1, 1).result(PATIENCE)
    assert executor.submit(work.sum_of_kept).result(PATIENCE)[-1] == SIZE
    executor.submit(drop).result(PATIENCE)


def keep(array: np.ndarray) -> None:
    work.KEPT.append(array)


def drop() -> None:
    work.KEPT.clear()


def test_memory_goes_with_the_handle(make_executor: Maker, engine_name: str) -> None:
    """In all workers, and here; also where nobody closed it."""
    if engine_name != "processes":
        pytest.skip("there, it goes by value")
    executor = make_executor(1)
    before, here = executor.submit(work.held).result(PATIENCE), work.held()
    for close in (True, False):
        handle = executor.share(np.ones(SIZE))
        executor.submit(work.describe, handle).result(PATIENCE)
        assert executor.submit(work.memory_maps).result(PATIENCE) == before[0] + 1
        if close:
            handle.close()
        del handle
        gc.collect()
        assert eventually(lambda: executor.submit(work.held).result(PATIENCE) == before)
        assert eventually(lambda: work.held() == here)


def test_a_hundred_jobs_make_one_copy(make_executor: Maker, engine_name: str) -> None:
    """Nothing but the handle's own segment is ever there."""
    if engine_name != "processes":
        pytest.skip("there, it goes by value")
    executor = make_executor(2)
    before = work.segments_open()
    with executor.share(np.ones(SIZE)) as ones:
        executor.pause()
        futures = [executor.submit(work.describe, ones) for _ in range(100)]
        assert work.segments_open() == before + 1
        executor.resume()
        assert {future.result(PATIENCE)[1] for future in futures} == {SIZE}
        assert work.segments_open() == before + 1


def test_a_handle_says_what_it_is() -> None:
    handle = Shared(b"12345")
    assert "bytes" in repr(handle)
    assert handle.nbytes > 5
    assert handle.value == b"12345"
    assert handle.value is handle.value
    handle.close()
    assert repr(handle) == "<Shared closed>"

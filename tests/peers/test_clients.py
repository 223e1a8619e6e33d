"""Released packages that take an executor, and how ours does in their hands."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import wait

import pytest

from ezpq_exec import JobTimeout, PriorityExecutor, as_completed
from gates import PATIENCE, Gate, hold
from workload import FOREVER, add, echo, sleep_for


def bowl(point: list[float]) -> float:
    """A function with its least value, 0, at (1, 2)."""
    return float((point[0] - 1) ** 2 + (point[1] - 2) ** 2)


def step(x: float) -> float:
    return 1.0 if x > 0.3 else 0.0


def test_asyncio_gives_up_a_job_that_waits_and_gets_a_timeout_of_one_that_runs(gate: Gate) -> None:
    async def main(executor: PriorityExecutor) -> None:
        loop = asyncio.get_running_loop()
        holder = loop.run_in_executor(executor, hold, gate.path)
        await loop.run_in_executor(None, gate.heard)
        job = executor.submit(add, 1, 1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(job), 0.05)
        await loop.run_in_executor(None, wait, [job])
        assert job.cancelled()
        gate.open()
        await holder
        limited = executor.options(timeout=0.1)
        outcomes = await asyncio.gather(
            loop.run_in_executor(limited, sleep_for, FOREVER),
            loop.run_in_executor(executor, add, 2, 2),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], JobTimeout)
        assert outcomes[1] == 4

    with PriorityExecutor(1) as executor:
        asyncio.run(main(executor))


@pytest.mark.parametrize("engine", ["processes", "threads"])
def test_dasks_local_scheduler_computes_in_it(engine: str) -> None:
    dask = pytest.importorskip("dask", reason="dask is not installed; the extra test brings it")
    total = dask.delayed(sum)([dask.delayed(add)(n, 1) for n in range(20)])
    with PriorityExecutor(2, engine=engine) as executor:  # type: ignore[arg-type]
        first = executor.submit(add, 0, 0)
        with dask.config.set(pool=executor.options(priority=1), chunksize=1):
            assert total.compute(scheduler=engine) == 210
        last = executor.submit(add, 0, 0)
    assert last.info.id > first.info.id + 20, "each task is a job"


def test_scipy_minimises_by_its_map() -> None:
    optimize = pytest.importorskip(
        "scipy.optimize", reason="scipy is not installed; the extra peers brings it"
    )
    with PriorityExecutor(2) as executor:
        found = optimize.differential_evolution(
            bowl, [(0, 3), (0, 3)], workers=executor.map, updating="deferred", rng=1, maxiter=20
        )
    assert found.x.tolist() == pytest.approx([1, 2], abs=0.01)


def test_adaptive_learns_on_it() -> None:
    adaptive = pytest.importorskip(
        "adaptive", reason="adaptive is not installed; the extra peers brings it"
    )
    learner = adaptive.Learner1D(step, bounds=(-1, 1))
    with PriorityExecutor(2) as executor:
        before = executor.submit(add, 0, 0).info.id
        adaptive.BlockingRunner(
            learner, npoints_goal=20, executor=executor.options(timeout=PATIENCE), ntasks=2
        )
        assert executor.submit(add, 0, 0).info.id - before > 20
    assert learner.npoints >= 20
    assert set(learner.data.values()) == {0.0, 1.0}


def test_a_bar_of_tqdms_follows_it() -> None:
    """As `tqdm.contrib.concurrent` does it: around what `map` gives, or `as_completed`."""
    tqdm = pytest.importorskip("tqdm", reason="tqdm is not installed; the extra peers brings it")
    shown = io.StringIO()

    # Without tqdm's own thread, which would outlive the test.
    bar = type("Bar", (tqdm.tqdm,), {"monitor_interval": 0})
    with PriorityExecutor(2) as executor:
        results = list(bar(executor.map(echo, range(9)), total=9, file=shown))
        jobs = [executor.submit(echo, n) for n in range(9)]
        done = {job.result() for job in bar(as_completed(jobs), total=9, file=shown)}
    assert results == list(range(9))
    assert done == set(range(9))
    assert shown.getvalue().count("9/9") == 2

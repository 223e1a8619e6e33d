"""Jobs that use executors and processes of their own. Workers import this, and no test."""

from __future__ import annotations

import importlib
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ezpq_exec import PriorityExecutor
from gates import hold


def in_an_executor(engine: str) -> list[int]:
    """Use an executor of its own."""
    with PriorityExecutor(2, engine=engine) as executor:  # type: ignore[arg-type]
        return list(executor.map(abs, [-1, -2, -3]))


def in_two_executors(outer: str, inner: str) -> list[int]:
    """Use one in one."""
    with PriorityExecutor(1, engine=outer) as executor:  # type: ignore[arg-type]
        return executor.submit(in_an_executor, inner).result()


def in_loky() -> list[int]:
    """Use loky's reusable executor, and end it."""
    import loky

    with loky.get_reusable_executor(max_workers=2) as executor:
        try:
            return list(executor.map(abs, [-1, -2, -3]))
        finally:
            executor.shutdown(wait=True)


def in_a_stdlib_pool() -> list[int]:
    """Use the standard library's processes."""
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        return list(executor.map(abs, [-1, -2, -3]))


def in_a_pool(method: str) -> list[int]:
    """Use a pool of multiprocessing."""
    with multiprocessing.get_context(method).Pool(2) as pool:
        result = pool.map(abs, [-1, -2, -3])
        pool.close()
        pool.join()
    return result


def in_a_subprocess() -> list[int]:
    """Use another program."""
    code = "print([abs(n) for n in (-1, -2, -3)])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.strip("[]\n").split(",")]


def in_dask(scheduler: str) -> list[int]:
    """Use Dask's local scheduler."""
    dask: Any = importlib.import_module("dask")
    with ThreadPoolExecutor(2) as pool:  # else it keeps its own for good
        calls = [dask.delayed(abs)(-n) for n in (1, 2, 3)]
        more = {"pool": pool} if scheduler == "threads" else {}
        return list(dask.compute(*calls, scheduler=scheduler, **more))


def in_dask_over_an_executor() -> list[int]:
    """Use Dask over an executor of ours."""
    dask: Any = importlib.import_module("dask")
    with PriorityExecutor(2) as executor, dask.config.set(pool=executor):
        calls = [dask.delayed(abs)(-n) for n in (1, 2, 3)]
        return list(dask.compute(*calls, scheduler="processes"))


_forgotten: list[PriorityExecutor] = []


def forget_an_executor() -> int:
    """Leave one open, whose workers are up."""
    _forgotten.append(PriorityExecutor(1))
    return _forgotten[0].submit(abs, -1).result()


def nested_hold(gate: str) -> Any:
    """Wait for a job in an executor of its own."""
    with PriorityExecutor(1) as executor:
        return executor.submit(hold, gate).result()

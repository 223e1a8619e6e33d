"""What large arguments and results cost, beside one plain copy into shared memory.

    python tests/benchmarks/payloads.py [--mb N] [--rounds N] [--sizes]

In each round all ways take part, one right after another. Printed are medians in ms, and the median of
the rounds' ratios to the stdlib's pool and to the copy. `--sizes` shows instead which way is faster for small
arrays: by shared memory, or within the pickle.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from ezpq_exec import PriorityExecutor
from ezpq_exec.engines import depot, parcels

Way = Callable[[], object]

JOBS = 100  # that are given the same array


def echo(array: Any) -> Any:
    """The array itself."""
    return array


def negative(array: Any) -> Any:
    """A new array."""
    return -array


def in_place(array: Any) -> Any:
    """The array, changed."""
    array *= 2
    return array


def first(array: Any, at: int) -> float:
    """One number of it."""
    return float(array[at])


def copier(array: Any) -> Way:
    """A copy into shared memory that is warm."""
    descriptor = os.memfd_create("copy")
    data = memoryview(array).cast("B")

    def copy() -> None:
        at = 0
        while at < len(data):
            at += os.pwrite(descriptor, data[at:], at)

    return copy


def shared(executor: PriorityExecutor, array: Any) -> None:
    """One array to many jobs, by a handle."""
    with executor.share(array) as handle:
        for future in [executor.submit(first, handle, at) for at in range(JOBS)]:
            future.result()


def sent(executor: Executor, array: Any) -> None:
    """One array to many jobs, with each of them."""
    for future in [executor.submit(first, array, at) for at in range(JOBS)]:
        future.result()


@contextmanager
def contenders(array: Any) -> Iterator[dict[str, dict[str, Way]]]:
    """What is measured: rows, each with its ways by name."""
    pools: dict[str, Any] = {"ezpq_exec": PriorityExecutor(2), "stdlib": ProcessPoolExecutor(2)}
    try:
        from loky import get_reusable_executor

        pools["loky"] = get_reusable_executor(2)
    except ImportError:
        pass
    rows: dict[str, dict[str, Way]] = {}
    jobs = {"there and back": echo, "there, a new one back": negative}
    jobs |= {"there, changed, and back": in_place}
    for row, job in jobs.items():
        rows[row] = {
            name: lambda pool=pool, job=job: pool.submit(job, array).result()  # type: ignore[misc]
            for name, pool in pools.items()
        }
    ours = pools["ezpq_exec"]
    rows[f"to {JOBS} jobs"] = {
        "ezpq_exec": lambda: shared(ours, array),
        "stdlib": lambda: sent(pools["stdlib"], array),
        **_memmapped(array),
    }
    try:
        yield rows
    finally:
        for pool in pools.values():
            pool.shutdown()


def _memmapped(array: Any) -> dict[str, Way]:
    try:
        from joblib import Parallel, delayed
    except ImportError:
        return {}
    return {
        "joblib": lambda: Parallel(n_jobs=2)(delayed(first)(array, at) for at in range(JOBS)),
    }


def compare(megabytes: int, rounds: int) -> None:
    """Print the table."""
    array = np.random.default_rng(0).random(megabytes * 1_000_000 // 8)
    copy = copier(array)
    with contenders(array) as rows:
        times: dict[tuple[str, str], list[float]] = defaultdict(list)
        for number in range(rounds + 1):  # the first is not counted
            for row, ways in rows.items():
                order = [("one copy", copy), *ways.items()]
                turn = number % len(order)
                for name, way in order[turn:] + order[:turn]:
                    began = time.perf_counter()
                    result = way()
                    if number:
                        times[row, name].append(time.perf_counter() - began)
                    del result
    print(f"{megabytes} MB; ms; in brackets, times the stdlib's and times one copy")
    for row, ways in rows.items():
        print(f"\n{row}")
        for name in ("one copy", *ways):
            own = times[row, name]
            by = [_ratio(own, times[row, other]) for other in ("stdlib", "one copy")]
            print(f"  {name:10}{statistics.median(own) * 1e3:10.1f}  ({by[0]:.2f}, {by[1]:.2f})")


def _ratio(own: list[float], other: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(own, other, strict=True))


def sizes(rounds: int) -> None:
    """Print by which way small arrays are faster."""
    print(f"{'KiB':>6}{'shared, µs':>12}{'pickled, µs':>12}{'ratio':>8}")
    usual = parcels.LARGE
    for kib in (32, 64, 128, 256, 512, 1024):
        array = np.ones(kib * 128)
        found: dict[int, list[float]] = {1: [], 2**62: []}
        for limit, taken in found.items():
            parcels.LARGE = vars(depot)["LARGE"] = limit
            with PriorityExecutor(1) as executor:
                for _ in range(20 * rounds):
                    began = time.perf_counter()
                    executor.submit(first, array, 0).result()
                    taken.append(time.perf_counter() - began)
        one, two = (statistics.median(each) * 1e6 for each in found.values())
        print(f"{kib:6}{one:12.0f}{two:12.0f}{one / two:8.2f}")
    parcels.LARGE = vars(depot)["LARGE"] = usual


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mb", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", action="store_true", help="where sharing begins to pay")
    options = parser.parse_args()
    if options.sizes:
        sizes(options.rounds)
    else:
        compare(options.mb, options.rounds)


if __name__ == "__main__":
    main()

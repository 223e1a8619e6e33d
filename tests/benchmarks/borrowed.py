"""What it costs to go through a `PriorityExecutor` to somebody else's executor.

    python tests/benchmarks/borrowed.py [ROUNDS]

For each lender and kind of job (it sleeps for so long, if it does not say otherwise), jobs a second
through its own `submit`, then through ours over it, in turn, so that the machine's drift hits both;
the median of the rounds' ratios. `strict` lends as many jobs at a time as there are workers, which is the default (and quick ones a little ahead, which
can be had back); `ahead` three times as many, whose order is the lender's. `CPU` is our ratio of the
processor time of this process and the lender's workers, a job, which the machine's load disturbs less.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import loky
import psutil
import tasks

from ezpq_exec import PriorityExecutor

WORKERS = 2
JOBS: dict[str, tuple[Callable[[], object], int]] = {  # and how many at a time
    "no-op": (tasks.nothing, 2000),
    "spin 0.1 ms": (partial(tasks.spin, 0.0001), 1000),
    "0.1 ms": (partial(tasks.nap, 0.0001), 1000),
    "spin 0.3 ms": (partial(tasks.spin, 0.0003), 1000),
    "0.3 ms": (partial(tasks.nap, 0.0003), 1000),
    "1 ms": (partial(tasks.nap, 0.001), 600),
    "10 ms": (partial(tasks.nap, 0.01), 100),
}
LENDERS: dict[str, Callable[[], Executor]] = {
    "ThreadPoolExecutor": partial(ThreadPoolExecutor, WORKERS),
    "ProcessPoolExecutor": partial(ProcessPoolExecutor, WORKERS),
    "loky reusable": partial(loky.get_reusable_executor, WORKERS),
}


def cpu_time() -> float:
    """Seconds that this process has used, and those below it."""
    used = time.process_time()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = child.cpu_times()
            used += times.user + times.system
    return used


def cost(executor: Executor, job: Callable[[], object], count: int) -> tuple[float, float]:
    """Jobs a second, and jobs a second of processor time."""
    before = cpu_time()
    found = rate(executor, job, count)
    return found, count / max(1e-3, cpu_time() - before)


def rate(executor: Executor, job: Callable[[], object], count: int) -> float:
    """Jobs a second."""
    began = time.perf_counter()
    for future in [executor.submit(job) for _ in range(count)]:
        future.result()
    return count / (time.perf_counter() - began)


def main(rounds: int) -> None:
    """Print the table."""
    print(
        f"{'lender':<22}{'job':<12}{'its own':>10}{'strict':>10}{'ratio':>7}{'CPU':>7}{'ahead':>10}{'ratio':>7}"
    )
    for name, make in LENDERS.items():
        lender = make()
        with (
            PriorityExecutor(engine=lender) as strict,
            PriorityExecutor(3 * WORKERS, engine=lender) as ahead,
        ):
            contenders = (lender, strict, ahead)
            for contender in contenders:
                rate(contender, tasks.nothing, 300)
            for kind, (job, count) in JOBS.items():
                found = [[cost(each, job, count) for each in contenders] for _ in range(rounds)]
                own, ours, more = (
                    statistics.median(wall for wall, _ in column)
                    for column in zip(*found, strict=True)
                )
                exact = statistics.median(row[1][0] / row[0][0] for row in found)
                cheap = statistics.median(row[1][1] / row[0][1] for row in found)
                loose = statistics.median(row[2][0] / row[0][0] for row in found)
                print(
                    f"{name:<22}{kind:<12}{own:>10.0f}{ours:>10.0f}{exact:>7.2f}{cheap:>7.2f}"
                    f"{more:>10.0f}{loose:>7.2f}"
                )
        lender.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)

"""What it costs to go through a `PriorityExecutor` to somebody else's executor.

    python tests/benchmarks/borrowed.py [ROUNDS]

For each lender and length of job, jobs a second through its own `submit`, then through ours over it,
in turn, so that the machine's drift hits both; the median of the rounds' ratios. `strict` lends as
many jobs at a time as there are workers, which is the default; `ahead` three times as many, which
keeps the lender's own queue filled, and the order of those few is the lender's.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import loky
import tasks

from ezpq_exec import PriorityExecutor

WORKERS = 2
LENGTHS = {"no-op": (0.0, 2000), "1 ms": (0.001, 600), "10 ms": (0.01, 100)}  # seconds, jobs
LENDERS: dict[str, Callable[[], Executor]] = {
    "ThreadPoolExecutor": partial(ThreadPoolExecutor, WORKERS),
    "ProcessPoolExecutor": partial(ProcessPoolExecutor, WORKERS),
    "loky reusable": partial(loky.get_reusable_executor, WORKERS),
}


def rate(executor: Executor, seconds: float, count: int) -> float:
    """Jobs a second."""
    began = time.perf_counter()
    job: Callable[[], object] = partial(tasks.nap, seconds) if seconds else tasks.nothing
    for future in [executor.submit(job) for _ in range(count)]:
        future.result()
    return count / (time.perf_counter() - began)


def main(rounds: int) -> None:
    """Print the table."""
    print(
        f"{'lender':<22}{'job':<8}{'its own':>10}{'strict':>10}{'ratio':>7}{'ahead':>10}{'ratio':>7}"
    )
    for name, make in LENDERS.items():
        lender = make()
        with (
            PriorityExecutor(engine=lender) as strict,
            PriorityExecutor(3 * WORKERS, engine=lender) as ahead,
        ):
            contenders = (lender, strict, ahead)
            for contender in contenders:
                rate(contender, 0.0, 300)
            for job, (seconds, count) in LENGTHS.items():
                found = [[rate(each, seconds, count) for each in contenders] for _ in range(rounds)]
                own, ours, more = (statistics.median(column) for column in zip(*found, strict=True))
                exact = statistics.median(row[1] / row[0] for row in found)
                loose = statistics.median(row[2] / row[0] for row in found)
                print(
                    f"{name:<22}{job:<8}{own:>10.0f}{ours:>10.0f}{exact:>7.2f}"
                    f"{more:>10.0f}{loose:>7.2f}"
                )
        lender.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)

"""Jobs on a Dask cluster against `Client.submit`: how many a second, and how long one takes there and back.

    python tests/benchmarks/on_dask.py [--rounds N] [--jobs N]

The cluster is a scheduler and two workers with two threads each, on this host. All contenders take
turns, so that what else the machine does hits all of them. Medians of all rounds are shown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

from distributed import Client  # noqa: E402

import dasks  # noqa: E402
from ezpq_exec import DaskEngine, PriorityExecutor  # noqa: E402

TRIPS = 100

Submit = Callable[..., Any]


def gather(futures: list[Any]) -> object:
    """All results of ours; Dask's client has a quicker way of its own."""
    return [future.result() for future in futures]


def rate_of(submit: Submit, count: int, gather: Callable[[list[Any]], object] = gather) -> float:
    """Jobs a second, all submitted before the first result is taken."""
    began = time.perf_counter()
    gather([submit(abs, -number) for number in range(count)])
    return count / (time.perf_counter() - began)


def trip_of(submit: Submit) -> float:
    """Milliseconds from a submission to its result."""
    times = []
    for number in range(TRIPS):
        began = time.perf_counter()
        submit(abs, -number).result()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def rate_of_map(map_: Callable[..., Any], count: int) -> float:
    """Calls a second by `map`."""
    began = time.perf_counter()
    assert sum(map_(abs, range(-count, 0))) == count * (count + 1) // 2
    return count / (time.perf_counter() - began)


def compare(cluster: dasks.Cluster, rounds: int, count: int) -> None:
    """Run all rounds, and show what came of them."""
    found: dict[str, list[float]] = {}

    def note(what: str, value: float) -> None:
        found.setdefault(what, []).append(value)

    with (
        Client(cluster.address, set_as_default=False) as client,
        PriorityExecutor(engine=DaskEngine(cluster.address)) as executor,
    ):
        client.wait_for_workers(2)

        def dask(function: Callable[..., Any], *args: Any) -> Any:
            return client.submit(function, *args, pure=False)

        for submit in (dask, executor.submit):  # what is done but once
            rate_of(submit, 50)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            note("Client.submit, jobs/s", rate_of(dask, count, client.gather))
            note("ours, jobs/s", rate_of(executor.submit, count))
            note("Client.submit, ms there and back", trip_of(dask))
            note("ours, ms there and back", trip_of(executor.submit))
            auto = rate_of_map(lambda *a: executor.map(*a, chunksize="auto"), 20 * count)
            note('ours, map(chunksize="auto"), calls/s', auto)
    medians = {what: statistics.median(values) for what, values in found.items()}
    for what, value in medians.items():
        print(f"{what:40} {value:12.2f}")
    rate = medians["ours, jobs/s"] / medians["Client.submit, jobs/s"]
    trip = medians["Client.submit, ms there and back"] / medians["ours, ms there and back"]
    print(f"jobs a second: {rate:.2f} times those of Client.submit")
    print(f"there and back: {trip:.2f} times as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000)
    given = parser.parse_args()
    with dasks.cluster(2, 2) as cluster:
        compare(cluster, given.rounds, given.jobs)


if __name__ == "__main__":
    main()

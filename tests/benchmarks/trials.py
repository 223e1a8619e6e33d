"""What is measured, and how: each trial is a function of a contender's class and a scale.

A trial runs in a process of its own, makes the executor there, and returns figures: for each key,
a list of values. Rows of the table are made from figures; so one trial can feed several rows.
To add a row: write a trial (or add a key to one), and list the row in `ROWS`.
"""

from __future__ import annotations

import concurrent.futures
import gc
import os
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import tasks
from contenders import Contender

__all__ = ["ROWS", "TRIALS", "Figures", "Row", "Scale", "Trial"]

Figures: TypeAlias = dict[str, list[float]]

WORKERS = 2
MICRO, MILLI = 1e6, 1e3


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        rounds: trials of each kind and contender.
        deep_rounds: the same, for the trial with many waiting jobs.
        burst: no-op jobs that are submitted together.
        burst_time: seconds that bursts go on for, at least.
        trips: jobs submitted one at a time.
        timeouts: jobs that overrun.
        waiting: jobs that wait.
    """

    rounds: int = 5
    deep_rounds: int = 2
    burst: int = 3_000
    burst_time: float = 0.3
    trips: int = 1_000
    timeouts: int = 6
    waiting: int = 100_000

    @staticmethod
    def quick() -> Scale:
        """Enough to see the order of magnitude."""
        return Scale(2, 1, burst=1_000, burst_time=0.1, trips=200, timeouts=3, waiting=20_000)


def _warmed(kind: type[Contender]) -> Contender:
    """A contender whose workers are all up, and have worked."""
    contender = kind(WORKERS)
    naps = [contender.submit(tasks.nap, 0.05) for _ in range(2 * WORKERS)]
    naps += [contender.submit(tasks.nap, 0.0) for _ in range(200)]
    for future in naps:
        future.result()
    return contender


def _throughput(kind: type[Contender], scale: Scale, job: Callable[[], None]) -> list[float]:
    contender = _warmed(kind)
    contender.submit(job).result()
    rates: list[float] = []
    spent = 0.0
    while spent < scale.burst_time:
        began = time.perf_counter()
        futures = [contender.submit(job) for _ in range(scale.burst)]
        for future in futures:
            future.result()
        took = time.perf_counter() - began
        spent += took
        rates.append(scale.burst / took)
    contender.close()
    return [statistics.median(rates)]


def importable(kind: type[Contender], scale: Scale) -> Figures:
    """How many jobs a second, of a function that workers import."""
    return {"importable": _throughput(kind, scale, tasks.nothing)}


def scripted(kind: type[Contender], scale: Scale) -> Figures:
    """The same of a function that is defined in the script that is being run."""
    import __main__

    return {"main": _throughput(kind, scale, __main__.nothing_here)}


def trips(kind: type[Contender], scale: Scale) -> Figures:
    """How long from `submit` to the result, where one job goes at a time."""
    contender = _warmed(kind)
    times: list[float] = []
    for _ in range(scale.trips):
        began = time.perf_counter()
        contender.submit(tasks.nothing).result()
        times.append(time.perf_counter() - began)
    contender.close()
    return {"trip": [statistics.median(times) * MICRO]}


def timeouts(kind: type[Contender], scale: Scale) -> Figures:
    """How long after its deadline the timeout of a job is known to its caller."""
    limit = 0.1
    late: list[float] = []
    contender = _warmed(kind)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(scale.timeouts):
            diary = os.path.join(folder, str(number))
            future = contender.submit_limited(limit, tasks.overrun, diary)
            error = future.exception()
            heard = time.monotonic()
            if not isinstance(error, (TimeoutError, concurrent.futures.TimeoutError)):
                raise TypeError(f"a timeout came as {error!r}")
            with open(diary) as file:
                late.append((heard - float(file.read()) - limit) * MILLI)
    contender.close()
    return {"late": late}


def waiting(kind: type[Contender], scale: Scale) -> Figures:
    """What a waiting job costs, in memory and to submit, while the workers are at something else."""
    contender = _warmed(kind)
    futures = [None] * scale.waiting
    times = array("d", bytes(8 * scale.waiting))
    with tempfile.TemporaryDirectory() as folder:
        gate = os.path.join(folder, "gate")
        os.mkfifo(gate)
        held = [contender.submit(tasks.hold, number, gate) for number in range(WORKERS)]
        while len(os.listdir(folder)) < 1 + WORKERS:
            time.sleep(0.01)
        gc.collect()
        before = _resident()
        _pile_up(contender, futures, times)
        time.sleep(0.3)  # some file what comes on a thread of their own
        grown = _resident() - before
        with open(gate, "w"):  # whoever is at the gate goes through
            for future in held:
                future.result()
    contender.abandon()
    return {
        "memory": [grown / scale.waiting],
        "submit": [statistics.median(times) * MICRO],
    }


def _pile_up(contender: Contender, futures: list[None], times: array[float]) -> None:
    submit, job, clock = contender.submit, tasks.nothing, time.perf_counter
    for at in range(len(futures)):
        began = clock()
        futures[at] = submit(job)  # type: ignore[call-overload]
        times[at] = clock() - began


def _resident() -> int:
    """Bytes of this process's memory that are in use, shared ones included (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def second(kind: type[Contender], scale: Scale) -> Figures:
    """How long a second executor takes from its making to its first result."""
    _warmed(kind).close()
    times: list[float] = []
    for _ in range(scale.rounds):
        began = time.perf_counter()
        contender = kind(2 * WORKERS)
        contender.submit(tasks.nothing).result()
        times.append((time.perf_counter() - began) * MILLI)
        contender.close()
    return {"second": [statistics.median(times)]}


Trial: TypeAlias = Callable[[type[Contender], Scale], Figures]
TRIALS: dict[str, Trial] = {
    trial.__name__: trial for trial in (importable, scripted, trips, timeouts, waiting, second)
}


@dataclass(frozen=True)
class Row:
    """A line of the table: the `summary` of all the values that `trial` gave under `key`."""

    title: str
    trial: str
    key: str
    digits: int = 0
    summary: Callable[[list[float]], float] = statistics.median


ROWS = {
    "importable": Row("no-op jobs a second, importable function", "importable", "importable"),
    "main": Row("no-op jobs a second, function of __main__", "scripted", "main"),
    "trip": Row("round trip, one job at a time: median µs", "trips", "trip"),
    "submit": Row("one submit, workers busy: median µs", "waiting", "submit", 1),
    "late": Row("timeout noticed after the deadline: median ms", "timeouts", "late", 1),
    "worst": Row("timeout noticed after the deadline: worst ms", "timeouts", "late", 1, max),
    "second": Row("a second executor's first result: median ms", "second", "second", 1),
    "memory": Row("a waiting job, its future included: bytes", "waiting", "memory"),
}

"""What is measured, and how: each trial is a function of a contender's class and a scale.

A trial runs in a process of its own, makes the executor there, and returns figures: for each key,
a list of values. Rows of the table are made from figures; so one trial can feed several rows.
To add a row: write a trial (or add a key to one), and list the row in `ROWS`.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import killing
import standing
import tasks
from contenders import Contender

__all__ = ["NEEDS", "ROWS", "TRIALS", "Figures", "Row", "Scale", "Trial"]

Figures: TypeAlias = dict[str, list[float]]

WORKERS = 2
CROWD = 16
ENDS = 1000  # jobs at either end of those that wait
MICRO, MILLI = 1e6, 1e3


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        rounds: trials of each kind and contender.
        deep_rounds: the same, for those that take long.
        frequent_rounds: the same, for those of which one contender's figure varies by a factor of three.
        burst: no-op jobs that are submitted together.
        burst_time: seconds that bursts go on for, at least.
        trips: jobs submitted one at a time.
        timeouts: jobs that overrun.
        waiting: jobs that wait.
        tiny: items of which a call takes next to nothing.
        idle: seconds for which idle executors are watched.
    """

    rounds: int = 5
    deep_rounds: int = 2
    frequent_rounds: int = 11
    burst: int = 3_000
    burst_time: float = 0.3
    trips: int = 1_000
    timeouts: int = 16
    waiting: int = 100_000
    tiny: int = 1_000_000
    idle: float = 10.0

    def rounds_of(self, trial: str) -> int:
        """How many rounds that trial is part of."""
        if trial in DEEP:
            return self.deep_rounds
        return self.frequent_rounds if trial in FREQUENT else self.rounds

    @staticmethod
    def quick() -> Scale:
        """Enough to see the order of magnitude."""
        few = Scale(2, 1, 2, burst=1_000, burst_time=0.1, trips=200, timeouts=4)
        return replace(few, waiting=20_000, tiny=100_000, idle=2.0)


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
    return {
        "trip": [statistics.median(times) * MICRO],
        "bare": [standing.bare_trip(scale.trips) * MICRO],
    }


def timeouts(kind: type[Contender], scale: Scale) -> Figures:
    """How long after its deadline the timeout of a job is known to its caller."""
    contender = _warmed(kind)
    late = killing.lateness(contender, scale.timeouts, 1)
    contender.close()
    return {"late": [seconds * MILLI for seconds in late]}


def crowd(kind: type[Contender], scale: Scale) -> Figures:
    """The same of sixteen at once."""
    contender = kind(CROWD)
    for future in [contender.submit(tasks.nap, 0.2) for _ in range(CROWD)]:
        future.result()
    late = killing.lateness(contender, CROWD * max(1, scale.timeouts // CROWD), CROWD)
    contender.close()
    return {"crowd": [seconds * MILLI for seconds in late]}


def siblings(kind: type[Contender], scale: Scale) -> Figures:
    """What is left of the throughput while one worker is killed every 50 ms."""
    contender = _warmed(kind)
    share = killing.disturbed(contender, 10 * scale.burst_time)
    contender.close()
    return {"siblings": [share]}


def _99th(values: list[float]) -> float:
    """The 99th percentile; of few values, the worst."""
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]


def waiting(kind: type[Contender], scale: Scale) -> Figures:
    """What a waiting job costs, in memory and to submit, while the workers are at something else."""
    contender = _warmed(kind)
    futures = [None] * scale.waiting
    times = array("d", bytes(8 * scale.waiting))
    with _held(contender.submit, WORKERS):
        gc.collect()
        before = _resident()
        _pile_up(contender, futures, times)
        time.sleep(0.3)  # some file what comes on a thread of their own
        grown = _resident() - before
    contender.abandon()
    return {
        "memory": [grown / scale.waiting],
        "submit": [statistics.median(times) * MICRO],
        "growth": [statistics.median(times[-ENDS:]) / statistics.median(times[:ENDS])],
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


def first(kind: type[Contender], scale: Scale) -> Figures:
    """How long from making the program's first executor until all of its slots are at work."""
    return {"first2": [_time_to_work(kind, WORKERS)]}


def first_many(kind: type[Contender], scale: Scale) -> Figures:
    """The same with sixteen slots."""
    return {"first16": [_time_to_work(kind, CROWD)]}


def _time_to_work(kind: type[Contender], slots: int) -> float:
    began = time.perf_counter()
    contender = kind(slots)
    with _held(contender.submit, slots):
        pass
    took = time.perf_counter() - began
    contender.close()
    return took * MILLI


@contextmanager
def _held(submit: Callable[..., Future[Any]], count: int) -> Iterator[None]:
    """So many jobs are under way, side by side; after the block they go on, and end."""
    with tempfile.TemporaryDirectory() as folder:
        gate = os.path.join(folder, "gate")
        os.mkfifo(gate)
        held = [submit(tasks.hold, number, gate) for number in range(count)]
        while len(os.listdir(folder)) < 1 + count:
            time.sleep(0.001)
        yield
        with open(gate, "w"):  # whoever is at the gate goes through
            for future in held:
                future.result()


def limited(kind: type[Contender], scale: Scale) -> Figures:
    """How many jobs a second where each has a timeout, if there are timeouts."""
    contender = _warmed(kind)
    times: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        if kind.kills:
            futures = [contender.submit_limited(60.0, tasks.nothing) for _ in range(scale.burst)]
        else:
            futures = [contender.submit(tasks.nothing) for _ in range(scale.burst)]
        for future in futures:
            future.result()
        times.append(time.perf_counter() - began)
    contender.close()
    return {"limited": [scale.burst / statistics.median(times)]}


def ranked(kind: type[Contender], scale: Scale) -> Figures:
    """How many jobs a second where they have priorities, with none that wait and with many.

    While urgent ones are being submitted, workers do some of those that wait. These count as well.
    """
    contender = _warmed(kind)
    bare = _rate(contender, scale, [])
    with _held(partial(contender.submit_ranked, 0), WORKERS):
        behind = [
            contender.submit_ranked(1000 + n % 100, tasks.nothing) for n in range(scale.waiting)
        ]
    deep = _rate(contender, scale, behind)
    contender.abandon()
    return {"ranked": [deep], "share": [deep / bare]}


def _rate(contender: Contender, scale: Scale, behind: list[Future[Any]]) -> float:
    """Jobs a second, of a few bursts of urgent ones, and of what is done of those `behind` them."""
    bursts = 5
    before = sum(future.done() for future in behind)
    began = time.perf_counter()
    for _ in range(bursts):
        futures = [contender.submit_ranked(n % 10, tasks.nothing) for n in range(scale.burst)]
        for future in futures:
            future.result()
    took = time.perf_counter() - began
    others = sum(future.done() for future in behind) - before
    if behind and others > len(behind) // 2:
        raise RuntimeError("too few were waiting for that to be a measure")
    return (bursts * scale.burst + others) / took


def mapped(kind: type[Contender], scale: Scale) -> Figures:
    """How many items a second `map` brings through, one to a job."""
    contender = kind(WORKERS)
    list(contender.map(tasks.same, range(200)))
    began = time.perf_counter()
    list(contender.map(tasks.same, range(scale.burst)))
    took = time.perf_counter() - began
    contender.close()
    return {"mapped": [scale.burst / took]}


def tiny(kind: type[Contender], scale: Scale) -> Figures:
    """How many tiny items a second, in chunks."""
    contender = kind(WORKERS)
    list(contender.map_tiny(tasks.same, range(200)))
    began = time.perf_counter()
    count = len(list(contender.map_tiny(tasks.same, range(scale.tiny))))
    took = time.perf_counter() - began
    contender.close()
    return {"tiny": [count / took]}


def imports(kind: type[Contender], scale: Scale) -> Figures:
    """How long the import takes."""
    return {"import": [standing.import_time(kind.module, 5) * MILLI]}


def idle(kind: type[Contender], scale: Scale) -> Figures:
    """What an executor costs that has nothing to do."""
    contender = _warmed(kind)
    time.sleep(1.0)
    woken, used = standing.idle(scale.idle, WORKERS)
    contender.close()
    return {"woken": [woken * 10 / scale.idle], "slot": [used]}


def slots(kind: type[Contender], scale: Scale) -> Figures:
    """What it costs to decide what runs next, with few slots and with many."""
    return {
        f"slots{count}": [standing.dispatch(count, scale.burst) * MICRO] for count in (4, 64, 512)
    }


Trial: TypeAlias = Callable[[type[Contender], Scale], Figures]
TRIALS: dict[str, Trial] = {
    trial.__name__: trial
    for trial in (
        *(importable, scripted, trips, timeouts, crowd, siblings, waiting, second, limited),
        *(ranked, mapped, tiny, imports, first, first_many, idle, slots),
    )
}
# What a contender must have to take part in a trial; elsewhere it must have futures.
NEEDS = {
    "timeouts": "kills",
    "crowd": "kills",
    "siblings": "kills",
    "ranked": "ranks",
    "slots": "ranks",
    "mapped": "maps",
    "tiny": "maps",
}
DEEP = {"waiting", "tiny", "idle"}  # trials that take long
FREQUENT = {"importable", "mapped"}  # `multiprocessing.Pool.imap` is now quick, now slow


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
    "late99": Row("the same, 99th percentile: ms", "timeouts", "late", 1, _99th),
    "crowd": Row("sixteen timeouts at once: median ms", "crowd", "crowd", 1),
    "crowd99": Row("the same, 99th percentile: ms", "crowd", "crowd", 1, _99th),
    "siblings": Row("throughput while a worker is killed every 50 ms", "siblings", "siblings", 2),
    "second": Row("a second executor's first result: median ms", "second", "second", 1),
    "memory": Row("a waiting job, its future included: bytes", "waiting", "memory"),
    "growth": Row("submitting the last 1,000 of them, by the first", "waiting", "growth", 2),
    "bare": Row("a bare ping-pong beside the round trip: µs", "trips", "bare"),
    "limited": Row("no-op jobs a second, a timeout on each (if any)", "limited", "limited"),
    "ranked": Row("no-op jobs a second by priority, many waiting", "ranked", "ranked"),
    "share": Row("the same, by the figure with none waiting", "ranked", "share", 2),
    "mapped": Row("map, an item a job: items a second", "mapped", "mapped"),
    "tiny": Row("map, tiny items in chunks: items a second", "tiny", "tiny"),
    "import": Row("import: ms", "imports", "import", 1),
    "first2": Row("both slots of the first executor at work: ms", "first", "first2", 1),
    "first16": Row("the same with sixteen slots: ms", "first_many", "first16", 1),
    "woken": Row("wake-ups of an idle executor in 10 s", "idle", "woken"),
    "slot": Row("an idle slot: MiB (PSS)", "idle", "slot", 1),
    "slots4": Row("the scheduler's share of a job, 4 slots: µs", "slots", "slots4", 1),
    "slots64": Row("the same, 64 slots: µs", "slots", "slots64", 1),
    "slots512": Row("the same, 512 slots: µs", "slots", "slots512", 1),
}

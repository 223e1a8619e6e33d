"""What lanes cost: the same jobs without lanes and in many, in one run, by turns.

    python tests/benchmarks/lanes.py [--jobs N] [--lanes N] [--rounds N]

For each way of running them, on two workers: µs a job to submit while nothing may start, bytes of
a waiting job, its future included, and µs a job from then until all have run. `scheduler` is the
scheduler alone, with workers that take no time: what lanes cost where all else is left out. Each
measurement is made in a process of its own; printed are medians, and the ratio with lanes to
without. Handing over ahead, which only jobs without a lane have, is in the figures of processes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tasks import nothing

from ezpq_exec import PriorityExecutor
from ezpq_exec.commands import Run, Start
from ezpq_exec.jobs import Call, Job, Outcome, Verdict
from ezpq_exec.lanetable import LaneTable
from ezpq_exec.options import Options
from ezpq_exec.scheduler import Scheduler

Figures = dict[str, float]

WORKERS = 2
ROOT = Path(__file__).resolve().parents[2]
ROWS = {"submit": "submit, µs a job", "bytes": "waiting, bytes a job", "run": "run, µs a job"}


def resident() -> int:
    """Bytes of this process's memory that are in use (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def executor(engine: str) -> Callable[[int, int], Figures]:
    """Measures the whole way of a job, on that engine."""

    def measure(jobs: int, lanes: int) -> Figures:
        with PriorityExecutor(WORKERS, engine=engine) as ex:  # type: ignore[arg-type]
            for future in [ex.submit(nothing) for _ in range(100)]:
                future.result()
            views = [ex.options(lane=lane) for lane in range(lanes)] or [ex.options(priority=100)]
            ex.pause()
            futures = [None] * jobs
            gc.collect()
            before, began = resident(), time.perf_counter()
            for number in range(jobs):
                futures[number] = views[number % len(views)].submit(nothing)  # type: ignore[call-overload]
            ex.stats()  # now all are filed
            filed, grown = time.perf_counter(), resident() - before
            ex.resume()
            ex.shutdown()
            ended = time.perf_counter()
        return figures(jobs, filed - began, grown, ended - filed)

    return measure


def scheduler(jobs: int, lanes: int) -> Figures:
    """Measures the scheduler alone."""
    decides = Scheduler(WORKERS, can_kill=True)
    table = LaneTable()
    terms = [Options(lane=lane) for lane in range(lanes)] or [Options()]
    decides.pause(0.0)
    call = Call(nothing, (), {})
    gc.collect()
    before, began = resident(), time.perf_counter()
    for number in range(jobs):
        options = terms[number % len(terms)]
        job = Job(number, call, options, b"", 0.0)
        if options.lane is not None:
            job.lane = table.lane(options.lane)
        decides.submitted(job, 0.0)
    filed, grown = time.perf_counter(), resident() - before
    left = deque(decides.resume(0.0))
    while left:
        match left.popleft():
            case Start(slot):
                left += decides.ready(slot, slot, 0.0)
            case Run(slot, job):
                outcome = Outcome(Verdict.RETURNED, None, started=1.0, ended=2.0)
                left += decides.finished(slot, job.number, outcome, True, 0.0)
    ended = time.perf_counter()
    assert decides.settled[Verdict.RETURNED] == jobs
    assert len(table) == 0
    return figures(jobs, filed - began, grown, ended - filed)


def figures(jobs: int, filing: float, grown: int, running: float) -> Figures:
    """All by the job."""
    return {"submit": filing / jobs * 1e6, "bytes": grown / jobs, "run": running / jobs * 1e6}


WAYS = {"scheduler": scheduler, "threads": executor("threads"), "processes": executor("processes")}


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--lanes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--trial", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        print(json.dumps(WAYS[options.trial](options.jobs, options.lanes)))
        return
    print(f"{options.jobs:,} jobs that do nothing, in {options.lanes:,} lanes")
    print(f"{'':36}{'without':>10}{'in lanes':>10}{'ratio':>7}")
    for way in options.ways:
        found: dict[int, list[Figures]] = {0: [], options.lanes: []}
        for _ in range(options.rounds):
            for lanes, results in found.items():
                results.append(trial(way, options.jobs, lanes))
        for key, title in ROWS.items():
            without, with_lanes = (
                statistics.median(result[key] for result in results) for results in found.values()
            )
            name = f"{way}: {title}"
            print(f"{name:36}{without:10.1f}{with_lanes:10.1f}{with_lanes / without:7.2f}")


def trial(way: str, jobs: int, lanes: int) -> Figures:
    """One measurement, in a fresh process."""
    command = [sys.executable, __file__, "--trial", way, "--jobs", str(jobs)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [*command, "--lanes", str(lanes)], env=environ, stdout=subprocess.PIPE, check=True
    )
    result: Figures = json.loads(run.stdout)
    return result


if __name__ == "__main__":
    main()

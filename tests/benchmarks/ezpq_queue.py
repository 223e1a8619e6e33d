"""Compares ezpq_exec's `Queue` with ezpq's own on short jobs, in one run, and prints one table.

Both run the same program, each time in a fresh process: put the jobs, wait, collect. In each round
both take part, one right after the other and the first one in turn.

    python tests/benchmarks/ezpq_queue.py [--jobs 1000] [--workers 2] [--rounds 3] [--python PYTHON]

ezpq comes from the package index: `pip install --no-deps ezpq` is enough, as it needs nothing for
this. `--python` is the interpreter of the environment that has it, if it is not this one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900.0  # seconds that one run may take

PROGRAM = """
import json, sys, time
package, poll, runner, jobs, workers = sys.argv[1], float(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:])
ezpq = __import__(package)
from multiprocessing import Process
from threading import Thread

def square(x):
    return x * x

began = time.perf_counter()
with ezpq.Queue(workers, job_runner={"processes": Process, "threads": Thread}[runner], poll=poll) as queue:
    for number in range(jobs):
        queue.put(square, args=number)
    left = queue.wait()
    output = queue.collect()
    took = time.perf_counter() - began
assert left == 0
assert [job["output"] for job in output] == [n * n for n in range(jobs)]
print(json.dumps(took))
"""

# The package, and the seconds between its looks: its default, and the least that it accepts.
CONTENDERS = {
    "ezpq": ("ezpq", 0.1),
    "ezpq, poll=0.01": ("ezpq", 0.01),
    "ezpq_exec": ("ezpq_exec", 0.1),
}


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has ezpq")
    options = parser.parse_args()
    if subprocess.run(
        [options.python, "-c", "import ezpq"], capture_output=True, check=False
    ).returncode:
        print("ezpq is not installed there: pip install --no-deps ezpq")
        return 2
    print(
        f"{options.jobs} jobs, {options.workers} workers, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, {platform.system()}; "
        f"seconds from Queue() to collect(), median of {options.rounds} rounds"
    )
    for runner in ("processes", "threads"):
        _compare(runner, options)
    return 0


def _compare(runner: str, options: argparse.Namespace) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(options.rounds):
        for name in list(CONTENDERS)[:: -1 if number % 2 else 1]:
            seconds[name].append(_run(name, runner, options))
    ours = seconds["ezpq_exec"]
    for name, values in seconds.items():
        pairs = zip(values, ours, strict=True)
        ratio = statistics.median(theirs / own for theirs, own in pairs)
        print(f"{runner:10} {name:16} {statistics.median(values):9.3f} s  {ratio:7.1f}")


def _run(name: str, runner: str, options: argparse.Namespace) -> float:
    package, poll = CONTENDERS[name]
    python = options.python if package == "ezpq" else sys.executable
    arguments = (package, poll, runner, options.jobs, options.workers)
    done = subprocess.run(
        [python, "-c", PROGRAM, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": "" if package == "ezpq" else str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return float(json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())

"""Compares ezpq_exec with its peers, in one run, on two workers, and prints one table.

Every measurement is made in a fresh process. In each round all contenders take part, one right
after another and each time in another order, so that whatever else the machine is doing strikes
them all; what is printed are medians over the rounds. Absolute figures are this machine's, of this
minute; the ratios to the stdlib's process pool, in brackets, are what can be compared.

    python tests/benchmarks/compare.py [--quick] [--only NAME ...] [--markdown] [--strict]

A peer that is not installed is left out, and named.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from contenders import CONTENDERS
from report import Results, floors, table
from trials import NEEDS, ROWS, TRIALS, WORKERS, Scale

PATIENCE = 120.0  # seconds that a trial may take
ROOT = Path(__file__).resolve().parents[2]


def nothing_here() -> None:
    """A no-op that lives in `__main__`."""


def main() -> int:
    """The command line; see the module's docstring."""
    options = _arguments()
    if options.trial:
        figures = TRIALS[options.trial](CONTENDERS[options.contender], Scale(**options.scale))
        print(json.dumps(figures))
        return 0
    for folder in (ROOT / "ezpq_exec", Path(__file__).parent):  # as pip has done to the peers
        compileall.compile_dir(folder, quiet=1)
    versions = {name: kind.version() for name, kind in CONTENDERS.items()}
    present = [name for name, version in versions.items() if version is not None]
    rows = {name: row for name, row in ROWS.items() if name in (options.only or ROWS)}
    trials = {row.trial for row in rows.values()}
    results = _run(present, trials, options.scale)
    print(f"{WORKERS} workers, {os.cpu_count()} CPUs, Python {platform.python_version()}, ", end="")
    print(f"{platform.system()}; in brackets: times the stdlib's figure")
    print("(cannot: it has no timeout that kills)\n" if "timeouts" in trials else "")
    print(table(rows, present, results, markdown=options.markdown))
    print()
    for name, version in versions.items():
        if version != "":
            print(f"{name}: {'not installed, left out' if version is None else version}")
    for (name, trial), why in results.failures.items():
        print(f"{name}, {trial}: {why}")
    verdicts = floors(rows, results)
    for text, met in verdicts:
        print(f"{'met    ' if met else 'NOT MET'}  {text}")
    return int(options.strict and not all(met for _, met in verdicts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds of less")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ROWS, help=", ".join(ROWS))
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a floor is not met")
    for hidden in ("--trial", "--contender", "--scale"):  # how it starts itself for one trial
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scale is None:
        options.scale = Scale.quick() if options.quick else Scale()
    else:
        options.scale = json.loads(options.scale)
    return options


def _run(present: list[str], trials: set[str], scale: Scale) -> Results:
    """All the rounds."""
    results = Results(defaultdict(list), {})
    rounds = {trial: scale.rounds_of(trial) for trial in TRIALS if trial in trials}
    for number in range(max(rounds.values())):
        for trial in (trial for trial, count in rounds.items() if number < count):
            turn = number % len(present)
            for name in present[turn:] + present[:turn]:
                if not getattr(CONTENDERS[name], NEEDS.get(trial, "futures")):
                    continue
                if (name, trial) not in results.failures:
                    _show(f"round {number + 1} of {rounds[trial]}: {trial}, {name}")
                    _measure(name, trial, scale, results)
    _show("")
    return results


def _measure(name: str, trial: str, scale: Scale, results: Results) -> None:
    """One trial of one contender, in a process group of its own, of which nothing is left."""
    command = [sys.executable, os.path.abspath(__file__), "--trial", trial, "--contender", name]
    command += ["--scale", json.dumps(vars(scale))]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        output, errors = "", f"nothing after {PATIENCE:g} s"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing was left
        process.wait()
    try:
        figures = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        results.failures[name, trial] = (errors.strip().splitlines() or ["no figures"])[-1]
        return
    for key, values in figures.items():
        results.values[name, key] += values


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

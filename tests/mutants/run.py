"""Apply each planted bug to a copy of the project, and name the test that catches it.

    python tests/mutants/run.py [NAME ...]

Each `*.patch` beside this file is one bug. Its first line says what is wrong, its second names the
tests that must notice (`tests: ID ...`, in quotes where it has spaces). A bug that none of them
catches, or a patch that no longer applies, is a failure: exit code 1. So is a named test that fails
without any bug: all of them are run on copies without one, too, and a failure is a catch only where
the same test has passed there.

The imports take longer than most of the tests. So what pytest and the tests import is imported once,
but nothing of the project's own, and each run is a fork that goes on from there.
"""

from __future__ import annotations

import importlib
import multiprocessing
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from watched import Outcome, watched

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
AT_ONCE = 4  # most tests wait
WARM = (
    "_hypothesis_pytestplugin",
    "cloudpickle",
    "distributed",
    "hypothesis.stateful",
    "loky",
    "numpy",
)


def described(patch: Path) -> tuple[str, list[str]]:
    """What is wrong, and the tests that must notice."""
    bug, tests = patch.read_text(encoding="utf-8").splitlines()[:2]
    return bug.removeprefix("bug: "), shlex.split(tests.removeprefix("tests:"))


def tried(tests: list[str], patch: Path | None) -> tuple[Outcome, float]:
    """What comes of these tests on a copy, with that bug if any; and the seconds that it took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder, "copy")
        for name in ("ezpq_exec", "tests", "docs"):
            ignore = shutil.ignore_patterns("mutants", "benchmarks")
            shutil.copytree(PROJECT / name, copy / name, ignore=ignore)
        shutil.copy(PROJECT / ".pytest.ini", copy)
        (copy / "README.md").touch()
        trouble = _apply(patch, copy) if patch is not None else ""
        if trouble:
            return Outcome(trouble=trouble), time.monotonic() - began
        outcome = watched(copy, tests, Path(folder, "output"), stops=patch is not None)
    return outcome, time.monotonic() - began


def _apply(patch: Path, copy: Path) -> str:
    """Apply it; why that was not possible, if so."""
    command = ["git", "apply", "--unsafe-paths", f"--directory={copy}", str(patch)]
    applied = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    return f"does not apply: {applied.stderr.strip()}" if applied.returncode else ""


def judged(outcome: Outcome, sound: set[str]) -> tuple[bool, str]:
    """Whether the bug was caught, and by what. `sound`: the tests that pass without it."""
    if outcome.failed:
        test, how = next(iter(outcome.failed.items()))
        by = f"{test}{how and f' ({how})'}"
        return (True, by) if test in sound else (False, f"fails without it, too: {by}")
    return False, outcome.trouble or "no test fails"


def main(names: list[str]) -> int:
    """Judge all the patches, or those named."""
    patches = [patch for patch in sorted(HERE.glob("*.patch")) if not names or patch.stem in names]
    for name in WARM:
        importlib.import_module(name)
    tests = sorted({test for patch in patches for test in described(patch)[1]})
    parts = [part for first in range(AT_ONCE) if (part := tests[first::AT_ONCE])]
    with ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("fork")) as pool:
        controls = [pool.submit(tried, part, None) for part in parts]
        trials = [pool.submit(tried, described(patch)[1], patch) for patch in patches]
        unsound: list[str] = []
        sound: set[str] = set()
        for control in controls:
            outcome, took = control.result()
            sound |= outcome.passed
            print(f"without any bug, {len(outcome.passed)} pass ({took:.1f} s)", flush=True)
            for what in (*outcome.failed, *filter(None, [outcome.trouble])):
                print(f"FAILS    without any bug: {what}", flush=True)
                unsound.append(what)
        survivors = []
        for patch, trial in zip(patches, trials, strict=True):
            outcome, took = trial.result()
            is_caught, by = judged(outcome, sound)
            word = "caught  " if is_caught else "SURVIVES"
            print(
                f"{word} {patch.stem}: {described(patch)[0]}\n         {by} ({took:.1f} s)",
                flush=True,
            )
            survivors += [] if is_caught else [f"{patch.stem}: {by}"]
    for name in survivors:
        print(f"SURVIVES {name}")
    for what in unsound:
        print(f"FAILS    without any bug: {what}")
    print(f"{len(patches)} planted, {len(patches) - len(survivors)} caught")
    return 1 if survivors or unsound or not patches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

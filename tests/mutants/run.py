"""Apply each planted bug to a copy of the project, and name the test that catches it.

    python tests/mutants/run.py [NAME ...]

Each `*.patch` beside this file is one bug. Its first line says what is wrong, its second which tests
to run (`tests: PATH ...`): one or two that take seconds, and catch it. A bug that no test catches,
or a patch that no longer applies, is a failure: exit code 1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
LIMIT = 300  # seconds for one mutant's tests: a hang is a way of being caught
AT_ONCE = 4  # most tests wait
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_HUNG = re.compile(r"\+ Timeout \+")


def judge(patch: Path) -> tuple[bool, str, float]:
    """Whether `patch` was caught, by what, and after how many seconds."""
    began = time.monotonic()
    caught, by = try_out(patch)
    return caught, by, time.monotonic() - began


def try_out(patch: Path) -> tuple[bool, str]:
    """Run the tests on a copy with `patch` applied; whether it was caught, and by what."""
    _, tests = patch.read_text(encoding="utf-8").splitlines()[:2]
    with tempfile.TemporaryDirectory(prefix="mutant-") as place:
        copy = Path(place)
        for name in ("ezpq_exec", "tests", "docs"):
            ignore = shutil.ignore_patterns("__pycache__", "mutants", "benchmarks")
            shutil.copytree(PROJECT / name, copy / name, ignore=ignore)
        shutil.copy(PROJECT / ".pytest.ini", copy)
        (copy / "README.md").touch()
        applied = subprocess.run(
            ["git", "apply", "--unsafe-paths", f"--directory={copy}", str(patch)],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
        if applied.returncode != 0:
            return False, f"does not apply: {applied.stderr.strip()}"
        wanted = tests.removeprefix("tests:").split()
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-o", "timeout=30", *wanted]
        environ = {**os.environ, "PYTHONPATH": str(copy)}
        try:
            run = subprocess.run(
                command,
                cwd=copy,
                env=environ,
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return True, f"(the tests hang for {LIMIT} s)"
    if run.returncode == 0:
        return False, "survives"
    found = _FAILED.search(run.stdout)
    if found is None and _HUNG.search(run.stdout + run.stderr):
        return True, "(a test hangs, and its limit ends it)"
    if found is None:
        return False, f"the tests did not run: {(run.stdout + run.stderr)[-500:]}"
    return True, found[1]


def main(names: list[str]) -> int:
    """Judge all the patches, or those named."""
    patches = sorted(HERE.glob("*.patch"))
    if names:
        patches = [patch for patch in patches if patch.stem in names]
    survivors = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for patch, (caught, by, took) in zip(patches, pool.map(judge, patches), strict=True):
            what = patch.read_text(encoding="utf-8").splitlines()[0].removeprefix("bug: ")
            print(
                f"{'caught  ' if caught else 'SURVIVES'} {patch.stem}: {what}\n         {by} ({took:.1f} s)",
                flush=True,
            )
            survivors += not caught
    print(f"{len(patches)} planted, {len(patches) - survivors} caught, {survivors} survive")
    return 1 if survivors or not patches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

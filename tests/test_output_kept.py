"""Whole programs whose jobs print: Python holds back what goes to a file, as it does by default."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os
from ezpq_exec import PriorityExecutor

def print_and_end(text):
    print(text)
    os.kill(os.getpid(), 9)

with PriorityExecutor(1) as ex:
    kept = ex.options(capture=True).submit(print_and_end, "kept")
    seen = ex.submit(print, "seen")
    kept.exception()
    seen.result()
    print(repr(kept.info.stdout), flush=True)
"""


def run_program() -> list[str]:
    environ = {name: each for name, each in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_lines_are_kept_though_the_process_held_them_back() -> None:
    """A captured line is written at once; what is not captured, before the job's result is there."""
    assert run_program() == ["seen", r"'kept\n'"]

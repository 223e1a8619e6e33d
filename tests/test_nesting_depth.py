"""Executors whose jobs make executors, whose jobs make executors, come to an end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ezpq_exec import PriorityExecutor
from ezpq_exec.engines import nesting
from gates import PATIENCE

MODULE = """
from ezpq_exec import PriorityExecutor

def job():
    return 1

with PriorityExecutor(1) as executor:
    executor.submit(job).result()
"""
# That program is deep already; what comes before is no different, and takes its time.
PROGRAM = f"""
from ezpq_exec.engines import nesting
nesting.descend({nesting.DEEPEST - 2})
try:
    import endless
except RecursionError as error:
    print(error)
"""


def test_a_module_that_makes_an_executor_in_its_own_workers_comes_to_an_end(tmp_path: Path) -> None:
    """Each worker imports it, and makes another: not for ever, and the error says what to do."""
    (tmp_path / "endless.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Perhaps a module makes an executor when it is imported" in done.stdout, done.stderr
    assert (done.stderr, done.returncode) == ("", 0)


def test_threads_are_no_deeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only processes are counted: what makes no more of these is refused nowhere."""
    monkeypatch.setattr(nesting, "_depth", nesting.DEEPEST)
    with PriorityExecutor(1, engine="threads") as executor:
        assert executor.submit(abs, -3).result(PATIENCE) == 3
    with pytest.raises(RecursionError, match=f"{nesting.DEEPEST} deep"):
        PriorityExecutor(1)

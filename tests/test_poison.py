"""Where no worker can come up, real programs get a clear error, after a few starts and not a storm."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

from ezpq_exec import PriorityExecutor
from gates import PATIENCE

WORKERS = 4
# At most so many processes are started in vain: one for each worker, and two that are tried after
# the first has failed; and as many for the trackers of multiprocessing and loky beside them.
MOST_STARTS = 2 * (WORKERS + 2)

_PROGRAM = """
import os, sys
from ezpq_exec import PriorityExecutor
if sys.argv[1] == "spawned":
    from ezpq_exec.engines.spawned import SpawnedEngine
    engine = SpawnedEngine()
else:
    engine = "processes"
os.environ.update([sys.argv[2].split("=")])  # what ends every interpreter that starts from now on
ex = PriorityExecutor({workers}, engine=engine)
futures = [ex.submit(abs, -1) for _ in range(20)]
errors = [future.exception(60) for future in futures]
assert len(set(map(str, errors))) == 1, errors
print(type(errors[0]).__name__, type(errors[0].__cause__).__name__, str(errors[0].__cause__))
try:
    ex.submit(abs, -1)
except Exception as error:
    print(type(error).__name__)
os.environ.pop(sys.argv[2].split("=")[0])  # the executor stays broken; another one is not
with PriorityExecutor(1) as other:
    print(other.submit(abs, -2).result())
"""

_CUSTOMIZE = """
import os
if "BREAK" in os.environ:
    descriptor = os.open(os.environ["BREAK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b".")
    os._exit(3)
"""


def run(engine: str, setting: str, folder: Path) -> list[str]:
    """Run the program; what it prints."""
    (folder / "sitecustomize.py").write_text(_CUSTOMIZE)
    tests = Path(__file__).parent
    path = os.pathsep.join(map(str, (folder, tests.parent)))
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(workers=WORKERS), engine, setting],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("engine", ["processes", "spawned"])
def test_interpreters_that_die_at_start_break_the_executor(engine: str, tmp_path: Path) -> None:
    """The error says so, every job and every submit gets it, and few were started in vain."""
    starts = tmp_path / "starts"
    error, submit, other = run(engine, f"BREAK={starts}", tmp_path)
    kind, cause, text = error.split(" ", 2)
    assert (kind, cause, submit) == ("BrokenProcessPool", "WorkerDied", "BrokenProcessPool")
    assert "before" in text
    assert 1 <= starts.stat().st_size <= MOST_STARTS
    assert other == "2"


@pytest.mark.parametrize("engine", ["processes", "spawned"])
def test_interpreters_that_find_no_library_break_the_executor(engine: str, tmp_path: Path) -> None:
    """As where PYTHONHOME is wrong; what they say goes to the program's stderr."""
    error, submit, other = run(engine, f"PYTHONHOME={tmp_path}", tmp_path)
    kind, cause, text = error.split(" ", 2)
    assert (kind, cause, submit) == ("BrokenProcessPool", "WorkerDied", "BrokenProcessPool")
    assert "before" in text
    assert other == "2"


@pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
def test_a_worker_that_cannot_be_set_up_breaks_the_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without an initializer, jobs are sent to workers that turn out later not to take any."""
    lives: Any = importlib.import_module("ezpq_exec.engines.lives")
    surroundings = lives.surroundings

    def impossible(*args: Any) -> dict[str, Any]:
        found = surroundings(*args)
        return {**found, "environ": {**found["environ"], "": "no variable has this name"}}

    monkeypatch.setattr(lives, "surroundings", impossible)
    with PriorityExecutor(2) as executor:
        error = executor.submit(abs, -1).exception(PATIENCE)
        assert isinstance(error, BrokenExecutor)
        assert isinstance(error.__cause__, OSError)
        with pytest.raises(BrokenExecutor):
            executor.submit(abs, -1)
